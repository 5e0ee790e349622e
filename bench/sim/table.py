"""The table of one record: what was asked for, what was found, and whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.sim import plan
from bench.sim.reference import reference
from ztransport.bench import record, report

HEADERS = ("experiment", "at", "bar", "found", "holds")
TICKS_APART_MAX = 1.0
REFERENCE_RUNS = {100: 400, 1_000: 200, 10_000: 40}
# Of the fix point s = 1 - exp(-2 s (1 - loss)): a wave of which each member tells two others once.
ONE_SHOT = {0: 0.797, 10: 0.732, 30: 0.511}
ONE_SHOT_APART_MAX = 0.05
# Ticks of 200 ms to 99 % and to all, by loss in percent.
EAGER_NODES = 10_000
EAGER_BARS = {0: (10, 13), 10: (10, 13), 30: (None, 16)}
STARVED_BAD_RUNS_MAX, STARVED_RUNS = 20, 3_600
STARVED_SIZES = (50, 200)
MEMORY_BYTES_MAX = 16 * 2**30
Cell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line; `holds` is None where nothing was asked for."""

    experiment: str
    at: str
    bar: str
    found: str
    holds: bool | None = None

    def cells(self) -> tuple[str, str, str, str, str]:
        """The line's texts."""
        verdict = {True: "yes", False: "NO", None: ""}[self.holds]
        return self.experiment, self.at, self.bar, self.found, verdict


def select(found: record.Record, experiment: str, **wanted: object) -> list[Cell]:
    """The cells of one experiment whose parameters are as wanted, the smallest clusters first."""
    cells: list[Cell] = found["cells"]
    chosen = [
        cell
        for cell in cells
        if cell["experiment"] == experiment
        and all(cell[key] == value for key, value in wanted.items())
    ]
    return sorted(chosen, key=lambda cell: (cell["nodes"], cell["loss_percent"]))


def _at(cell: Cell) -> str:
    return f"N = {cell['nodes']:,}, {cell['loss_percent']:g} % loss"


def _dissemination(found: record.Record) -> Iterator[Row]:
    for cell in select(found, "dissemination", arm="reference"):
        nodes, results = cell["nodes"], cell["results"]
        ideal = reference(nodes, cell["loss_percent"] / 100, REFERENCE_RUNS[nodes], seed=1)
        pairs = [
            (results["rounds_to_half"]["p50"], ideal.half),
            (results["rounds_to_99_percent"]["p50"], ideal.most),
            (results["rounds_to_all"]["p50"], ideal.all),
        ]
        # A time is a whole number of ticks and what the network took on the way.
        apart = max(abs(round(ours) - theirs) for ours, theirs in pairs)
        bar = " / ".join(f"{theirs:g}" for _, theirs in pairs)
        shown = " / ".join(f"{ours:.1f}" for ours, _ in pairs)
        yield Row(
            "ticks to half / 99 % / all", _at(cell), f"{bar} ± 1", shown, apart <= TICKS_APART_MAX
        )
    for cell in select(found, "dissemination", arm="default"):
        results = cell["results"]
        yield _eager(cell)
    for cell in select(found, "dissemination", arm="one-shot"):
        share, asked = cell["results"]["share_reached"]["p50"], ONE_SHOT[cell["loss_percent"]]
        near = abs(share - asked) <= ONE_SHOT_APART_MAX
        shown = f"{100 * share:.0f} %"
        yield Row("reached by Zeebe's one-shot", _at(cell), f"{100 * asked:.0f} %", shown, near)


def _eager(cell: Cell) -> Row:
    """A rumour with the default settings; bars are of ten thousand members alone."""
    most, all_ = (cell["results"][f"rounds_to_{share}"]["p50"] for share in ("99_percent", "all"))
    bars = EAGER_BARS if cell["nodes"] == EAGER_NODES else {}
    bar_most, bar_all = bars.get(cell["loss_percent"], (None, None))
    wanted = (("99 %", most, bar_most), ("all", all_, bar_all))
    asked = [(name, found, bar) for name, found, bar in wanted if bar is not None]
    bar = ", ".join(f"{name} ≤ {bar}" for name, _, bar in asked)
    ok = all(found <= bar for _, found, bar in asked) if asked else None
    shown = f"{most:.1f} / {all_:.1f}"
    return Row("ticks to 99 % / all, eager as by default", _at(cell), bar, shown, ok)


