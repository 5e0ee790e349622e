"""The generator's side of a window: it is asked, and clocks are read when it begins and ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ztransport.bench.fairness import Files
from ztransport.bench.processes import BenchError, Role
from ztransport.bench.readings import Reading, Spent, spent
from ztransport.bench.stack import CLUSTER
from ztransport.bench.variants import Variant
from ztransport.bench.workloads import Workload

__all__ = ["Asked", "Generator", "Measured", "Refused"]

WAIT_S_MAX = 30.0
IN_FLIGHT_MAX = 65_536
SUBJECT, TOPIC = "echo", "bench"


class Refused(BenchError):
    """The generator could not do a window, and can do the next."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One window: times in seconds, `rate` in messages sent a second, None for a closed loop."""

    variant: Variant
    work: Workload
    rate: float | None
    seconds: float
    warm_up_s: float
    seed: int = 0
    in_flight_max: int = IN_FLIGHT_MAX

    def line(self, port: int, files: Files) -> dict[str, Any]:
        """The window as the generator is asked for it, dialling `port`.

        Published messages go to a topic of the window's own, by its seed: what a failed window
        left in a queue is not delivered to the next.
        """
        load: dict[str, Any] = {"mode": "closed"}
        if self.rate is not None:
            load = {"mode": "open", "rate": self.rate, "arrivals": "poisson", "seed": self.seed}
        publishes = self.work.pattern == "publish"
        return {
            "address": f"127.0.0.1:{port}",
            "secured": self.variant.dialled,
            "require_alpn": self.variant.require_alpn,
            "chain": files.chain_path,
            "key": files.key_path,
            "trust": files.trust_path,
            "cluster": CLUSTER,
            "pattern": self.work.pattern,
            "subject": f"{TOPIC}-{self.seed}" if publishes else SUBJECT,
            "payload_bytes": self.work.payload_bytes,
            "connections": self.work.connections,
            "window": self.work.window,
            "publishers": self.work.publishers,
            "subscribers": self.work.subscribers,
            "load": load,
            "in_flight_max": self.in_flight_max,
            "warm_up_s": self.warm_up_s,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """What the generator said of a window, and what was spent in it."""

    said: Mapping[str, Any]
    spent: Spent


class Generator:
    """The load generator, a process of its own."""

    def __init__(self, folder: Path, core: int | None) -> None:
        command = [sys.executable, "-m", "ztransport.bench.generator"]
        self.role = Role("generator", command, folder / "generator.log", core=core)

    def measure(self, line: dict[str, Any], read: Callable[[], Reading]) -> Measured:
        """Measure one window.

        Raises Refused, or BenchError when the generator ends, falls silent or says what is not
        due: it is of no more use then.
        """
        self.role.tell(line)
        seconds_max = WAIT_S_MAX + line["warm_up_s"] + line["seconds"]
        self._expect("begin", seconds_max)
        begin = read()
        self._expect("end", seconds_max)
        end = read()
        return Measured(self._expect("result", seconds_max), spent(begin, end))

    def _expect(self, event: str, seconds_max: float) -> Mapping[str, Any]:
        said: Mapping[str, Any] = self.role.answer(seconds_max)
        if said["event"] == "refused":
            raise Refused(str(said["error"]))
        if said["event"] != event:
            raise BenchError(f"the generator said {said['event']} where {event} was due")
        return said

    def close(self) -> None:
        """End it."""
        self.role.close()
