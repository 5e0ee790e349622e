"""What a contender is, the works it is given, and how a window is measured.

A contender serves in one process and drives from another. Its server answers calls with their own
payload and swallows one-way messages; how much it swallowed it tells on request, so that one-way
works are counted where they arrive. Windows are measured here alike for all of them.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ztransport.bench import windows
from ztransport.bench.windows import WARM_UP_S, Phase

PING = "ping"
CALLS = "calls64"
ONEWAY = "oneway128"
BULK_64K = "bulk64k"
BULK_1M = "bulk1m"


MANY = "many64"
ASYNC = "async64"
EACH = "each128"
CALLS_4K = "calls64x4k"
ONEWAY_4K = "oneway4k"
CONNECT = "connect1"
CONNECT_8 = "connect8"
IDLE = "idle1000"


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of traffic: `callers` request/reply callers, or a one-way sender when 0."""

    payload_bytes: int
    callers: int = 0
    subject: str = "echo"

    @property
    def is_bulk(self) -> bool:
        """Whether its figure is a byte rate."""
        return self.callers == 0 and self.payload_bytes >= 65_536


WORKS = {
    PING: Work(128, callers=1),
    CALLS: Work(128, callers=64),
    ONEWAY: Work(128, subject="sink"),
    BULK_64K: Work(65_536, subject="sink"),
    BULK_1M: Work(1_048_576, subject="sink"),
}
# What only ztransport is asked: the further lines of its performance table.
LINE_WORKS = {
    MANY: Work(128, callers=1),
    ASYNC: Work(128, callers=64, subject="async"),
    EACH: Work(128, subject="each"),
    CALLS_4K: Work(4096, callers=64),
    ONEWAY_4K: Work(4096, subject="sink"),
    CONNECT: Work(128, callers=1),
    CONNECT_8: Work(128, callers=8),
    IDLE: Work(128, callers=64),
}
ALL_WORKS = WORKS | LINE_WORKS
# Further works of the comparison with a real Zeebe (bench/zeebe).
CALLS_64K = "calls16x64k"
CALLS_1M = "calls4x1m"
PING_SLEEP = "ping-sleep"
PING_SPIN = "ping-spin"
EVERY_WORK = ALL_WORKS | {
    PING_SLEEP: Work(128, callers=1),
    PING_SPIN: Work(128, callers=1),
    CALLS_64K: Work(65_536, callers=16),
    CALLS_1M: Work(1_048_576, callers=4),
}


@dataclass(frozen=True, slots=True)
class Config:
    """What both roles are told. `trust_path` None means plaintext."""

    host: str = "127.0.0.1"
    port: int = 0
    chain_path: str | None = None
    key_path: str | None = None
    trust_path: str | None = None
    idle: str = "sleep"
    """What ztransport's loops do while nothing is ready; those of others sleep."""
    work: str = PING
    seconds: float = 1.0
    server_pid: int = 0
    protocol: str = "zt/1"
    """What ztransport speaks; others have one of their own."""

    def server_context(self) -> ssl.SSLContext | None:
        """TLS 1.3 for a server on Python's ssl; None for plaintext."""
        if self.chain_path is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain_path, self.key_path)
        return _tls13(context)

    def client_context(self) -> ssl.SSLContext | None:
        """TLS 1.3 for a client on Python's ssl; None for plaintext."""
        if self.trust_path is None:
            return None
        return _tls13(ssl.create_default_context(cafile=self.trust_path))


def _tls13(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # From Python 3.15 the suite can be chosen; before, what was negotiated is in the record.
    choose = getattr(context, "set_ciphersuites", None)
    if choose is not None:
        choose("TLS_AES_128_GCM_SHA256")
    return context


@dataclass(slots=True)
class Sample:
    """One window: messages, their bytes, seconds, CPU seconds of both roles, latencies in µs."""

    count: int
    payload_bytes: int
    seconds: float
    client_cpu_s: float | None = None
    server_cpu_s: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    negotiated: str | None = None
    extra: dict[str, float] = field(default_factory=dict)


class Contender(Protocol):
    """One transport as a Python user would use it."""

    name: str
    works: frozenset[str]

    def serve(self, config: Config, ready: Callable[[int], None]) -> None:
        """Serve until the process is ended; call `ready` with the port once it listens."""

    def drive(self, config: Config) -> Sample:
        """Connect, warm up, and measure one window of `config.work`."""


def sample_of(config: Config, measured: windows.Window, calls_each: int = 1) -> Sample:
    """A window as sample; each of its calls may stand for a batch of messages."""
    count = measured.count * calls_each
    return Sample(
        count=count,
        payload_bytes=count * EVERY_WORK[config.work].payload_bytes,
        seconds=measured.seconds,
        client_cpu_s=measured.own_cpu_s,
        server_cpu_s=measured.cpu_s[0],
        p50_us=measured.p50_us,
        p99_us=measured.p99_us,
    )


async def measure_calls(
    config: Config, run: Callable[[Phase], Awaitable[None]], calls_each: int = 1
) -> Sample:
    """Warm up and measure a closed loop; `run` returns when all callers of a phase have ended."""
    measured = await windows.measure(run, config.seconds, [config.server_pid])
    return sample_of(config, measured, calls_each)


async def measure_one_way(
    config: Config,
    run: Callable[[Phase], Awaitable[None]],
    received: Callable[[], Awaitable[int]],
) -> Sample:
    """Warm up and measure a sender; what counts is messages that arrived within the window.

    `received` asks the server on a connection of its own, so that the question does not queue
    behind the stream.
    """
    await run(windows.phase(WARM_UP_S))
    before, begin = await received(), windows.reading([config.server_pid])
    await run(windows.phase(config.seconds))
    after, end = await received(), windows.reading([config.server_pid])
    return sample_of(config, windows.window(begin, end, after - before))


def write_trust(directory: Path, chain_pem: bytes, key_pem: bytes, trust_pem: bytes) -> Config:
    """Write one certificate for all contenders and return the paths as a config."""
    paths = [directory / name for name in ("chain.pem", "key.pem", "trust.pem")]
    paths[1].touch(mode=0o600)
    for path, pem in zip(paths, (chain_pem, key_pem, trust_pem), strict=True):
        path.write_bytes(pem)
    return Config(chain_path=str(paths[0]), key_path=str(paths[1]), trust_path=str(paths[2]))


def negotiated_by_ssl(ssl_object: Any) -> str | None:
    """Version and suite as Python's ssl names them; None for plaintext."""
    if ssl_object is None:
        return None
    return f"{ssl_object.version()} {ssl_object.cipher()[0]}"
