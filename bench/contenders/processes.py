"""The processes of a run: a server for each way of serving, a driver for each contender."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from bench.contenders.protocol import IDLE, Config, Sample, write_trust
from ztransport import certs
from ztransport.bench import environment
from ztransport.bench.processes import BenchError, Role, port_of

SERVER_CORE = 0
FIFO_PRIORITY = 10
CROSS, SAME, SPIN = "cross", "same", "spin"
CLIENT_CORES = {CROSS: 1, SAME: 0, SPIN: 1}


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the table: who does what, secured how, placed where."""

    contender: str
    work: str
    security: str
    placement: str


class Stage:
    """All processes of one run; leaving it ends them."""

    def __init__(self, *, realtime: bool = False) -> None:
        self._realtime = realtime
        self._directory = tempfile.TemporaryDirectory(prefix="ztransport-contenders-")
        self._path = Path(self._directory.name)
        self._secured = _issue(self._path)
        self._servers: dict[tuple[str, str, str], tuple[Role, int]] = {}
        self._drivers: dict[str, Role] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for role in (*(role for role, _ in self._servers.values()), *self._drivers.values()):
            role.close()
        self._directory.cleanup()

    def measure(self, cell: Cell, seconds: float) -> Sample:
        """Measure one window of one cell."""
        config = self._config(cell)
        # Growth of memory shows only in a server that has freed nothing yet.
        fresh = cell.work == IDLE
        server, port = self._start_server(cell, config) if fresh else self._server(cell, config)
        driver = self._driver(cell.contender)
        environment.pin(server.pid, SERVER_CORE)
        environment.pin(driver.pid, CLIENT_CORES[cell.placement])
        if self._realtime:
            _prefer(server.pid)
            _prefer(driver.pid)
        told = replace(config, port=port, work=cell.work, seconds=seconds, server_pid=server.pid)
        sample = Sample(**driver.ask(asdict(told)))
        if fresh:
            server.close()
        return sample

    def _config(self, cell: Cell) -> Config:
        base = self._secured if cell.security == "tls" else Config()
        return replace(base, idle="spin" if cell.placement == SPIN else "sleep")

    def _server(self, cell: Cell, config: Config) -> tuple[Role, int]:
        key = (cell.contender, cell.security, config.idle)
        if key not in self._servers:
            self._servers[key] = self._start_server(cell, config)
        return self._servers[key]

    def _start_server(self, cell: Cell, config: Config) -> tuple[Role, int]:
        role = self._start("serve", cell.contender, config)
        return role, port_of(role.answer()["address"])

    def _driver(self, contender: str) -> Role:
        if contender not in self._drivers:
            self._drivers[contender] = self._start("drive", contender, Config())
        return self._drivers[contender]

    def _start(self, role: str, contender: str, config: Config) -> Role:
        title = f"{contender} ({role})"
        command = [sys.executable, "-m", "bench.contenders.role", role, contender]
        errors = self._path / f"{contender}-{role}.err"
        return Role(title, [*command, json.dumps(asdict(config))], errors)


def _prefer(pid: int) -> None:
    """Keep other processes of the machine off a role's core while the role wants it."""
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except PermissionError:
        raise BenchError("--realtime needs the right to set priorities: leave it out") from None


def _issue(directory: Path) -> Config:
    authority = certs.create_authority("ztransport contenders")
    leaf = authority.issue(["127.0.0.1", "localhost"])
    return write_trust(directory, leaf.chain_pem, leaf.key_pem, authority.certificate_pem)
