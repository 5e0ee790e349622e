# ruff: noqa: PYI021 - the stub is where the docstrings live.
"""The engine as Python sees it. The faces derive their classes from the ones here."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Self, final

from typing_extensions import disjoint_base

from ztransport._errors import Error

__all__ = [
    "Bell",
    "Count",
    "Engine",
    "Histogram",
    "Host",
    "Inbox",
    "Link",
    "Material",
    "Membership",
    "Message",
    "NodeCore",
    "NodeStatistics",
    "PeerStatistics",
    "Reply",
    "Seed",
    "SlowHandler",
    "StreamCore",
    "Traffic",
    "Waiter",
    "Worker",
    "ZeebeMembers",
    "built_with",
    "decode_broker_info",
    "generator_idle",
    "gossip_decode",
    "gossip_encode",
    "gossip_open",
    "gossip_seal",
    "limit_defaults",
    "run_generator",
    "run_relay",
]

def limit_defaults() -> dict[str, int]:
    """Return every limit of a node and its default."""

def built_with() -> dict[str, str]:
    """Return the versions of rustls, its cryptography (`aws-lc-rs`, `aws-lc-sys`) and `rustc`.

    And the `profile` of the build, "release" or "debug".
    """

def gossip_encode(messages: Sequence[tuple[Any, ...]]) -> bytes:
    """Return the body that holds messages, each a type code and its fields."""

def gossip_decode(body: bytes) -> list[tuple[Any, ...]]:
    """Return the messages of a body, each a type code and its fields."""

def gossip_seal(
    body: bytes,
    *,
    key: bytes | None,
    cluster: str,
    sender: int,
    counter: int,
    receiver: int,
    epoch: int,
    kind: str,
    cipher: str,
) -> bytes:
    """Return one datagram: header, sealed body and tag."""

def gossip_open(
    datagram: bytes,
    *,
    key: bytes | None,
    cluster: str,
    receiver: int,
    epoch: int,
    cipher: str,
) -> tuple[Any, ...]:
    """Return kind, epoch, sender, counter and body of a datagram."""

def decode_broker_info(value: bytes) -> dict[str, Any]:
    """Return the fields of Zeebe's ``brokerInfo`` by name.

    Raises `ValueError` for anything else.
    """

def generator_idle() -> str:
    """Return what the generator does while nothing is ready: "sleep", "adaptive" or "spin"."""

def run_generator() -> None:
    """Measure the windows that standard input asks for, until it ends.

    One JSON line asks for a window; one line says that it has begun, one that it has ended, and
    one is its result. The interpreter lock is free all the while. `OSError` if a line cannot be
    read or written, or is longer than 64 KiB.
    """

def run_relay(legs: Sequence[tuple[int, int, Material | None]], delay_us: int = 0) -> None:
    """Relay TCP between ports of the loopback interface until the process is ended.

    A leg is its port, the port upstream, and the material with which TLS ends here, or None. What
    goes upstream is held back for `delay_us` microseconds. The interpreter lock is free all the
    while. `OSError` if a port cannot be had.
    """

@final
class Histogram:
    """Counts of values in nanoseconds, 0 to an hour, with three significant digits.

    An HdrHistogram: a value counts as the greatest that its first three digits stand for, so a
    quantile is at most 0.1 % above the exact one.
    """

    def __new__(cls, values: Sequence[int]) -> Self:
        """Count `values`: `ValueError` for one above an hour, `OverflowError` below 0."""
    @staticmethod
    def decode(data: bytes) -> Histogram:
        """Read HdrHistogram's V2 encoding, compressed or not; `ValueError` for other bytes."""
    def encode(self) -> bytes:
        """Return the compressed V2 encoding, from which `decode` makes an equal histogram."""
    def merge(self, other: Histogram) -> Histogram:
        """Return a new histogram that counts the values of both."""
    @property
    def count(self) -> int:
        """Values counted."""
    @property
    def mean(self) -> float:
        """Their mean in nanoseconds; 0 if there are none."""
    @property
    def max(self) -> int:
        """The greatest in nanoseconds; 0 if there are none."""
    def value_at(self, quantile: float) -> int:
        """Return the value in nanoseconds that a share of `quantile` does not exceed.

        0 if nothing is counted; `ValueError` for a quantile that is not 0 to 1.
        """
    def curve(self, points: Sequence[float]) -> list[int]:
        """Return `value_at` of every one of `points`."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Host:
    """What the engine needs of the loop it lives in."""

    @staticmethod
    def trio(
        *,
        current_task: Callable[[], Any],
        effective_deadline: Callable[[], float],
        reschedule: Callable[..., None],
        aborted: Any,
        clock: Callable[[], float],
        spawn: Callable[[Worker, Any, Any], None],
        resolve: Callable[[Seed, str, int], None],
        failed: Callable[[str, BaseException], None],
        slow: Callable[[str, int], None],
        refused: Callable[[Error], None],
    ) -> Host: ...
    @staticmethod
    def asyncio(
        *,
        create_future: Callable[[], Awaitable[Any]],
        wake_flusher: Callable[[], None],
        clock: Callable[[], float],
        spawn: Callable[[Worker, Any, Any], None],
        resolve: Callable[[Seed, str, int], None],
        failed: Callable[[str, BaseException], None],
        slow: Callable[[str, int], None],
        refused: Callable[[Error], None],
    ) -> Host: ...

@final
class Engine:
    """The engine of one loop. It belongs to the thread and the process it was made in."""

    def __new__(cls, host: Host, spin_us: int | None) -> Self: ...
    def fileno(self) -> int:
        """Return the descriptor that is readable whenever `turn` has work."""
    def turn(self) -> bool:
        """Do everything that is ready; ``True``: call again soon, without waiting."""
    def flush(self) -> None:
        """Write what calls outside of a turn have queued."""
    def park_flusher(self) -> Waiter:
        """Park the task that flushes until there is something to flush."""
    def may_spin(self) -> bool:
        """Return whether a spin makes sense now."""
    def spin(self, seconds_max: float = ...) -> bool:
        """Return whether work came during a bounded spin, with the interpreter released."""
    @staticmethod
    def forked() -> None:
        """Make every engine of this process refuse to work: it is the child of a fork."""
    def clear(self) -> None:
        """Drop what the engine holds of Python; it is not used any more."""

@final
class Bell:
    """Resumes everybody who waits for it each time it rings, on either host loop."""

    def __new__(cls, engine: Engine) -> Self: ...
    def wait(self) -> Waiter:
        """Return what to wait for until it rings next."""
    def ring(self) -> None:
        """Resume everybody who waits."""

@final
class Membership:
    """One node's membership of its cluster."""

    def __new__(
        cls,
        node: NodeCore,
        *,
        seeds: Sequence[str],
        properties: dict[str, bytes],
        key: bytes | None,
        key_epoch: int,
        sealing: str | None,
        streams_only: bool,
        settings: dict[str, int],
        changed: Callable[[], None],
    ) -> Self:
        """Make a node a member; `changed` is called whenever `take` has something."""
    def take(self) -> tuple[list[tuple[Any, ...]], str | None]:
        """Return the members that have changed, and how the membership has ended, if it has."""
    def update_properties(self, properties: dict[str, bytes]) -> None:
        """Tell all members other properties."""
    def install_key(self, key: bytes) -> int:
        """Begin to replace the cluster key; return the new key's epoch."""
    def leave(self) -> None:
        """Begin to leave."""
    def close(self) -> None:
        """End without a word; whoever has not left is dead to the others."""
    def is_converged(self) -> bool:
        """Whether it has joined and all it hears from have had the same view for long enough."""
    def rotation(self) -> tuple[int, bool, int, int, int, tuple[str, ...]] | None:
        """Return epoch, whether it runs, members present, holding and ready, and laggards."""
    def statistics(self) -> dict[str, Any]:
        """Return the counters by the names of the fields of `ClusterStatistics`."""

