"""The Trio face: two tasks of its own, a pool for handlers, and the engine between them."""

from __future__ import annotations

import functools
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.lowlevel import (
    Abort,
    RunVar,
    checkpoint,
    current_task,
    reschedule,
    spawn_system_task,
    wait_readable,
    wait_task_rescheduled,
)

from ztransport import _node, _stream
from ztransport._errors import ConfigurationError, DeadlineExceeded
from ztransport._rotation import begin
from ztransport._trio_background import Background
from ztransport._trio_spin import spinning
from ztransport._ztransport import Engine, Host, Waiter
from ztransport.config import (
    DRAIN_TIMEOUT_SECONDS,
    HANDLER_BUDGET_MILLISECONDS,
    REQUEST_TIMEOUT_SECONDS,
    SPINS,
    IdleStrategy,
    Limits,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    from ztransport._errors import Error
    from ztransport._node import Metadata
    from ztransport._rotation import Rotation
    from ztransport._stream import Payload
    from ztransport._ztransport import Material, Seed, Worker
    from ztransport.config import Accept, Dial, Protocol, ZeebeCompression
    from ztransport.security import TLSConfig

SCOPE_SLACK_SECONDS: Final = 0.01

_in_thread = functools.partial(trio.to_thread.run_sync, abandon_on_cancel=True)


async def _let_scope_decide() -> None:
    """A deadline that is the surrounding scope's is the scope's to report."""
    deadline = trio.current_effective_deadline()
    if deadline - trio.current_time() < SCOPE_SLACK_SECONDS:
        await trio.sleep_until(deadline)


class Waits(_stream.Waits):
    """Waits as a Trio task does."""

    __slots__ = ()

    _wait = staticmethod(wait_task_rescheduled)


class Stream(Waits, _stream.Stream):
    __doc__ = _stream.Stream.__doc__

    __slots__ = ()


class Peer(Waits, _node.Peer):
    __doc__ = _node.Peer.__doc__

    __slots__ = ()

    _stream_class = Stream

    if TYPE_CHECKING:

        def open_stream(
            self, subject: str, payload: Payload = b"", *, metadata: Metadata | None = None
        ) -> Stream: ...

    async def request(
        self,
        subject: str,
        payload: Payload,
        *,
        timeout: float | None = REQUEST_TIMEOUT_SECONDS,
        metadata: Metadata | None = None,
    ) -> bytes:
        try:
            reply: bytes = await wait_task_rescheduled(
                self._request(subject, payload, timeout, metadata)
            )
        except DeadlineExceeded:
            await _let_scope_decide()
            raise
        return reply

    async def request_many(
        self,
        subject: str,
        payloads: Iterable[Payload],
        *,
        timeout: float | None = REQUEST_TIMEOUT_SECONDS,
        metadata: Metadata | None = None,
    ) -> list[bytes | Error]:
        replies = await super().request_many(subject, payloads, timeout=timeout, metadata=metadata)
        if any(type(reply) is DeadlineExceeded for reply in replies):
            await _let_scope_decide()
        return replies


class Subscription(Waits, _stream.Subscription):
    __doc__ = _stream.Subscription.__doc__

    __slots__ = ()


class Node(Waits, _node.Node):
    __doc__ = _node.Node.__doc__

    _subscription_class = Subscription
    _background_class = Background

    if TYPE_CHECKING:

        async def connect(
            self, address: str, *, pooled: bool = True, protocol: Protocol = "zt/1"
        ) -> Peer: ...

        def subscribe(self, subject: str, *, buffer_bytes_max: int = ...) -> Subscription: ...

        def handle_stream(
            self, subject: str, handler: Callable[[Stream], Awaitable[None]]
        ) -> None: ...

    _sleep = staticmethod(trio.sleep)

    @functools.cached_property
    def _loader(self) -> trio.CapacityLimiter:
        # Of its own: threads of the program's may all be busy.
        return trio.CapacityLimiter(1)

    async def _in_thread(self, load: Callable[[], Material | None]) -> Material | None:
        return await trio.to_thread.run_sync(load, abandon_on_cancel=True, limiter=self._loader)

    @staticmethod
    async def _wait_bounded(waiter: Waiter, timeout: float, *, shield: bool) -> bool:
        with trio.CancelScope(deadline=trio.current_time() + timeout, shield=shield) as scope:
            await wait_task_rescheduled(waiter)
        return not scope.cancelled_caught


class Loop:
    """The engine of one Trio run and the tasks that serve it, shared by all its nodes."""

    def __init__(self, idle: IdleStrategy) -> None:
        log = _node.RateLimited()
        host = Host.trio(
            current_task=current_task,
            effective_deadline=trio.current_effective_deadline,
            reschedule=reschedule,
            aborted=Abort.SUCCEEDED,
            clock=trio.current_time,
            spawn=self._spawn,
            resolve=self._resolve_soon,
            failed=log.failed,
            slow=log.slow,
            refused=log.refused,
        )
        self.idle = idle
        self.engine = Engine(host, SPINS[idle])
        self.users = 0
        self.bodies: set[trio.CancelScope] = set()
        self.failure: BaseException | None = None
        self._nursery: trio.Nursery | None = None
        self._started = trio.Event()
        self._stopped = trio.Event()

    async def start(self) -> None:
        """Start the tasks, or wait until whoever came first has."""
        if self.users == 1:
            spawn_system_task(self._serve)
        await self._started.wait()

    async def stop(self) -> None:
        """Stop the tasks and drop what the engine holds of Python."""
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
        await self._stopped.wait()
        self.engine.clear()
        # Its hooks are methods of this loop: the circle would keep its descriptors open.
        del self.engine

    @contextmanager
    def look_after(self, node: Node, rotation: Rotation | None) -> Iterator[None]:
        """Look at the node's files for the time of the block."""
        node._rotation, scope = rotation, trio.CancelScope()
        if rotation is not None and rotation.files:
            assert self._nursery is not None
            self._nursery.start_soon(self._guard, _within, scope, node._rotate)
        try:
            yield
        finally:
            scope.cancel()

    async def _serve(self) -> None:
        try:
            with spinning(self.engine, self.idle):
                await self._run()
        finally:
            self._stopped.set()

    async def _run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._guard, self._flush)
            self._nursery.start_soon(self._guard, self._pump)
            self._started.set()

    async def _guard(self, serve: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """What escapes a task of ours ends the blocks of all nodes and is raised there."""
        try:
            await serve(*arguments)
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.failure = self.failure or error
            for body in self.bodies:
                body.cancel()

    async def _pump(self) -> None:
        turn, descriptor = self.engine.turn, self.engine.fileno()
        while True:
            if turn():
                await checkpoint()
            else:
                await wait_readable(descriptor)

    async def _flush(self) -> None:
        engine = self.engine
        while True:
            engine.flush()
            await wait_task_rescheduled(engine.park_flusher())

    def _spawn(self, worker: Worker, handler: Any, argument: Any) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._guard, _work, worker, handler, argument)

    def _resolve_soon(self, seed: Seed, host: str, port: int) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(_resolve, seed, host, port)


