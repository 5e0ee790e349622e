"""What a case is: something done to a server, the bars it must keep, and what it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.abuse.raw import Target
from bench.abuse.stage import Child, Control, Server, Stage

P99_FACTOR_MAX = 3
P99_MS_FLOOR = 50.0


class Bars:
    """What was measured beside what was asked, and whether all of it was kept."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.missed: list[str] = []

    def check(self, text: str, met: bool) -> None:
        """Note a measurement and whether it keeps its bar."""
        self.measured.append(text)
        if not met:
            self.missed.append(text)

    def note(self, text: str) -> None:
        """Note a measurement without a bar."""
        self.measured.append(text)

    def at_most(self, what: str, value: float, limit: float, unit: str) -> None:
        """A value that may not exceed its bar."""
        self.check(f"{what} {value:,.4g} {unit}", value <= limit)

    def exactly(self, what: str, value: object, expected: object) -> None:
        """A value that must be what was expected."""
        text = f"{what} {value}"
        self.check(
            text if value == expected else f"{text} instead of {expected}", value == expected
        )

    def counted(self, closed: Counter[str], **expected: int) -> None:
        """Ended connections by reason: at least so many of these."""
        for reason, count in expected.items():
            found = closed[reason]
            text = f"{found} {reason}"
            self.check(text if found >= count else f"{text} of {count}", found >= count)


@dataclass(slots=True)
class Case:
    """A running server with its control client, and the bars to be noted."""

    stage: Stage
    server: Server
    control: Child
    bars: Bars
    closed_before: Counter[str]
    quiet: dict[str, float]
    resident_cold: int
    """Bytes of memory the server had before its first connection."""
    seed: int

    @property
    def tls(self) -> Target:
        """The server's TLS node."""
        return self.server.tls

    @property
    def plain(self) -> Target:
        """The server's plaintext node, there for tests only."""
        return self.server.plain

    @property
    def zeebe(self) -> Target:
        """The server's TLS node that takes Zeebe's protocol too."""
        return self.server.zeebe

    @property
    def zeebe_plain(self) -> Target:
        """The same in plaintext, there for tests only."""
        return self.server.zeebe_plain

    @property
    def p99_limit_ms(self) -> float:
        """What the control client's p99 may be."""
        return max(P99_FACTOR_MAX * self.quiet["p99_ms"], P99_MS_FLOOR)

    def closed(self) -> Counter[str]:
        """Connections ended since the case began, by reason."""
        now = self.server.closed()
        now.subtract(self.closed_before)
        return +now


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    id: str
    what: str
    bar: str
    run: Callable[[Case], None] | None
    covered_by: tuple[str, ...] = ()
    """Deterministic tests of `make test` that cover the row, or its part that is not run here."""
    stalls_control: bool = False
    """Whether the case itself keeps the control client waiting, so that its p99 has no bar."""
    control: Control = field(default_factory=Control)
    descriptors_max: int | None = None
    hello_timeout_ms: int | None = None
    """How long the server waits for a greeting, if not as long as by default."""