@final
class Waiter:
    """One sleep of one task, and its outcome.

    Under Trio it is the abort function of the sleep and stands for the ``Outcome`` it ends with:
    Trio calls nothing of that but ``unwrap``.
    """

    @property
    def future(self) -> Awaitable[Any]:
        """The future to wait for, under asyncio."""
    def __call__(self, _raise_cancel: object, /) -> Any:
        """Trio's abort function."""
    def cancel(self) -> None:
        """Withdraw what is waited for: nobody waits any more."""
    def unwrap(self) -> Any:
        """Return or raise the outcome, once."""

@final
class Worker:
    """One task of the pool for async handlers."""

    def start(self, cancel: Callable[[], object]) -> bool:
        """Say that the task has begun and how to cancel it; ``False``: it need not go on."""
    def finish(self, result: Any) -> None:
        """Answer with what the handler returned."""
    def fail(self, error: BaseException) -> None:
        """Answer with what the handler raised."""
    def park(self) -> Waiter | None:
        """Park until the next handler and argument; ``None``: the task should end."""
    def end(self) -> None:
        """Say that the task is over; a job it did not end is answered for it."""

@final
class Seed:
    """What a peer is made from; only the engine makes one."""

    def resolved(self, addresses: list[tuple[str, int]], error: str | None = None) -> None:
        """Answer a look-up with addresses and ports, or with why there are none."""

