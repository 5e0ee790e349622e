"""One cluster of real Zeebe members and ours: who sees what, and how long after it happened.

``python -m bench.zeebe_members`` starts two members of Zeebe 8.5.8 (built by ``make interop``) and
two of ours with Zeebe's default parameters, over plaintext and over TLS, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

import ztransport as zt
from ztransport import certs

BUILT: Final = Path(__file__).parent.parent / "target" / "interop"
CLUSTER: Final = "zeebe-cluster"
DEFAULTS: Final = zt.ClusterSettings()
JAVA_OPTIONS: Final = (
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "--enable-native-access=ALL-UNNAMED",
    "-Dstdout.encoding=UTF-8",
)

VICTIM: Final = """
import json, sys, trio, ztransport as zt

async def main(seeds, settings, files):
    chain_and_key = dict(zip(("certificate_chain_path", "private_key_path"), files))
    tls = zt.TLSConfig(**chain_and_key) if files else None
    node = zt.open_node("127.0.0.1:0", cluster="zeebe-cluster", node_id="victim", tls=tls,
                        protocols=("zt/1", "zeebe"))
    settings = zt.ClusterSettings(**json.loads(settings))
    async with node as opened, zt.open_cluster(
        opened, seeds=seeds.split(","), settings=settings, protocol="zeebe"):
        await trio.sleep_forever()

trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3:])
"""


def missing() -> str | None:
    """Why there is no real Zeebe here; none if there is."""
    if (BUILT / "java").exists() and (BUILT / "classes" / "ZeebeMember.class").exists():
        return None
    reason = BUILT / "missing"
    return reason.read_text().strip() if reason.exists() else "run make interop to build it"


def free_port() -> int:
    """A port that is free for TCP and for UDP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            port: int = stream.getsockname()[1]
            try:
                datagrams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass
class Log:
    """What somebody saw, with the time; whoever waits for something is woken."""

    seen: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    grown: trio.Event = field(default_factory=trio.Event)

    def add(self, sight: dict[str, Any]) -> None:
        """Note a sight now."""
        self.seen.append((time.monotonic(), sight))
        self.grown.set()
        self.grown = trio.Event()

    async def wait(self, since: float = 0.0, **wanted: Any) -> tuple[float, dict[str, Any]]:
        """Return the first sight since then that has what is wanted, and when it was."""
        while True:
            for at, sight in self.seen:
                if at >= since and wanted.items() <= sight.items():
                    return at, sight
            await self.grown.wait()


