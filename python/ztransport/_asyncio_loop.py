"""The asyncio face, for the standard loop and uvloop: one reader, one callback, a pool."""

from __future__ import annotations

import asyncio
import functools
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ztransport import _node, _stream
from ztransport._asyncio_background import Background
from ztransport._errors import ConfigurationError
from ztransport._rotation import begin
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
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence

    from ztransport._node import Metadata
    from ztransport._rotation import Rotation
    from ztransport._stream import Payload
    from ztransport._ztransport import Material, Seed, Worker
    from ztransport.config import Accept, Dial, Protocol, ZeebeCompression
    from ztransport.security import TLSConfig


class Waits(_stream.Waits):
    """Waits as an asyncio task does."""

    __slots__ = ()

    @staticmethod
    async def _wait(waiter: Waiter, /) -> Any:
        try:
            return await waiter.future
        except asyncio.CancelledError:
            waiter.cancel()
            raise


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
        waiter = self._request(subject, payload, timeout, metadata)
        try:
            reply: bytes = await waiter.future
        except asyncio.CancelledError:
            waiter.cancel()
            raise
        return reply


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

    _sleep = staticmethod(asyncio.sleep)

    @functools.cached_property
    def _loader(self) -> ThreadPoolExecutor:
        # Of its own: the loop's threads may all be busy with what the program does.
        return ThreadPoolExecutor(1, "ztransport-tls")

    async def _in_thread(self, load: Callable[[], Material | None]) -> Material | None:
        return await asyncio.get_running_loop().run_in_executor(self._loader, load)

    @staticmethod
    async def _wait_bounded(waiter: Waiter, timeout: float, *, shield: bool) -> bool:
        waiting = asyncio.ensure_future(_finish_in(waiter, timeout))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if shield:
                await waiting
            else:
                waiting.cancel()
            raise


async def _finish_in(waiter: Waiter, timeout: float) -> bool:
    try:
        async with asyncio.timeout(timeout):
            await Waits._wait(waiter)
    except TimeoutError:
        return False
    return True


class Loop:
    """The engine of one asyncio loop and the tasks it has started, shared by all its nodes."""

    def __init__(self, idle: IdleStrategy) -> None:
        log = _node.RateLimited()
        self._loop = asyncio.get_running_loop()
        host = Host.asyncio(
            create_future=self._loop.create_future,
            wake_flusher=self._flush_soon,
            clock=self._loop.time,
            spawn=self._spawn,
            resolve=self._resolve_soon,
            failed=log.failed,
            slow=log.slow,
            refused=log.refused,
        )
        self.idle = idle
        self.engine = Engine(host, SPINS[idle])
        self.users = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(self.engine.fileno(), self._turn)

    async def stop(self) -> None:
        """End the tasks and drop what the engine holds of Python."""
        self._loop.remove_reader(self.engine.fileno())
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.engine.flush()
        self.engine.clear()
        # Its hooks are methods of this loop: the circle would keep its descriptors open.
        del self.engine

    @contextmanager
    def look_after(self, node: Node, rotation: Rotation | None) -> Iterator[None]:
        """Look at the node's files for the time of the block."""
        node._rotation = rotation
        if rotation is None:
            yield
            return
        task = self._start(node._rotate()) if rotation.files else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
            node._loader.shutdown(wait=False)

    def _turn(self) -> None:
        if self.users == 0:
            return
        if self.engine.turn():
            self._loop.call_soon(self._turn)
        elif self.idle != "sleep" and self.engine.may_spin():
            self._loop.call_soon(self._spin)

    def _spin(self) -> None:
        """Callers that the turn has resumed have run now: look for what comes back."""
        # Where the loop tells what else is ready, it is not kept waiting.
        if self.users == 0 or getattr(self._loop, "_ready", None):
            return
        self.engine.flush()
        if self.engine.spin():
            self._turn()

    def _flush_soon(self) -> None:
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self.users:
            self.engine.flush()

    def _spawn(self, worker: Worker, handler: Any, argument: Any) -> None:
        self._start(_work(worker, handler, argument))

    def _resolve_soon(self, seed: Seed, host: str, port: int) -> None:
        self._start(_resolve(seed, host, port))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _work(worker: Worker, handler: Any, argument: Any) -> None:
    """One task of the pool. A cancelled request cancels it, and another takes its place."""
    task = asyncio.current_task()
    assert task is not None
    try:
        going_on = worker.start(task.cancel)
        while going_on:
            try:
                result = await handler(argument)
            except Exception as error:
                worker.fail(error)
            else:
                worker.finish(result)
            if (waiter := worker.park()) is None:
                return
            handler, argument = await Waits._wait(waiter)
    finally:
        worker.end()


async def _resolve(seed: Seed, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        seed.resolved([], str(error))
    else:
        seed.resolved([(str(entry[4][0]), int(entry[4][1])) for entry in found])


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Loop] = WeakKeyDictionary()


@asynccontextmanager
async def _shared_loop(idle: IdleStrategy) -> AsyncIterator[Loop]:
    """The engine's side of the running loop, kept as long as one node needs it."""
    running = asyncio.get_running_loop()
    loop = _loops.get(running)
    if loop is None:
        loop = _loops[running] = Loop(idle)
    if loop.idle != idle:
        raise ConfigurationError(f"the nodes of one loop share the idle strategy {loop.idle!r}")
    loop.users += 1
    try:
        yield loop
    finally:
        loop.users -= 1
        if loop.users == 0:
            del _loops[running]
            await asyncio.shield(loop.stop())


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
    rotation, material = await begin(tls, asyncio.to_thread)
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
        try:
            if address is not None:
                node.address = node._listen(address)
            with loop.look_after(node, rotation):
                yield node
        finally:
            await node._shut(drain_timeout)