@final
class Material:
    """Checked certificates, key, trust and choices of one node."""

    def __new__(
        cls,
        *,
        certificate_chain: str | PathLike[str] | bytes | None,
        private_key: str | PathLike[str] | bytes | None,
        private_key_password: bytes | None,
        profile: str,
        allowed_identities: list[str],
        node_identities: list[tuple[str, str]],
        role_identities: list[tuple[str, str]],
        revocation_lists: list[str | PathLike[str] | bytes],
        trust: list[str | PathLike[str] | bytes],
        client_auth: str,
        verify_hostname: bool,
        require_alpn: bool,
        cipher_suites: list[str],
        groups: list[str],
        close_at_expiry: bool,
    ) -> Self: ...
    @property
    def warnings(self) -> list[str]:
        """What works, but should be mended; a sentence each."""

@disjoint_base
class Link:
    """The handle of one peer."""

    def __new__(cls, seed: Seed) -> Self: ...
    def send_nowait(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview,
        metadata: Mapping[str, bytes] | None = None,
    ) -> None:
        """Send a one-way message now.

        Raises `WouldBlock` when there is no room or no connection; nothing is sent then.
        """
    @property
    def is_up(self) -> bool:
        """Whether the peer is connected and has greeted."""
    @property
    def address(self) -> str | None:
        """The address that was dialled, or the one the peer came from."""
    @property
    def node_id(self) -> str | None:
        """The name the peer greeted with."""
    @property
    def roles(self) -> tuple[str, ...] | None:
        """What the peer says it is for; empty where its protocol or its node says nothing."""
    @property
    def advertised_address(self) -> str | None:
        """The address the peer can be dialled at; none if it cannot be."""
    @property
    def protocol(self) -> str | None:
        """What it speaks, `zt/1` or `zeebe`; none before the first connection."""
    @property
    def inbound(self) -> bool | None:
        """Whether the peer has dialled us."""
    def statistics(self) -> PeerStatistics:
        """Return the counters of the present connection."""
    def _request(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview,
        timeout: float | None,
        metadata: Mapping[str, bytes] | None,
    ) -> Waiter: ...
    def _request_many(
        self,
        subject: str,
        payloads: Iterable[bytes | bytearray | memoryview],
        timeout: float | None,
        metadata: Mapping[str, bytes] | None,
    ) -> Waiter | list[Any]: ...
    def _send_many(
        self,
        subject: str,
        payloads: list[bytes | bytearray | memoryview],
        start: int,
        metadata: Mapping[str, bytes] | None,
    ) -> int: ...
    def _room(self, subject: str) -> Waiter | None: ...
    def _opening(self) -> Waiter | None: ...
    def _closing(self) -> Waiter | None: ...
    def _close(self) -> None: ...
    def _tls(self) -> dict[str, Any] | None: ...