def _detection(found: record.Record) -> Iterator[Row]:
    bars = {100: (7.5, 10.5), 10_000: (10.0, None)}
    for cell in select(found, "detection"):
        results = cell["results"]
        times, (p50, p99) = results["seconds_to_each"], bars.get(cell["nodes"], (None, None))
        bar = ", ".join(
            f"{name} ≤ {value:g} s" for name, value in (("p50", p50), ("p99", p99)) if value
        )
        ok = (p50 is None or times["p50"] <= p50) and (p99 is None or times["p99"] <= p99)
        shown = f"p50 {times['p50']:.2f} s, p99 {times['p99']:.2f} s ({cell['runs']} kills)"
        yield Row("kill -9 to failed", _at(cell), bar, shown, ok if bar else None)
        wrong = results["false_deaths"] + results["members_that_never_noticed"]
        yield Row("… false or unnoticed deaths", _at(cell), "0", str(wrong), wrong == 0)
        spread = results["seconds_from_first_to_all"]
        shown = f"p50 {spread['p50']:.2f} s, max {spread['max']:.2f} s"
        small = cell["nodes"] == 100
        yield Row(
            "… first to last member",
            _at(cell),
            "≤ 0.25 s" if small else "",
            shown,
            spread["max"] <= 0.25 if small else None,
        )
        sent = results["datagrams_per_member_besides_probes"]["p50"]
        large = cell["nodes"] == 10_000
        yield Row(
            "… datagrams a member for one death",
            _at(cell),
            "≤ 60" if large else "",
            f"{sent:.1f}",
            sent <= 60 if large else None,
        )


def _suspicions(found: record.Record) -> Iterator[Row]:
    for cell in select(found, "suspicions"):
        results = cell["results"]
        expected, sigma = results["expected"], results["standard_deviation"]
        bar = f"{expected:.1f} ± {max(0.1 * expected, 3 * sigma):.1f}"
        shown = f"{results['failed']} of {results['probes']:,} probes"
        yield Row("false suspicions", _at(cell), bar, shown, results["within_bound"])
        deaths = results["false_deaths"]
        yield Row("… false deaths", _at(cell), "0", str(deaths), deaths == 0)


def grid(found: record.Record, arm: str) -> dict[tuple[int, float, float], tuple[int, int]]:
    """Runs with a false death and all runs, by members, loss and share of starved ones."""
    sums: dict[tuple[int, float, float], tuple[int, int]] = {}
    for cell in select(found, "starved", arm=arm):
        key = (cell["nodes"], cell["loss_percent"], cell["starved_percent"])
        bad, runs = sums.get(key, (0, 0))
        sums[key] = (bad + cell["results"]["runs_with_a_false_death"], runs + cell["runs"])
    return sums


def _sums(found: record.Record, arm: str, sizes: tuple[int, ...]) -> tuple[int, int, int]:
    """Cells of the grid at these sizes, runs with a false death, and all runs."""
    pairs = [pair for (nodes, *_), pair in grid(found, arm).items() if nodes in sizes]
    return len(pairs), sum(bad for bad, _ in pairs), sum(runs for _, runs in pairs)


def _starved(found: record.Record) -> Iterator[Row]:
    cells, bad, runs = _sums(found, "default", STARVED_SIZES)
    bar = f"≤ {STARVED_BAD_RUNS_MAX} of {STARVED_RUNS:,} runs"
    held = bad <= STARVED_BAD_RUNS_MAX and runs == STARVED_RUNS
    at = f"N = 50 and 200, {cells} cells"
    yield Row("starved grid", at, bar, f"{bad} of {runs:,} runs with a false death", held)
    for nodes in (plan.STARVED_LARGE, plan.STARVED_LARGEST):
        cells, bad, runs = _sums(found, "default", (nodes,))
        if runs:
            shown = f"{bad} of {runs:,} runs with a false death"
            yield Row("starved grid", f"N = {nodes:,}, {cells} cells", "0 runs", shown, bad == 0)
    # So few die even so that this shows no ratio.
    cells, bad, runs = _sums(found, "plain", (50,))
    shown = f"{bad} of {runs:,} runs with a false death"
    yield Row("… of plain SWIM", f"N = 50, {cells} cells", "", shown)


def _joining(found: record.Record) -> Iterator[Row]:
    for cell in select(found, "joins"):
        held = cell["results"]["members_present_everywhere"]
        shown = f"min {held['min']:g} in {cell['runs']} runs"
        yield Row("joins one by one, K = 1, T = 2 s", _at(cell), "17", shown, held["min"] == 17)
    for cell in select(found, "wave"):
        times, lost = cell["results"]["seconds_to_all_see_all"], cell["results"]["unfinished"]
        shown = f"p50 {times['p50']:.2f} s, max {times['max']:.2f} s, unfinished {lost}"
        yield Row("wave of joins", _at(cell), "≤ 3 s in all", shown, not lost and times["max"] <= 3)