async def _within(scope: trio.CancelScope, task: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await task()


async def _work(worker: Worker, handler: Any, argument: Any) -> None:
    """One task of the pool. A cancelled request cancels its scope, and another takes its place."""
    try:
        with trio.CancelScope() as scope:
            going_on = worker.start(scope.cancel)
            while going_on:
                try:
                    result = await handler(argument)
                except Exception as error:
                    worker.fail(error)
                else:
                    worker.finish(result)
                if (waiter := worker.park()) is None:
                    return
                handler, argument = await wait_task_rescheduled(waiter)
    finally:
        worker.end()


async def _resolve(seed: Seed, host: str, port: int) -> None:
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        seed.resolved([], str(error))
    else:
        seed.resolved([(str(entry[4][0]), int(entry[4][1])) for entry in found])


_loop: RunVar[Loop | None] = RunVar("ztransport", None)


@asynccontextmanager
async def _shared_loop(idle: IdleStrategy) -> AsyncIterator[Loop]:
    """The loop of this Trio run, kept as long as one node needs it."""
    loop = _loop.get()
    if loop is None:
        loop = Loop(idle)
        _loop.set(loop)
    if loop.idle != idle:
        raise ConfigurationError(f"the nodes of one loop share the idle strategy {loop.idle!r}")
    loop.users += 1
    try:
        await loop.start()
        yield loop
    finally:
        loop.users -= 1
        if loop.users == 0:
            _loop.set(None)
            with trio.CancelScope(shield=True):
                await loop.stop()


@asynccontextmanager
async def open_node(
    address: str | None,
    *,
    cluster: str,
    node_id: str,
    tls: TLSConfig | None,
    roles: Sequence[str] = (),
    advertise: str | None = None,
    limits: Limits | None = None,
    idle: IdleStrategy = "adaptive",
    handler_budget_ms: int = HANDLER_BUDGET_MILLISECONDS,
    expose_errors: bool = False,
    drain_timeout: float = DRAIN_TIMEOUT_SECONDS,
    accept: Accept | None = None,
    dial: Dial | None = None,
    protocols: Sequence[Protocol] = ("zt/1",),
    zeebe_compression: ZeebeCompression = "none",
) -> AsyncIterator[Node]:
    """Open a node for the time of an ``async with`` block.

    ``address`` is ``host:port``, ``[v6]:port`` or ``unix:path``; port 0 takes any, and ``None``
    only dials. ``tls`` must be given; ``None`` means plaintext. ``roles`` is what the node is for;
    peers see it and may ask that its certificate bears it out. ``advertise`` is the address told
    to others, by default the one that was bound. ``idle="spin"`` looks for work for up to 150 µs
    before blocking, which burns a core; ``"adaptive"`` only while single messages go back and forth
    so fast that sleep costs more. Callers learn what handlers raised only with ``expose_errors``.

    ``accept`` and ``dial`` say which connections use TLS, by default as ``tls`` says: all, if it is
    given. With ``accept="permissive"`` a listener takes TLS and plaintext on one port, for the time
    in which a cluster is switched node by node. A plaintext peer has no identity: it is refused
    where identities are asked for, and under a node id that a peer with a certificate has.

    With ``protocols=("zt/1", "zeebe")`` the listener also takes Zeebe's cluster messaging on the
    same port, told by its first bytes. ``zeebe_compression`` is what Zeebe calls
    ``messageCompression``: it holds for that protocol alone, both ways, and all nodes must agree.

    Leaving the block drains the node for at most ``drain_timeout`` seconds, whatever is cancelled
    around it, and then cuts what is left. Exceptions of the block leave it as they are.

    Raises `ConfigurationError` for what cannot work, such as ``accept="tls"`` without ``tls``.
    """
    rotation, material = await begin(tls, _in_thread)
    chosen = _node.settings(
        cluster=cluster,
        node_id=node_id,
        tls=tls,
        roles=roles,
        advertise=advertise,
        limits=limits,
        handler_budget_ms=handler_budget_ms,
        expose_errors=expose_errors,
        accept=accept,
        dial=dial,
        protocols=protocols,
        zeebe_compression=zeebe_compression,
    )
    async with _shared_loop(idle) as loop:
        node = Node(loop.engine, peer_class=Peer, stream_class=Stream, material=material, **chosen)
        with loop.look_after(node, rotation), trio.CancelScope() as body:
            loop.bodies.add(body)
            try:
                if address is not None:
                    node.address = node._listen(address)
                yield node
            finally:
                loop.bodies.discard(body)
                if loop.failure is None:
                    await node._shut(drain_timeout)
        if loop.failure is not None:
            raise loop.failure