@final
class Message:
    """A request or a one-way message, as a handler or a subscriber gets it."""

    @property
    def payload(self) -> bytes:
        """What was sent."""
    @property
    def subject(self) -> str:
        """What it is about."""
    @property
    def peer(self) -> Any:
        """Who sent it: the peer object of the face, to be asked and sent to in turn."""
    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, on the host loop's clock; none if it does not."""
    @property
    def metadata(self) -> dict[str, bytes]:
        """The sender's pairs, in a fresh dictionary."""
    def defer(self) -> Reply:
        """Take the answer out of the handler's hands; what the handler returns is ignored.

        Raises `AlreadyAnswered` the second time and `NotSupported` for a one-way message.
        """
    def forward(self, peer: Link, subject: str | None = None) -> None:
        """Pass the message on to another peer of the same loop.

        Its reply, fault, cancellation and deadline are relayed without another visit to Python. A
        one-way message is sent on. Raises `AlreadyAnswered` the second time, and what a request or
        a send would raise; the message is still unanswered then.
        """

@final
class Reply:
    """The answer of a request, to be given once, at any time.

    If it is dropped without an answer, the caller gets a `HandlerFailure` and it is counted.
    """

    def send(self, payload: bytes | bytearray | memoryview) -> None:
        """Answer with a payload. Raises `AlreadyAnswered` the second time."""
    def fault(self, reason: Exception | int, text: str = "") -> None:
        """Answer with an `Error`, or with the code and text of a rejection."""

@disjoint_base
class StreamCore:
    """One stream."""

    def __new__(
        cls,
        peer: Link,
        subject: str,
        payload: bytes | bytearray | memoryview,
        metadata: Mapping[str, bytes] | None = None,
    ) -> Self: ...
    @property
    def peer(self) -> Any:
        """The other side."""
    @property
    def subject(self) -> str:
        """What the stream is about."""
    @property
    def payload(self) -> Any:
        """What the stream was opened with."""
    @property
    def metadata(self) -> dict[str, bytes]:
        """The pairs it was opened with, in a fresh dictionary."""
    @property
    def sent_count(self) -> int:
        """Messages sent so far."""
    @property
    def acknowledged_count(self) -> int:
        """Messages the peer has consumed, of those sent."""
    def send_nowait(self, payload: bytes | bytearray | memoryview) -> None:
        """Send a message now. Raises `WouldBlock` when there is no room; nothing is sent then."""
    def _open(self) -> None: ...
    def _send_many(
        self, payloads: list[bytes] | list[bytes | bytearray | memoryview], start: int
    ) -> int: ...
    def _finish(self) -> None: ...
    def acknowledge(self, count: int) -> None:
        """Say that ``count`` of the peer's messages, from the first, are consumed.

        For messages taken with ``batches(hold=True)``: the peer learns of it at once, and gets its
        credit back. A count that was told before means nothing; one beyond what was taken raises
        `ConfigurationError`. Of a stream that has ended nobody is told.
        """
    def _next(self) -> bytes | None: ...
    def _batch(self, hold: bool = False) -> list[bytes] | None: ...
    def _readable(self) -> Waiter: ...
    def _room(self) -> Waiter | None: ...
    def _acknowledged(self, count: int) -> Waiter | None: ...
    def _leave(self) -> None: ...

