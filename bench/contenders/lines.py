"""The performance table: what each line asks, what was measured, whether it is met.

Figures are medians over the rounds; ratios are medians of the ratios within a round. A line whose
cells were not run is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from bench.contenders.processes import CROSS, SAME, SPIN, Cell
from bench.contenders.protocol import (
    ALL_WORKS,
    ASYNC,
    BULK_1M,
    BULK_64K,
    CALLS,
    CALLS_4K,
    CONNECT,
    CONNECT_8,
    EACH,
    IDLE,
    MANY,
    ONEWAY,
    ONEWAY_4K,
    PING,
)
from bench.contenders.rounds import OTHERS, PLAIN, TLS, TRIO_ALONE, Results
from ztransport.bench.report import quantity

STREAMS = ("trio", "asyncio", "uvloop")
TRIO, UVLOOP = "zt-trio", "zt-uvloop"
NOISE_MIN = 0.05


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table as shown."""

    what: str
    target: str
    value: str
    ratio: str
    met: bool | None

    def cells(self) -> list[str]:
        """The line as table cells."""
        verdict = {True: "yes", False: "NO", None: ""}[self.met]
        return [self.what, self.target, self.value, self.ratio, verdict]


HEADERS = ["work (TLS unless said)", "target", "measured", "ratio", "met"]


def lines(results: Results) -> list[Line]:
    """All lines whose cells were run."""
    return list(
        chain(
            _calls(results),
            _pings(results),
            _floors(results),
            _one_way(results),
            _bulk(results),
            _tls_to_plain(results),
            _idle(results),
            _plain_not_below(results),
        )
    )


def _cell(work: str, contender: str = TRIO, security: str = TLS, placement: str = CROSS) -> Cell:
    return Cell(contender, work, security, placement)


def _against_best(
    results: Results,
    what: str,
    cell: Cell,
    among: tuple[str, ...],
    factor: float,
    floor: float = 0.0,
) -> Iterator[Line]:
    """A rate that must reach a floor and a multiple of the best of some contenders."""
    rate = results.rate(cell)
    best = results.best(cell.work, cell.security, cell.placement, among)
    if rate is None or best is None:
        return
    ratio = results.ratio(cell, best) or 0.0
    scale = ALL_WORKS[cell.work].payload_bytes if ALL_WORKS[cell.work].is_bulk else 1
    unit = "B/s" if scale > 1 else "/s"
    target = f"≥ {factor} × best" + (f", ≥ {quantity(floor, unit)}" if floor else "")
    yield Line(
        what,
        target,
        quantity(rate * scale, unit),
        f"{ratio:.2f} × {best.contender} ({quantity((results.rate(best) or 0) * scale, unit)})",
        ratio >= factor and rate * scale >= floor,
    )


def _calls(results: Results) -> Iterator[Line]:
    cell = _cell(CALLS)
    yield from _against_best(results, "request/reply × 64", cell, OTHERS, 3.5, 260e3)
    for what, ceiling in (("Rust to Rust", "zt-rust"), ("Trio alone", TRIO_ALONE)):
        share = results.ratio(cell, _cell(CALLS, ceiling))
        if share is not None:
            rate = quantity(results.rate(_cell(CALLS, ceiling)), "/s")
            yield Line(f"  share of {what}", "reported", rate, f"{share:.2f}", None)
    yield from _floor(results, "  under uvloop", _cell(CALLS, UVLOOP), 300e3)


def _pings(results: Results) -> Iterator[Line]:
    across, same = _cell(PING), _cell(PING, placement=SAME)
    yield from _against_best(results, "ping across cores", across, STREAMS, 1.4)
    yield from _against_best(results, "ping on one core", same, STREAMS, 1.0)
    for placement, where in ((CROSS, "across cores"), (SAME, "on one core")):
        cell = _cell(PING, UVLOOP, placement=placement)
        yield from _against_best(results, f"ping under uvloop {where}", cell, ("aiofastnet",), 1.4)
    ratio = results.ratio(_cell(PING, placement=SPIN), across)
    if ratio is not None:
        rate = quantity(results.rate(_cell(PING, placement=SPIN)), "/s")
        yield Line("ping spinning", "≥ 3 × across cores", rate, f"{ratio:.2f}", ratio >= 3)


def _floor(results: Results, what: str, cell: Cell, floor: float) -> Iterator[Line]:
    rate = results.rate(cell)
    if rate is not None:
        target = f"≥ {quantity(floor, '/s')}"
        yield Line(what, target, quantity(rate, "/s"), f"{rate / floor:.2f}", rate >= floor)


def _floors(results: Results) -> Iterator[Line]:
    yield from _floor(results, "request_many of 64", _cell(MANY), 500e3)
    yield from _floor(results, "async handlers × 64", _cell(ASYNC), 140e3)
    yield from _floor(results, "new connection + call, in sequence", _cell(CONNECT), 1_500)
    yield from _floor(results, "new connection + call, 8 dialling", _cell(CONNECT_8), 2_500)


def _one_way(results: Results) -> Iterator[Line]:
    cell = _cell(ONEWAY)
    yield from _against_best(results, "one-way, payload batches", cell, OTHERS, 3.0, 8e6)
    yield from _floor(results, "one-way, per message", _cell(EACH), 3e6)


def _bulk(results: Results) -> Iterator[Line]:
    for work, what in ((BULK_64K, "bulk 64 KiB"), (BULK_1M, "bulk 1 MiB")):
        yield from _against_best(results, what, _cell(work), OTHERS, 3.0, 2e9)


def _tls_to_plain(results: Results) -> Iterator[Line]:
    asked = [
        (CALLS, "request/reply × 64, 128 B", 0.9),
        (CALLS_4K, "request/reply × 64, 4 KiB", 0.9),
        (ONEWAY, "one-way, 128 B", 0.7),
        (ONEWAY_4K, "one-way, 4 KiB", 0.7),
    ]
    for work, what, target in asked:
        ratio = results.ratio(_cell(work), _cell(work, security=PLAIN))
        if ratio is not None:
            plain = quantity(results.rate(_cell(work, security=PLAIN)), "/s plain")
            title = f"TLS to plaintext, {what}"
            yield Line(title, f"≥ {target}", plain, f"{ratio:.2f}", ratio >= target)


def _idle(results: Results) -> Iterator[Line]:
    samples = results.samples.get(_cell(IDLE), [])
    if not samples:
        return
    memory = sorted(sample.extra["kib_per_idle_connection"] for sample in samples)
    kept = sorted(sample.extra["rate_kept"] for sample in samples)
    kib, share = memory[len(memory) // 2], kept[len(kept) // 2]
    count = f"{samples[0].extra['idle_connections']:.0f} idle connections"
    yield Line(count, "≤ 40 KiB each", f"{kib:.1f} KiB", f"{kib / 40:.2f}", kib <= 40)
    yield Line("  rate an active one keeps", "≥ 0.9", f"{share:.2f}", f"{share:.2f}", share >= 0.9)


def _plain_not_below(results: Results) -> Iterator[Line]:
    for work in (PING, CALLS, CALLS_4K, ONEWAY, ONEWAY_4K, BULK_64K, BULK_1M):
        plain, tls = _cell(work, security=PLAIN), _cell(work)
        ratio = results.ratio(plain, tls)
        if ratio is None:
            continue
        noise = max(NOISE_MIN, results.spread(plain), results.spread(tls))
        target = f"≥ 1 − {noise:.2f} (spread of rounds)"
        yield Line(f"plaintext to TLS, {work}", target, "", f"{ratio:.2f}", ratio >= 1 - noise)
