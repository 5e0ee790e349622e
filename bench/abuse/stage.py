"""The processes of a case: the server, its control client and whoever else a case needs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from bench.abuse import client, member, server
from bench.abuse.raw import HOST, Target
from ztransport import certs
from ztransport.bench import environment
from ztransport.bench.processes import Role

SERVER_CORE = 0
ATTACKER_CORE = 1
# The control client is not to be starved by the attackers: what it feels is the server.
CONTROL_CORE = SERVER_CORE
CONTROL_INTERVAL_S = 0.005
END_S_MAX = 10.0


class Child(Role):
    """A role that can also be frozen, killed and waited for."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process."""
        self._process.send_signal(number)

    def wait(self, seconds: float = END_S_MAX) -> int | None:
        """Wait for the end; the exit code, or None when it goes on."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def said(self) -> str:
        """All it has written to standard error."""
        return self._errors.read_text()


class MemberChild(Child):
    """A member of a cluster."""

    def __init__(self, name: str, command: list[str], errors: Path) -> None:
        super().__init__(name, command, errors)
        self.address: str = self.answer()["address"]


AnyChild = TypeVar("AnyChild", bound=Child)


class Server(Child):
    """The server's process."""

    def __init__(self, command: list[str], errors: Path, trust: Path) -> None:
        super().__init__("server", command, errors)
        addresses = self.answer()
        self.tls, self.mutual, self.zeebe = (
            Target(addresses[name], server.CLUSTER, trust) for name in ("tls", "mutual", "zeebe")
        )
        self.plain, self.zeebe_plain, self.permissive = (
            Target(addresses[name], server.CLUSTER)
            for name in ("plain", "zeebe_plain", "permissive")
        )

    def facts(self) -> Any:
        """What it says of itself now."""
        return self.ask("facts")

    def closed(self) -> Counter[str]:
        """Ended connections by reason."""
        return Counter(self.facts()["closed"])

    def stop(self) -> tuple[float, int | None]:
        """Ask it to leave its block; the seconds that took, and the exit code."""
        begin = time.monotonic()
        self.tell("stop")
        code = self.wait()
        return time.monotonic() - begin, code


@dataclass(frozen=True, slots=True)
class Control:
    """How the control client calls."""

    callers: int = 1
    interval_s: float | None = CONTROL_INTERVAL_S


class Stage:
    """Starts processes and ends all of them when it is left."""

    def __init__(self, directory: Path) -> None:
        self._children: list[Child] = []
        self._files = 0
        self.directory = directory
        self.authority = certs.create_authority("ztransport abuse")
        self.leaf = self.authority.issue([HOST, "localhost"])
        self._chain, self._key = self.leaf.write(directory, "server")
        self.trust = directory / "trust.pem"
        self.trust.write_bytes(self.authority.certificate_pem)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_children()

    def end_children(self) -> None:
        """End every process that still runs."""
        while self._children:
            child = self._children.pop()
            child.send(signal.SIGCONT)  # a frozen process cannot end
            child.close()

    def outputs(self) -> dict[str, bytes]:
        """All that any process wrote to its standard error or its log, by file name."""
        kept = (*self.directory.glob("*.err"), *self.directory.glob("*.log"))
        return {path.name: path.read_bytes() for path in kept}

    def server(
        self,
        descriptors_max: int | None = None,
        port: int = 0,
        hello_timeout_ms: int | None = None,
    ) -> Server:
        """Start a server."""
        setup = server.Setup(
            chain=str(self._chain),
            key=str(self._key),
            log=str(self._new_file("server", ".log")),
            core=SERVER_CORE,
            descriptors_max=descriptors_max,
            port=port,
            hello_timeout_ms=hello_timeout_ms,
        )
        command = [sys.executable, "-m", "bench.abuse.server", json.dumps(asdict(setup))]
        return self._keep(Server(command, self._new_file("server", ".err"), self.trust))

    def control(self, of: Server, how: Control, core: int = CONTROL_CORE) -> Child:
        """Start a control client."""
        setup = self.client_setup(of, core)
        return self.client(
            "control", replace(setup, callers=how.callers, interval_s=how.interval_s)
        )

    def client_setup(self, of: Server, core: int = ATTACKER_CORE) -> client.Setup:
        """What an honest client of a server's TLS node is started with."""
        return client.Setup(of.tls.address, of.tls.cluster, str(of.tls.trust), core)

    def client(self, role: str, setup: client.Setup) -> Child:
        """Start an honest client and wait until it is connected."""
        command = [sys.executable, "-m", "bench.abuse.client", role, json.dumps(asdict(setup))]
        child = self._keep(Child(role, command, self._new_file(role, ".err")))
        child.answer()
        return child

    def member(self, name: str, seeds: list[str]) -> MemberChild:
        """Start a member of a cluster on the server's core."""
        setup = member.Setup(name, seeds, SERVER_CORE)
        command = [sys.executable, "-m", "bench.abuse.member", json.dumps(asdict(setup))]
        return self._keep(MemberChild(name, command, self._new_file("member", ".err")))

    def flood(self, target: Target, seconds: float) -> Child:
        """Start a client that floods with handshakes; its answer is its counts."""
        arguments = [target.address, target.cluster, str(target.trust)]
        command = [sys.executable, "-m", "bench.abuse.flood", *arguments]
        command += [str(ATTACKER_CORE), str(seconds)]
        return self._keep(Child("flood", command, self._new_file("flood", ".err")))

    def _keep(self, child: AnyChild) -> AnyChild:
        self._children.append(child)
        return child

    def _new_file(self, name: str, suffix: str) -> Path:
        self._files += 1
        path = self.directory / f"{name}-{self._files}{suffix}"
        path.touch()
        return path


def cpu_s(child: Child) -> float:
    """CPU seconds a process has used."""
    return environment.cpu_ns(child.pid) / 1e9