@disjoint_base
class Inbox:
    """The buffer of one subscription."""

    def __new__(cls, node: NodeCore, subject: str, buffer_bytes_max: int) -> Self: ...
    @property
    def subject(self) -> str:
        """The subject whose one-way messages arrive here."""
    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait to be taken."""
    def close(self) -> None:
        """End the subscription; what waits is dropped and its senders get their credit back."""
    def _messages(self) -> list[Message] | None: ...
    def _payloads(self) -> list[bytes] | None: ...
    def _readable(self) -> Waiter: ...

@disjoint_base
class NodeCore:
    """One node."""

    def __new__(
        cls,
        engine: Engine,
        *,
        cluster: str,
        node_id: str,
        advertise: str,
        roles: list[str],
        limits: dict[str, int],
        material: Material | None,
        peer_class: type[Link],
        stream_class: type[StreamCore],
        handler_budget_ms: int,
        expose_errors: bool,
        accept: str | None,
        dial: str | None,
        protocols: list[str],
        zeebe_compression: str,
    ) -> Self: ...
    @property
    def engine(self) -> Engine:
        """The engine all nodes of this loop share."""
    @property
    def cluster(self) -> str:
        """The cluster it belongs to; peers of another are refused."""
    @property
    def node_id(self) -> str:
        """The name it greets with."""
    def statistics(self) -> NodeStatistics:
        """Return the counters since the node was opened."""
    def _advertised(self) -> tuple[str, bool]: ...
    def _listen(self, address: str) -> str: ...
    def _dial(self, address: str, pooled: bool, protocol: str) -> Link: ...
    def _handle(self, subject: str, function: Callable[..., Any], is_async: bool) -> None: ...
    def _handle_prefix(self, prefix: str, function: Callable[..., Any], is_async: bool) -> None: ...
    def _handle_stream(self, subject: str, function: Callable[..., Any]) -> None: ...
    def _subscribe(self, subject: str, inbox: Inbox) -> None: ...
    def _publish_tls(self, material: Material) -> int: ...
    def _count_tls_failure(self) -> None: ...
    def _drain(self) -> None: ...
    def _drained(self) -> Waiter | None: ...
    def _close(self) -> None: ...

@final
class Count:
    """Messages and their payload bytes."""

    @property
    def messages(self) -> int:
        """Messages."""
    @property
    def bytes(self) -> int:
        """Their bytes, metadata included."""

@final
class Traffic:
    """Messages of one direction, by kind."""

    @property
    def requests(self) -> Count:
        """Requests."""
    @property
    def replies(self) -> Count:
        """Replies."""
    @property
    def faults(self) -> Count:
        """Faults that answer a request."""
    @property
    def sends(self) -> Count:
        """One-way messages."""
    @property
    def streams(self) -> Count:
        """Messages on streams."""
    @property
    def cancels(self) -> int:
        """Cancelled requests."""
    @property
    def pings(self) -> int:
        """Pings."""
    @property
    def wire_bytes(self) -> int:
        """All bytes of the protocol, headers included."""

@final
class PeerStatistics:
    """A peer's counters, of its present connection unless said otherwise."""

    @property
    def sent(self) -> Traffic:
        """What was queued for the peer."""
    @property
    def received(self) -> Traffic:
        """What arrived."""
    @property
    def bytes_received(self) -> int:
        """Bytes read from the socket."""
    @property
    def bytes_sent(self) -> int:
        """Bytes written to the socket."""
    @property
    def queue_bytes(self) -> int:
        """Bytes that wait to be written."""
    @property
    def pending_calls(self) -> int:
        """Calls that wait for a connection or for credit."""
    @property
    def redials(self) -> int:
        """Times the peer was dialled again, over all connections."""
    @property
    def unconfirmed(self) -> int:
        """One-way messages sent and not confirmed, over all connections."""
    @property
    def requests_in_flight(self) -> int:
        """Our requests without an answer."""
    @property
    def requests_running(self) -> int:
        """The peer's requests without an answer."""
    @property
    def request_credit(self) -> int:
        """Requests that may be sent before one is answered."""
    @property
    def request_credit_bytes(self) -> int:
        """Their bytes."""
    @property
    def streams_open(self) -> int:
        """Streams of both sides."""
    @property
    def expired(self) -> int:
        """Our requests whose deadline passed."""
    @property
    def late_answers(self) -> int:
        """Answers to requests that were cancelled or had expired."""
    @property
    def ignored_ids(self) -> int:
        """Frames for ids that are unknown; they were dropped."""
    @property
    def dropped_unstarted(self) -> int:
        """The peer's requests that had expired before they were started."""
    @property
    def rtt_ms(self) -> float:
        """The smoothed round-trip time in milliseconds; 0 before the first ping is answered."""

