"""The tables of a record, as Markdown: who reaches what, and who is ahead of the real Zeebe."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

from bench.zeebe.plan import OWN, REAL, SECURITIES, TITLES, TLS, WORKS, Cell
from ztransport.bench.record import Record
from ztransport.bench.report import quantity

MARK = "bench/zeebe"
"""Where a page keeps the tables: between two comments that begin with this."""
NOTE = """\
Calls per second, and p50 / p99 in µs: medians over the rounds; ÷ is the median of the rounds' own
ratios to the real Zeebe. Closed loops, a reply as long as its request. Real Zeebe answers on the
thread that reads and calls again from the thread that brings the answer; ztransport's handlers and
callers are Python. With `idle="spin"` ztransport looks for work for up to 150 µs before it sleeps;
Zeebe has no such choice. {idle}\
A new connection of ztransport agrees on its key by X25519MLKEM768, one
of Zeebe's by X25519."""

IDLE_NOTES = {
    "sleep": "",
    "adaptive": """\
Rows that do not say otherwise have the default, `idle="adaptive"`: up
to 100 µs, and only while single messages go back and forth fast. """,
}
"""By what the rows had that do not say otherwise; the first records sleep."""


def tables(record: Record) -> str:
    """All tables and what to know of them."""
    samples = {
        Cell(found["contender"], found["work"], found["security"]): found["samples"]
        for found in record["cells"]
    }
    idle = IDLE_NOTES[record.get("idle", "sleep")]
    parts = [_measured_as(record), NOTE.replace("{idle}", idle)]
    parts += [_figures(samples, security) for security in SECURITIES]
    parts += ["How many times a real Zeebe's calls per second, and its p99:"]
    parts += [_ratios(samples, security) for security in SECURITIES]
    return "\n\n".join(parts)


def page(text: str, shown: str) -> str:
    """A page with its tables replaced. Raises ValueError when it has no place for them."""
    begin, end = f"<!-- {MARK} begin -->\n", f"<!-- {MARK} end -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {begin.strip()} and {end}")
    return f"{head}{begin}{shown}\n{end}{tail}"


def behind(record: Record) -> list[str]:
    """The TLS rows in which ztransport under Trio is not ahead in both figures."""
    samples = {
        Cell(found["contender"], found["work"], found["security"]): found["samples"]
        for found in record["cells"]
        if found["security"] == TLS
    }
    return [
        f"{WORKS[cell.work]}, {TITLES[cell.contender]}: {calls:.2f} × calls, {p99:.2f} × p99"
        for cell, calls, p99 in _compared(samples)
        if cell.contender.endswith("trio") and (calls <= 1 or p99 >= 1)
    ]


def _measured_as(record: Record) -> str:
    return (
        f"Measured {record['finished_at'][:10]} by `{record['command']}`: {record['rounds']} "
        f"interleaved rounds of {record['seconds']:g} s, the answering process on core 0, the "
        f"calling one on core 1; Zeebe {record['zeebe']} on {record['java']}, warmed for "
        f"{record['warmed_s']:.0f} s; {record['negotiated']}; ECDSA P-256 certificates on both "
        "sides."
    )


def _figures(samples: dict[Cell, list[Any]], security: str) -> str:
    rows = []
    for work, title in _works(samples, security):
        cells = [_figure(samples.get(Cell(one, work, security), [])) for one in TITLES]
        rows.append([title, *cells])
    return _markdown([SECURITIES[security], *TITLES.values()], rows)


def _figure(samples: list[Any]) -> str:
    if not samples:
        return "–"
    rate = quantity(statistics.median(_rate(one) for one in samples))
    return f"{rate} ({_median(samples, 'p50_us')} / {_median(samples, 'p99_us')})"


def _ratios(samples: dict[Cell, list[Any]], security: str) -> str:
    found = {cell: (calls, p99) for cell, calls, p99 in _compared(samples)}
    rows = []
    for work, title in _works(samples, security):
        row = [found.get(Cell(one, work, security)) for one in OWN]
        rows.append([title, *(f"{one[0]:.2f}, {one[1]:.2f}" if one else "–" for one in row)])
    return _markdown([f"÷ {SECURITIES[security]}", *(TITLES[one] for one in OWN)], rows)


def _compared(samples: dict[Cell, list[Any]]) -> Iterator[tuple[Cell, float, float]]:
    """Ratios of calls per second and of p99 to the real Zeebe in the same round."""
    for cell, own in samples.items():
        base = samples.get(Cell(REAL, cell.work, cell.security))
        if cell.contender == REAL or not base:
            continue
        pairs = list(zip(own, base, strict=True))
        calls = statistics.median(_rate(one) / _rate(other) for one, other in pairs)
        p99s = [(one["p99_us"], other["p99_us"]) for one, other in pairs]
        known = [one / other for one, other in p99s if one and other]
        yield cell, calls, statistics.median(known) if known else math.inf


def _works(samples: dict[Cell, list[Any]], security: str) -> list[tuple[str, str]]:
    measured = {cell.work for cell in samples if cell.security == security}
    return [(work, title) for work, title in WORKS.items() if work in measured]


def _rate(sample: Any) -> float:
    return float(sample["count"] / sample["seconds"])


def _median(samples: list[Any], name: str) -> str:
    """A percentile needs a hundred calls to be known."""
    known = [sample[name] for sample in samples if sample[name] is not None]
    return f"{statistics.median(known):,.0f}" if known else "–"


def _markdown(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
