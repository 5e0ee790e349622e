"""The bounds of a node: each has a name, a unit and a default."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ztransport._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

IdleStrategy = Literal["adaptive", "sleep", "spin"]
"""What a loop with nothing to do does: ``"sleep"`` blocks in the kernel, ``"spin"`` looks for work
for `SPIN_MICROSECONDS` before. ``"adaptive"`` does so for at most 100 µs, and only in a rally:
while single messages go back and forth so fast that sleeping would cost more processor time."""

Protocol = Literal["zt/1", "zeebe"]
"""What a connection speaks: the native protocol, or Zeebe's cluster messaging."""

Accept = Literal["plaintext", "permissive", "tls"]
"""What listeners take: plaintext, TLS, or both, told by a connection's first bytes."""

Dial = Literal["plaintext", "tls"]
"""How a node dials. One that dials with TLS never falls back to plaintext."""

ZeebeCompression = Literal["none", "gzip", "snappy"]
"""How the bytes of Zeebe's protocol are compressed, as its ``messageCompression`` says."""

SPIN_MICROSECONDS: Final = 150
"""How long an engine with the idle strategy ``"spin"`` looks for work before it blocks."""

SPINS: Final[Mapping[IdleStrategy, int | None]] = {
    "adaptive": None,
    "sleep": 0,
    "spin": SPIN_MICROSECONDS,
}
"""Microseconds by idle strategy, as the engine takes them."""

REQUEST_TIMEOUT_SECONDS: Final = 5.0
"""How long a request waits for its answer unless told otherwise."""

DRAIN_TIMEOUT_SECONDS: Final = 5.0
"""How long leaving ``open_node`` waits for what is in flight unless told otherwise."""

HANDLER_BUDGET_MILLISECONDS: Final = 50
"""A sync handler that takes longer is counted by subject and logged."""

SUBSCRIPTION_BUFFER_BYTES: Final = 64 << 20
"""What one subscription buffers for all senders together unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a node tolerates. Names end in their unit; a value out of range is refused at start.

    Windows are told to the peer, which keeps within them; the rest is enforced here.
    """

    message_bytes_max: int = 4 << 20
    """Bytes of one message: 64 KiB to 1 GiB."""
    request_window_count: int = 1_024
    """Requests of one peer that are not answered yet."""
    request_window_bytes: int = 16 << 20
    """Their bytes; at least ``message_bytes_max``."""
    subjects_max: int = 1_024
    """Subjects one peer may use."""
    subject_window_count: int = 65_536
    """One-way messages of one peer and subject that are not taken yet."""
    subject_window_bytes: int = 8 << 20
    """Their bytes; at least ``message_bytes_max``."""
    streams_max: int = 1_024
    """Streams one peer may have open."""
    stream_window_count: int = 65_536
    """Messages of one stream that are not taken yet."""
    stream_window_bytes: int = 8 << 20
    """Their bytes; at least ``message_bytes_max``."""
    assembly_bytes_max: int = 64 << 20
    """Announced bytes of messages that have begun to arrive, for each connection."""
    assembly_grace_ms: int = 10_000
    """A message that takes longer than this must keep the rate below."""
    assembly_bytes_per_second_min: int = 4_096
    """The least rate of such a message."""
    metadata_bytes_max: int = 4_096
    """Bytes of metadata taken with one message."""
    output_bytes_high: int = 1 << 20
    """Queued output above which one-way and stream messages are refused."""
    output_bytes_low: int = 256 << 10
    """Queued output at which they are taken again."""
    hello_timeout_ms: int = 2_000
    """Time from the end of the TLS handshake to the peer's greeting."""
    ping_interval_ms: int = 5_000
    """Time between two pings."""
    liveness_timeout_ms: int = 15_000
    """Silence after which a peer is taken for dead."""
    overhead_burst: int = 1_000
    """Frames without content a peer may send at once."""
    overhead_per_second: int = 100
    """Frames without content a peer may send per second."""
    unknown_ids_max: int = 1_000
    """Frames for unknown ids after which a connection ends."""
    zeebe_message_bytes_max: int = 4 << 20
    """Bytes of one message of Zeebe's protocol, both ways: 64 KiB to 1 GiB."""
    zeebe_heartbeat_interval_ms: int = 5_000
    """Time between two heartbeats offered when dialling with Zeebe's protocol; 0 offers none."""
    handshake_timeout_ms: int = 5_000
    """Time from the connection to the end of the TLS handshake."""
    connect_timeout_ms: int = 5_000
    """Time to connect, for each address tried."""
    write_stall_ms: int = 10_000
    """How long a peer may leave written bytes unread before it is cut off."""
    linger_ms: int = 1_000
    """How long a refused peer is read, so that it learns why."""
    connection_age_max_ms: int = 0
    """Age by which a connection is replaced by a new one, without a call noticing; 0 for none.

    Each is replaced at a random moment in the last fifth of it. It holds for dialled connections of
    pooled peers and for accepted ones; for accepted ones of Zeebe's protocol it does not.
    """
    retire_timeout_ms: int = 60_000
    """How long what runs on a connection that is being replaced may take."""
    redial_base_ms: int = 50
    """First upper bound of the random wait before a re-dial."""
    redial_cap_ms: int = 2_000
    """Last upper bound of that wait."""
    connections_max: int = 10_000
    """Accepted connections."""
    handshakes_max: int = 2_048
    """Accepted connections that have not greeted yet."""
    handshakes_per_source_max: int = 1_024
    """The same from one source address."""
    pending_calls_max: int = 65_536
    """Calls that wait for a connection or for credit, for each peer."""
    pending_bytes_max: int = 64 << 20
    """Bytes of such calls, for each peer."""

    def by_name(self) -> dict[str, int]:
        """Return all limits in a dictionary."""
        return dataclasses.asdict(self)