@final
class SlowHandler:
    """Calls of one subject's sync handler that took longer than the budget."""

    @property
    def count(self) -> int:
        """Calls."""
    @property
    def max_ms(self) -> float:
        """The longest, in milliseconds."""

@final
class NodeStatistics:
    """A node's counters since it was opened."""

    @property
    def connections(self) -> int:
        """Connections that are open now, both ways."""
    @property
    def plaintext_connections(self) -> dict[str, int]:
        """Of these, those in plaintext, by the peer's node id, or by its address without one."""
    @property
    def handshaking(self) -> int:
        """Accepted connections that have not greeted yet."""
    @property
    def accepted(self) -> int:
        """Connections accepted."""
    @property
    def dialled(self) -> int:
        """Connections dialled."""
    @property
    def tls_reloads(self) -> int:
        """Times certificates, key, trust and revocation lists were replaced."""
    @property
    def tls_reload_failures(self) -> int:
        """Times they could not be, and the old ones were kept."""
    @property
    def closed(self) -> dict[str, int]:
        """Connections that have ended, by reason."""
    @property
    def bytes_received(self) -> int:
        """Bytes read from sockets."""
    @property
    def bytes_sent(self) -> int:
        """Bytes written to sockets."""
    @property
    def turns(self) -> int:
        """Turns of the engine."""
    @property
    def turn_max_ms(self) -> float:
        """The longest turn in milliseconds, with the handlers in it."""
    @property
    def sent(self) -> Traffic:
        """What was queued for all peers."""
    @property
    def received(self) -> Traffic:
        """What arrived from all peers."""
    @property
    def unroutable(self) -> int:
        """One-way messages that nobody takes."""
    @property
    def overflowed(self) -> int:
        """One-way messages that a subscription had no room for."""
    @property
    def unanswered(self) -> int:
        """Deferred replies that were dropped."""
    @property
    def handler_failures(self) -> int:
        """Handlers that raised something of their own."""
    @property
    def slow_handlers(self) -> dict[str, SlowHandler]:
        """Sync handlers that took longer than the budget, by subject."""

@final
class ZeebeMembers:
    """The membership protocol of Zeebe, without clock and sockets. Times are in seconds."""

    def __new__(
        cls,
        *,
        cluster: str,
        name: str,
        address: tuple[str, int],
        properties: Mapping[str, str],
        seeds: Sequence[tuple[str, int]],
        version: tuple[int, int, int],
        wall_ms: int,
        seed: int,
        now: float,
        settings: Mapping[str, int],
    ) -> Self:
        """Make a member that asks its seeds at once."""
    @property
    def own(self) -> tuple[Any, ...]:
        """Name, host, port, state, generation, incarnation and properties of this member."""
    @property
    def is_converged(self) -> bool:
        """Whether the last list that a member sent is what is known here."""
    @property
    def is_departed(self) -> bool:
        """Whether it has left and all farewells have ended."""
    def update_properties(self, now: float, properties: Mapping[str, str]) -> None:
        """Tell all members other properties."""
    def leave(self) -> None:
        """Begin to leave."""
    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
    def handle_datagram(self, now: float, data: bytes) -> None:
        """Take a datagram."""
    def handle_request(
        self, now: float, subject: str, payload: bytes
    ) -> bytes | tuple[int, str, int, str, bytes, float]:
        """Take a request: the reply, or the request whose outcome gives the reply."""
    def handle_reply(self, now: float, token: int, reply: bytes | None) -> bytes | None:
        """End a request with its reply, or with none; return the reply that waits for it."""
    def poll_timeout(self) -> float | None:
        """Return when `handle_timeout` is due."""
    def poll_request(self) -> tuple[int, str, int, str, bytes, float] | None:
        """Return the next request: token, host, port, subject, payload and time-out."""
    def poll_transmit(self) -> tuple[str, int, bytes] | None:
        """Return the next datagram and where it goes."""
    def poll_event(self) -> tuple[Any, ...] | None:
        """Return the next change of a member, as `own` describes it."""
    def statistics(self) -> dict[str, int]:
        """Return the counters since the start."""
