"""The main job: one table of what encryption costs, in the process and at a proxy."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ztransport.bench import (
    blocks,
    environment,
    processes,
    proxies,
    record,
    roles,
    variants,
    windows,
)

__all__ = ["KIND", "Options", "load", "run", "table"]

KIND = "main job"
PAYLOAD_BYTES = 128
BROKER_CORE, CLIENT_CORE = 0, 1  # the proxy shares the broker's core: a host pays for both
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked: window length, number of blocks, measuring time at most, the order.

    `port` is the first of five in a row, for three listeners and two proxies; 0 takes free ones.
    """

    seconds: float
    blocks: int
    budget_s: float
    seed: int
    port: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """What a window needs: the processes, and the address of each variant."""

    client: processes.Role
    broker: processes.Role
    nginx: proxies.Nginx
    addresses: dict[str, str]


def run(options: Options, command: list[str], tell: Told) -> record.Record:
    """Measure and return the record; `tell` hears what comes next. Raises BenchError, OSError."""
    begin = time.monotonic()
    cells = [blocks.Cell(variant, work) for variant in variants.VARIANTS for work in blocks.WORKS]
    with _stage(options) as stage:
        measure = partial(_measure, stage, options, tell)
        found = blocks.run(cells, options.blocks, options.budget_s, options.seed, measure)
        nginx = stage.nginx.program.described()
    tell("")
    refuse_mismatch(found)
    body: dict[str, object] = {
        "nginx": nginx,
        "payload_bytes": PAYLOAD_BYTES,
        "measuring_seconds": round(time.monotonic() - begin, 1),
        "windows": [asdict(one) for one in found],
    }
    return record.create(KIND, command, options.seed, body)


def load(path: Path) -> record.Record:
    """Read a record of this job. Raises BenchError with how to mend it."""
    try:
        found = record.read(path)
    except OSError as error:
        raise processes.BenchError(
            f"{path}: {error.strerror}; name a record of bench run"
        ) from None
    except ValueError:
        found = {}
    if found.get("kind") != KIND:
        raise processes.BenchError(f"{path} is no record of bench run: name one it has written")
    return found


def table(found: record.Record) -> str:
    """The table and what one must know to read it."""
    measured = [blocks.Measured(**one) for one in _list(found["windows"])]
    count = len({one.block for one in measured})
    return f"{blocks.table(measured)}\n\n{_footing(found, measured, count)}"


def _footing(found: record.Record, measured: list[blocks.Measured], count: int) -> str:
    agreed = next((one.negotiated for one in measured if one.negotiated), None) or {}
    nginx = found["nginx"]
    assert isinstance(nginx, dict)
    return (
        f"{found['payload_bytes']} B, medians of {count} interleaved blocks, ratios within a block "
        f"[lowest – highest].\nClient on core {CLIENT_CORE}; proxy and broker on core "
        f"{BROKER_CORE}. All TLS: {', '.join(agreed.values())}, no resumption.\n"
        f"{nginx['version']} with {nginx['tls_library']}; TLS ends there, plaintext behind it.\n"
        f"{found['measuring_seconds']} s of measuring, seed {found['seed']}."
    )


def refuse_mismatch(found: list[blocks.Measured]) -> None:
    """Raise BenchError unless every secured variant negotiated what `tls` did."""
    reference = next(one.negotiated for one in found if one.variant == variants.TLS)
    for one in found:
        expected = None if variants.VARIANTS[one.variant].dialled == variants.PLAIN else reference
        if one.negotiated != expected:
            raise processes.BenchError(
                f"{one.variant} negotiated {_shown(one.negotiated)} where tls negotiated "
                f"{_shown(reference)}: they do not compare; use an nginx that offers the same"
            )


def _shown(negotiated: dict[str, str] | None) -> str:
    return "plaintext" if negotiated is None else " ".join(negotiated.values())


def _list(value: object) -> list[dict[str, Any]]:
    assert isinstance(value, list)
    return value


@contextmanager
def _stage(options: Options) -> Iterator[Stage]:
    program = proxies.find_nginx()
    with tempfile.TemporaryDirectory(prefix="ztransport-bench-") as folder:
        files = variants.issue(Path(folder))
        start = partial(_start, files, Path(folder))
        with closing(start("broker", options.port)) as broker:
            addresses = broker.answer()
            proxied = _proxies(options, files, addresses)
            with proxies.Nginx(program, list(proxied.values())) as nginx:
                addresses |= {n: f"127.0.0.1:{proxy.port}" for n, proxy in proxied.items()}
                with closing(start("client", 0)) as client:
                    _pin(client, broker, nginx)
                    yield Stage(client, broker, nginx, addresses)


def _start(files: variants.Files, folder: Path, role: str, port: int) -> processes.Role:
    command = [sys.executable, "-m", "ztransport.bench.roles", role]
    return processes.Role(role, [*command, json.dumps(asdict(files)), str(port)], folder / role)


def _proxies(
    options: Options, files: variants.Files, addresses: dict[str, str]
) -> dict[str, proxies.Proxy]:
    found: dict[str, proxies.Proxy] = {}
    for variant in variants.VARIANTS.values():
        if variant.upstream is not None:
            first = options.port + len(roles.LISTENED)
            port = first + len(found) if options.port else proxies.free_port()
            upstream = processes.port_of(addresses[variant.upstream])
            found[variant.name] = variants.proxy(variant, port, upstream, files)
    return found


def _pin(client: processes.Role, broker: processes.Role, nginx: proxies.Nginx) -> None:
    environment.pin(client.pid, CLIENT_CORE)
    for pid in (broker.pid, *nginx.pids):
        environment.pin(pid, BROKER_CORE)


def _measure(
    stage: Stage, options: Options, tell: Told, block: int, order: int, cell: blocks.Cell
) -> blocks.Measured:
    tell(f"block {block + 1}/{options.blocks}: {cell.variant}, {cell.work}")
    variant = variants.VARIANTS[cell.variant]
    proxy_pids = stage.nginx.pids if variant.upstream else []
    asked = roles.Asked(
        address=stage.addresses[cell.variant],
        secured=variant.dialled,
        callers=blocks.WORKS[cell.work],
        payload_bytes=PAYLOAD_BYTES,
        seconds=options.seconds,
        pids=[stage.broker.pid, *proxy_pids],
    )
    said = stage.client.ask(asdict(asked))
    negotiated = said.pop("negotiated")
    return blocks.measured(block, order, cell, windows.Window(**said), negotiated)
