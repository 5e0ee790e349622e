"""What one cell does to one group, and what it finds: `python -m bench.membership.cell JSON`."""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.membership import isolation, loss
from bench.membership.group import SEEDS, Fact, Group, Process
from ztransport.bench.processes import BenchError

# So far apart that the rumours of one are over when the next begins, or nearly.
KILLS, KILL_EVERY_SECONDS = 10, 8.5
LEAVES, LEAVE_EVERY_SECONDS = 8, 1.5
WAVE_SECONDS_MAX = 15.0
SETTLE_SECONDS = 6.0
IDLE_SECONDS = 15.0
NOTICE_SECONDS = 12.0
LEAVE_SECONDS = 3.0
BIND_SECONDS = 0.3
READY = "ready"


@dataclass(frozen=True, slots=True)
class Cell:
    """One contender, so many members, so much loss of UDP in percent."""

    contender: str
    size: int
    loss: float


class Scene:
    """One group through a wave of joins, idleness, kills and leaves."""

    def __init__(self, cell: Cell, group: Group) -> None:
        self._cell = cell
        self._group = group
        self._random = random.Random(f"{cell.size} {cell.loss}")
        self._joined: list[Process] = []
        self._killed: dict[str, float] = {}
        self._loss_from: list[Process] = []

    def prepare(self) -> None:
        """Start all processes, those that join later among them."""
        self._group.start(self._cell.size + KILLS)

    def run(self) -> dict[str, Any]:
        """Everything in its order."""
        results = {"wave": self._wave()}
        self._impose_loss()
        self._group.listen(SETTLE_SECONDS)
        results["idle"] = self._idle()
        results["kills"] = self._kills()
        results["leaves"] = self._leaves()
        results["false"] = self._false()
        return results

    def _wave(self) -> dict[str, Any]:
        self._joined = self._group.processes[: self._cell.size]
        begun = time.monotonic()
        for process in self._joined:
            process.order("join")
        self._group.wait(WAVE_SECONDS_MAX, lambda: self._group.count("full") == self._cell.size)
        full = [fact.at - begun for fact in self._group.facts if fact.fact == "full"]
        return {**_summary(full), "unfinished": self._cell.size - len(full)}

    def _impose_loss(self) -> None:
        for process in self._joined:
            if self._cell.loss and process not in self._loss_from:
                self._loss_from.append(process)
                if not loss.impose(process.pid, self._cell.loss / 100):
                    raise BenchError(f"{process.name} has no UDP socket to lose datagrams at")

    def _idle(self) -> dict[str, float]:
        before = [isolation.cpu_seconds(process.pid) for process in self._joined]
        with isolation.counted() as traffic:
            self._group.listen(IDLE_SECONDS)
        after = [isolation.cpu_seconds(process.pid) for process in self._joined]
        member_seconds = IDLE_SECONDS * len(self._joined)
        return {
            "udp_payload_bytes_per_second": traffic.udp_payload / member_seconds,
            "payload_bytes_per_second": (traffic.udp_payload + traffic.tcp_payload)
            / member_seconds,
            "packet_bytes_per_second": traffic.whole / member_seconds,
            "cpu_ms_per_second": 1e3 * (sum(after) - sum(before)) / member_seconds,
        }

    def _victim(self) -> Process:
        return self._random.choice([one for one in self._joined[SEEDS:] if one.running])

    def _kills(self) -> dict[str, Any]:
        spares = self._group.processes[self._cell.size :]
        for spare in spares:
            victim = self._victim()
            self._killed[victim.name] = victim.kill()
            spare.order("join")
            self._joined.append(spare)
            self._group.listen(BIND_SECONDS)
            self._impose_loss()
            self._group.listen(KILL_EVERY_SECONDS - BIND_SECONDS)
        self._group.listen(NOTICE_SECONDS)
        return self._detected(set(self._killed) | {spare.name for spare in spares})

    def _detected(self, passing: set[str]) -> dict[str, Any]:
        """Times of those that were there from the first kill to the end."""
        observers = [one.name for one in self._joined if one.name not in passing]
        first, spread, each, unnoticed = [], [], [], 0
        for name, at in self._killed.items():
            times = {fact.observer: fact.at - at for fact in self._told("failed", name)}
            seen = [times[observer] for observer in observers if observer in times]
            unnoticed += len(observers) - len(seen)
            if seen:
                first.append(min(seen))
                spread.append(max(seen) - min(seen))
                each += seen
        return {
            "kills": len(self._killed),
            "seconds_to_each": _summary(each),
            "seconds_to_first": _summary(first),
            "seconds_from_first_to_last": _summary(spread),
            "unnoticed": unnoticed,
        }

    def _told(self, fact: str, member: str) -> list[Fact]:
        return [one for one in self._group.facts if one.fact == fact and one.member == member]

    def _leaves(self) -> dict[str, Any]:
        leavers: list[Process] = []
        for _ in range(LEAVES):
            leaver = self._victim()
            leaver.leave()
            leavers.append(leaver)
            self._group.listen(LEAVE_EVERY_SECONDS)
        self._group.listen(LEAVE_SECONDS)
        observers = {one.name for one in self._joined if one.running}
        begun = {one.observer: one.at for one in self._group.facts if one.fact == "leaving"}
        each, missed = [], 0
        for leaver in leavers:
            told = {one.observer: one.at for one in self._told("left", leaver.name)}
            each += [told[name] - begun[leaver.name] for name in observers & set(told)]
            missed += len(observers - set(told))
        return {**_summary(each), "leaves": len(leavers), "missed": missed}

    def _false(self) -> dict[str, int]:
        def false(fact: str) -> int:
            told = (one for one in self._group.facts if one.fact == fact)
            return sum(1 for one in told if one.at < self._killed.get(one.member, float("inf")))

        return {"deaths": false("failed"), "suspicions": false("suspected")}


def _summary(values: list[float]) -> dict[str, float | None]:
    """Nearest-rank percentiles; None without values."""
    ordered = sorted(values)

    def rank(share: float) -> float | None:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None

    return {
        "count": len(ordered),
        "min": rank(0),
        "p50": statistics.median(ordered) if ordered else None,
        "p99": rank(0.99),
        "max": rank(1),
    }


def main(given: list[str]) -> None:
    """Measure one cell in the network this process was given, and print what was found.

    It says when it is ready, and begins when it is told so.
    """
    asked = json.loads(given[0])
    cell = Cell(**asked["cell"])
    isolation.raise_loopback()
    with Group(asked["command"], cell.size, Path(asked["errors"])) as group:
        scene = Scene(cell, group)
        scene.prepare()
        print(READY, flush=True)
        if sys.stdin.readline():
            print(json.dumps(scene.run()))


if __name__ == "__main__":
    main(sys.argv[1:])