def _memory(name: str, at: str, results: dict[str, Any]) -> Iterator[Row]:
    """The most memory the simulator ever had; older cells do not tell."""
    if (peak := results.get("memory_peak_bytes")) is not None:
        shown = f"{peak / 2**30:.2f} GiB"
        yield Row(name, at, "≤ 16 GiB", shown, peak <= MEMORY_BYTES_MAX)


def _parting(found: record.Record) -> Iterator[Row]:
    for cell in select(found, "partition"):
        times, lost = cell["results"]["seconds_to_agree"], cell["results"]["unhealed"]
        bar = {1_000: 10, 10_000: 30}.get(cell["nodes"], 30)
        healed = f"max {times['max']:.1f} s" if times["count"] else "never"
        shown = f"{healed} in {cell['runs']} runs, unhealed {lost}"
        ok = not lost and times["max"] <= bar
        name = f"halves agree again after {cell['seconds']} s"
        yield Row(name, _at(cell), f"≤ {bar} s", shown, ok)
        yield from _memory("… simulator memory", _at(cell), cell["results"])
    for cell in select(found, "rapid"):
        removed = cell["results"]["healthy_members_removed"]["max"]
        name = f"1 % of members {cell['arm']}"
        yield Row(name, _at(cell), "no healthy one removed", f"{removed:g}", removed == 0)


def _load(found: record.Record) -> Iterator[Row]:
    for cell in select(found, "idle"):
        rate = cell["results"]["bytes_per_member_second"]
        shown = f"p50 {rate['p50']:.0f}, max {rate['max']:.0f} B/s"
        yield Row("idle UDP payload of a member", _at(cell), "≤ 150 B/s", shown, rate["max"] <= 150)
    for cell in select(found, "speed"):
        results = cell["results"]
        rate = results["node_seconds_per_processor_second"]
        shown = f"{rate:,.0f} node-s per CPU-s"
        yield Row("simulator speed", _at(cell), "≥ 80,000", shown, rate >= 80_000)
        yield from _memory("simulator memory", _at(cell), results)
    for cell in select(found, "storm"):
        shown = f"{cell['results']['histories_without_a_fault']} without a broken rule"
        yield Row("storms of all faults", f"N = {cell['nodes']}, {cell['runs']} seeds", "", shown)
    traces = set(found["traces"].values())
    shown = ", ".join(f"{build} {trace}" for build, trace in found["traces"].items())
    yield Row("trace of both builds", " ".join(plan.trace()[1:]), "equal", shown, len(traces) == 1)


CODEC_BARS = {
    "encode_ping": 20,
    "encode": None,
    "validate": None,
    "seal": 1_200,
    "open": 1_200,
    "open_and_merge_known": 4_000,
    "open_and_merge_new": None,
    "drop_bad_header": 150,
    "drop_replay": None,
    "drop_forged_member": 3_000,
    "drop_forged_stranger": 3_000,
    "refuse_invented": None,
}


def _codec(found: record.Record) -> Iterator[Row]:
    for cell in select(found, "codec"):
        at, results = f"view of {cell['nodes']:,}", cell["results"]
        count, size = results["suspicions_in_a_datagram"], results["datagram_bytes"]
        yield Row("suspicions in a datagram", f"{size} B", "≥ 50", str(count), count >= 50)
        for name, bar in CODEC_BARS.items():
            nanos = results[name]
            shown = f"p50 {nanos['p50']:.0f}, p99 {nanos['p99']:.0f} ns"
            ok = nanos["p50"] <= bar if bar else None
            yield Row(name.replace("_", " "), at, f"≤ {bar:,} ns" if bar else "", shown, ok)
        ms = results["ms_to_refuse_20000_members"]
        yield Row("refuse 20,000 invented members", at, "≤ 5 ms", f"{ms:.2f} ms", ms <= 5)
        replies = results["replies_to_dropped"]
        yield Row("replies to what was dropped", at, "0", str(replies), replies == 0)
        each = ", ".join(f"{name} {nanos:.1f}" for name, nanos in results["ns_per_rumour"].items())
        yield Row("ns for one rumour", at, "", each.replace("_", " "))


SECTIONS: tuple[Callable[[record.Record], Iterator[Row]], ...] = (
    _dissemination,
    _detection,
    _suspicions,
    _starved,
    _joining,
    _parting,
    _load,
    _codec,
)


def table(found: record.Record) -> str:
    """The whole table in Markdown, and what the record lacks."""
    rows = [row.cells() for section in SECTIONS for row in section(found)]
    missing = [f"missing: {command}" for command in found["missing"]]
    return "\n".join([report.table(HEADERS, rows), *missing])
