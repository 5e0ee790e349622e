"""Two nodes that talk to one another, of a real Zeebe or of ztransport, and windows of their talk.

The node that answers has core 0, the one that calls core 1, from their first instruction.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from bench.contenders.protocol import CONNECT, EVERY_WORK, Config, Sample
from bench.zeebe.plan import WORKS, Own
from ztransport.bench.processes import BenchError, Role, port_of
from ztransport.bench.windows import WARM_UP_S

INTEROP = Path("target/interop")
CLUSTER = "zeebe-cluster"
SERVER_CORE, CLIENT_CORE = 0, 1
HEAP = "-Xmx1g"
WARM_UP_OF_ZEEBE_S = 24.0
"""For each pair of Java nodes, shared by the works: compilers want to have seen all of them."""
PATIENCE_S = 60.0


class Pair(Protocol):
    """Two nodes, one of which calls the other."""

    def measure(self, work: str, seconds: float) -> Sample:
        """One window of a closed loop, behind a short warm-up."""

    def close(self) -> None:
        """End both."""


class ZeebeNode(Role):
    """A node of tests/interop: one line of words in, one line out."""

    def __init__(self, name: str, scratch: Path, core: int, tls: tuple[str, str] | None) -> None:
        arguments = [CLUSTER, "none", *(tls or ())]
        command = [java(), HEAP, "--enable-native-access=ALL-UNNAMED", "-cp", _classes()]
        errors = scratch / f"zeebe-{name}.err"
        super().__init__(f"Zeebe ({name})", [*command, "ZeebePeer", *arguments], errors, core=core)
        self.address = self._after("ready")

    def do(self, *words: object) -> str:
        """Let it do something. Raises BenchError when that fails."""
        self.say(" ".join(map(str, words)))
        return self._after("ok")

    def _after(self, expected: str) -> str:
        line = self.line(PATIENCE_S)
        word, _, rest = line.partition(" ")
        if word != expected:
            raise BenchError(f"{self.title} says {line!r}")
        return rest


def java() -> str:
    """The `java` that `make interop` found. Raises BenchError with the reason if it found none."""
    found, missing = INTEROP / "java", INTEROP / "missing"
    if found.exists():
        return found.read_text().strip()
    reason = missing.read_text().strip() if missing.exists() else "run make interop"
    raise BenchError(f"there is no real Zeebe to measure: {reason}")


def _classes() -> str:
    return f"{INTEROP / 'classes'}:{INTEROP / 'jars'}/*"


class RealPair:
    """Two JVMs with Zeebe's own messaging. They are warm only after `warm_up`."""

    def __init__(self, scratch: Path, name: str, tls: tuple[str, str] | None) -> None:
        self._server = ZeebeNode(f"{name} server", scratch, SERVER_CORE, tls)
        self._client = ZeebeNode(f"{name} client", scratch, CLIENT_CORE, tls)

    def warm_up(self, works: list[str]) -> None:
        """Run all works that will be measured, for `WARM_UP_OF_ZEEBE_S` in all."""
        for work in works:
            self._run(work, WARM_UP_OF_ZEEBE_S / len(works))

    def measure(self, work: str, seconds: float) -> Sample:
        """One window of a closed loop, behind a short warm-up."""
        self._run(work, WARM_UP_S)
        return self._run(work, seconds)

    def _run(self, work: str, seconds: float) -> Sample:
        asked = EVERY_WORK[work]
        way = "fresh" if work == CONNECT else "pooled"
        loop = (asked.payload_bytes, asked.callers, int(seconds * 1e3), way)
        found = json.loads(self._client.do("measure", self._server.address, *loop))
        return Sample(payload_bytes=found["count"] * asked.payload_bytes, **found)

    def close(self) -> None:
        """End both."""
        self._client.close()
        self._server.close()


class OwnPair:
    """Two Python processes on a face of ztransport, with Python handlers."""

    def __init__(self, scratch: Path, own: Own, config: Config, *, idle: str) -> None:
        self._config = replace(config, protocol=own.protocol, idle=idle)
        serve = _role("serve", own, self._config, scratch, SERVER_CORE)
        self._server, self._port = serve, port_of(serve.answer()["address"])
        self._client = _role("drive", own, Config(), scratch, CLIENT_CORE)

    def measure(self, work: str, seconds: float) -> Sample:
        """One window of a closed loop, behind a short warm-up."""
        told = replace(
            self._config,
            port=self._port,
            work=work,
            seconds=seconds,
            server_pid=self._server.pid,
        )
        return Sample(**self._client.ask(asdict(told)))

    def close(self) -> None:
        """End both."""
        self._client.close()
        self._server.close()


def _role(role: str, own: Own, config: Config, scratch: Path, core: int) -> Role:
    command = [sys.executable, "-m", "bench.contenders.role", role, own.role]
    errors = scratch / f"{own.role}-{role}.err"
    return Role(f"{own.role} ({role})", [*command, json.dumps(asdict(config))], errors, core=core)


def works_of(secured: bool) -> list[str]:
    """What a pair is measured with."""
    return [work for work in WORKS if secured or work != CONNECT]