DAY_MS: Final = 86_400_000

CLUSTER_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "gossip_interval_ms": (10, 60_000),
    "gossip_fanout": (1, 16),
    "probe_interval_ms": (10, 60_000),
    "probe_timeout_ms": (1, 60_000),
    "suspect_probes": (0, 16),
    "failure_timeout_ms": (0, DAY_MS),
    "sync_interval_ms": (10, DAY_MS),
}
"""The least and the greatest value of each number in `ClusterSettings`."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """How a membership probes and tells, under Zeebe's names and with Zeebe's defaults.

    They are Zeebe's ``zeebe.broker.cluster.membership``, with the unit behind each name. Without
    settings the native protocol has defaults of its own; with them it takes what it has a use for.
    Raises `ConfigurationError` for a number out of its range.
    """

    broadcast_updates: bool = False
    """Tell changed properties to all members at once. The native protocol spreads them anyway."""
    broadcast_disputes: bool = True
    """Tell a refutation to all members at once. The native protocol spreads them anyway."""
    notify_suspect: bool = False
    """Tell a suspected member of it. The native protocol always does."""
    gossip_interval_ms: int = 250
    """Time between two rounds of gossip: 10 to 60,000."""
    gossip_fanout: int = 2
    """Members told in one round: 1 to 16."""
    probe_interval_ms: int = 1_000
    """Time between two probes: 10 to 60,000."""
    probe_timeout_ms: int = 100
    """The longest wait for an answer before others are asked to probe: 1 to 60,000. The native
    protocol takes at most the probe interval."""
    suspect_probes: int = 3
    """Members asked to probe one that did not answer: 0 to 16."""
    failure_timeout_ms: int = 10_000
    """How long a suspected member may refute: 0 to 86,400,000. The native protocol takes at most
    600,000, and adds the time that two rumours need to spread."""
    sync_interval_ms: int = 10_000
    """Time between two exchanges of views: 10 to 86,400,000. The native protocol takes 100 or
    more."""

    def __post_init__(self) -> None:
        """Refuse the first number that is out of its range."""
        for name, (least, greatest) in CLUSTER_RANGES.items():
            check_range(name, getattr(self, name), least, greatest)


def check_range(name: str, value: object, least: int, greatest: int) -> None:
    """Raise `ConfigurationError` unless a value is a whole number in a range."""
    if not isinstance(value, int) or not least <= value <= greatest:
        raise ConfigurationError(f"{name} is {value!r}: choose {least} to {greatest}")