class RealMember:
    """A process with a member of the real Zeebe."""

    def __init__(self, number: int, port: int, contacts: str, errors: Path) -> None:
        self.number, self.port, self.log = number, port, Log()
        self._contacts, self._errors = contacts, errors
        self.process: trio.Process | None = None

    async def start(
        self, nursery: trio.Nursery, settings: zt.ClusterSettings, files: list[str]
    ) -> None:
        """Start it and wait until it listens."""
        java = (BUILT / "java").read_text().strip()
        times = [
            settings.probe_interval_ms,
            settings.probe_timeout_ms,
            settings.failure_timeout_ms,
            settings.gossip_interval_ms,
            settings.sync_interval_ms,
        ]
        options = [str(self.number), str(self.port), self._contacts, ",".join(map(str, times))]
        classes = f"{BUILT / 'classes'}:{BUILT / 'jars'}/*"
        began = time.monotonic()
        with self._errors.open("wb") as log:
            self.process = await trio.lowlevel.open_process(
                [java, *JAVA_OPTIONS, "-cp", classes, "ZeebeMember", *options, *files],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        nursery.start_soon(self._read, self.process)
        await self.log.wait(began, ready=f"127.0.0.1:{self.port}")

    async def _read(self, process: trio.Process) -> None:
        assert process.stdout is not None
        assert process.stdin is not None
        rest = b""
        try:
            async with process.stdout, process.stdin:
                async for chunk in process.stdout:
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self.log.add(json.loads(line))
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    async def say(self, *words: object) -> None:
        """Let it do something."""
        assert self.process is not None
        assert self.process.stdin is not None
        await self.process.stdin.send_all(" ".join(map(str, words)).encode() + b"\n")

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self.process is not None:
            self.process.kill()


@dataclass
class Cast:
    """Two real members and one of ours."""

    real: list[RealMember]
    ours: zt.Cluster
    log: Log
    nursery: trio.Nursery
    settings: zt.ClusterSettings
    files: list[str]

    @property
    def contacts(self) -> str:
        """Where the real members are."""
        return ",".join(f"127.0.0.1:{member.port}" for member in self.real)

    def start_victim(self) -> subprocess.Popen[bytes]:
        """Start another member of ours in a process of its own."""
        settings = json.dumps({name: getattr(self.settings, name) for name in CHANGED})
        command = [sys.executable, "-c", VICTIM, self.contacts, settings, *self.files]
        return subprocess.Popen(command)


CHANGED: Final = (
    "probe_interval_ms",
    "probe_timeout_ms",
    "failure_timeout_ms",
    "gossip_interval_ms",
    "sync_interval_ms",
)


def sight(event: zt.MemberEvent) -> dict[str, Any]:
    """An event of ours as the real members print theirs."""
    return {"event": event.kind, "id": event.member.name, "member": event.member}


async def note(cluster: zt.Cluster, log: Log) -> None:
    """Note what ours sees."""
    async for event in cluster.events():
        log.add(sight(event))


@asynccontextmanager
async def cast(
    folder: Path, settings: zt.ClusterSettings, files: list[str], properties: dict[str, str]
) -> AsyncIterator[Cast]:
    """Start two real members and one of ours; end them all."""
    ports = [free_port(), free_port()]
    contacts = ",".join(f"127.0.0.1:{port}" for port in ports)
    real = [RealMember(n, port, contacts, folder / f"{n}.log") for n, port in enumerate(ports)]
    tls = None
    if files:
        tls = zt.TLSConfig(certificate_chain_path=files[0], private_key_path=files[1])
    try:
        async with (
            trio.open_nursery() as nursery,
            zt.open_node(
                f"127.0.0.1:{free_port()}",
                cluster=CLUSTER,
                node_id="2",
                tls=tls,
                protocols=("zt/1", "zeebe"),
                drain_timeout=0.0,
            ) as node,
        ):
            async with trio.open_nursery() as starting:
                for member in real:
                    starting.start_soon(member.start, nursery, settings, files)
            joining = zt.open_cluster(
                node,
                seeds=contacts.split(","),
                properties=properties,
                settings=settings,
                protocol="zeebe",
            )
            async with joining as ours:
                log = Log()
                nursery.start_soon(note, ours, log)
                yield Cast(real, ours, log, nursery, settings, files)
            nursery.cancel_scope.cancel()
    finally:
        for member in real:
            member.kill()


async def measure(folder: Path, files: list[str], tell: Callable[[str, str, float], None]) -> None:
    """Go through it all with Zeebe's defaults; tell what was seen by whom, after how long."""
    began = time.monotonic()
    async with cast(folder, DEFAULTS, files, {"from": "ours"}) as stage:
        first, second = stage.real
        all_logs = {"real 0": first.log, "real 1": second.log, "ours": stage.log}

        async def seen(what: str, since: float, by: list[str], **wanted: Any) -> None:
            for name in by:
                words = wanted["ours"] if name == "ours" else wanted["real"]
                at, _ = await all_logs[name].wait(since, event=words, id=wanted["id"])
                tell(what, name, at - since)

        real, added = ["real 0", "real 1"], {"real": "MEMBER_ADDED", "ours": "joined"}
        removed = {"real": "MEMBER_REMOVED", "ours": "failed"}
        suspected = {"real": "REACHABILITY_CHANGED", "ours": "suspected"}
        opened = time.monotonic()
        for name, number in (("real 0", "1"), ("real 1", "0"), *((n, "2") for n in real)):
            at, _ = await all_logs[name].wait(began, event="MEMBER_ADDED", id=number)
            tell(f"member {number} joined", name, max(0.0, at - opened))
        for number in ("0", "1"):
            await seen(f"member {number} joined", opened, ["ours"], id=number, **added)
        await stage.ours.converged()
        tell("views agree", "ours", time.monotonic() - opened)

        changed = {"real": "METADATA_CHANGED", "ours": "updated"}
        since = time.monotonic()
        stage.ours.update_properties({"from": "ours", "changed": "1"})
        await seen("our property changed", since, real, id="2", **changed)
        since = time.monotonic()
        await first.say("broker", 2)
        await seen("real 0 changed its term", since, ["real 1", "ours"], id="0", **changed)

        since = time.monotonic()
        second.kill()
        await seen("real 1 killed: suspected", since, ["real 0", "ours"], id="1", **suspected)
        await seen("real 1 killed: removed", since, ["real 0", "ours"], id="1", **removed)
        await second.start(stage.nursery, DEFAULTS, files)
        since = second.log.seen[-1][0]
        await seen("real 1 restarted", since, ["real 0", "ours"], id="1", **added)
        await second.log.wait(since, event="MEMBER_ADDED", id="2")

        victim = stage.start_victim()
        try:
            for log in all_logs.values():
                await log.wait(id="victim")
            since = time.monotonic()
            victim.kill()
            by = [*real, "ours"]
            await seen("ours killed: suspected", since, by, id="victim", **suspected)
            await seen("ours killed: removed", since, by, id="victim", **removed)
        finally:
            victim.kill()
            victim.wait()
        since = time.monotonic()
        await stage.ours.leave()
        tell("our leave returned", "ours", time.monotonic() - since)
        await seen("our leave: removed", since, real, id="2", **removed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.zeebe_members", description=__doc__)
    parser.parse_args()
    if (reason := missing()) is not None:
        sys.exit(f"no real Zeebe: {reason}")
    print("| security | what happened | seen by | seconds later |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        leaf = certs.create_authority("bench").issue(["127.0.0.1", "localhost"])
        files = [str(file) for file in leaf.write(Path(folder), "node")]
        for security, used in (("plaintext", []), ("TLS", files)):

            def tell(what: str, who: str, seconds: float, security: str = security) -> None:
                print(f"| {security} | {what} | {who} | {seconds:.3f} |", flush=True)

            trio.run(measure, Path(folder), used, tell)


if __name__ == "__main__":
    main()
