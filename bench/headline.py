"""`python -m bench.headline RECORD`: write the README's verdict, table and figure from a record.

What stands between the two marks in README.md is written by this and by nobody's hand; a test
compares it with the record that is named there.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ztransport.bench import figures, report, statistics, verdict
from ztransport.bench.record import Record, Run, open_run
from ztransport.bench.statistics import Summary

__all__ = ["main", "named_record", "section", "summary_of"]

README, FIGURE = Path("README.md"), Path("bench/records/cost-ratios.svg")
ALT = "CPU per message over plaintext, with intervals and the noise band"
WRITER = "python -m bench.headline"
BEGIN, END = "<!-- headline: ", "<!-- end of headline -->"


def summary_of(record: Path) -> Summary:
    """What a record says of the headline's workload. Raises BenchError when it cannot be read."""
    run = open_run(record)
    windows = [one for one in run.windows if one["workload"] == verdict.MAIN_WORKLOAD]
    return statistics.summarise(Run(run.path, run.manifest, windows, run.cut))


def section(record: Path, summary: Summary) -> str:
    """The README's section as it has to be, marks included."""
    opened, closed = verdict.main_scene(summary), verdict.main_scene(summary, "closed")
    if opened is None or closed is None:
        raise SystemExit(f"{record} does not hold {verdict.MAIN_WORKLOAD} in both loops")
    lines = [
        f"{BEGIN}{record} -->",
        f"**{verdict.sentence(summary)}**",
        "",
        verdict.headline(summary),
        "",
        verdict.measured_as(summary),
        *verdict.caveats(summary),
        "",
        report.grid_text(report.key_grid(summary)),
        "",
        "Ratios with their 95 % intervals; what is within the noise is not resolved. "
        + _versions(summary.manifest),
        "",
        f"![{ALT}]({FIGURE})",
        "",
        (
            f"`{summary.manifest['command']}` measured it, `{WRITER} {record}` wrote this section "
            f"and its figure; `ztransport bench report {record}` shows all the rest."
        ),
        END,
    ]
    return "\n".join(lines)


def _versions(manifest: Record) -> str:
    """Whose figures they are: the proxies with their TLS libraries, the processor and the day."""
    tools = manifest["programs"].values()
    told = [f"{one['version']} ({one['tls_library']})" for one in tools]
    where = f"{manifest['environment']['cpu_model']}, {manifest['begun_at'][:10]}"
    return f"Measured with {', '.join(told)} on {where}."


def named_record(readme: str) -> Path:
    """The record whose section stands in a README. Raises SystemExit when there is none."""
    found = re.search(re.escape(BEGIN) + r"(\S+) -->", readme)
    if found is None:
        raise SystemExit(f"{README} has no mark {BEGIN!r}")
    return Path(found[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the section into README.md and the figure beside the records."""
    parser = argparse.ArgumentParser(WRITER, description=__doc__)
    parser.add_argument("record", type=Path, help="what `ztransport bench run` has written")
    record = parser.parse_args(arguments).record
    summary = summary_of(record)
    readme = README.read_text(encoding="utf-8")
    pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
    written, count = re.subn(pattern, lambda _: section(record, summary), readme, flags=re.DOTALL)
    if not count:
        raise SystemExit(f"{README} has no marks for a headline")
    README.write_text(written, encoding="utf-8")
    opened = verdict.main_scene(summary)
    alone = dataclasses.replace(summary, scenes=[opened] if opened else [])
    drawn = figures.svg(figures.ratios(alone), "headline", ALT)
    FIGURE.write_text(drawn, encoding="utf-8")
    sys.stdout.write(f"{README} and {FIGURE} tell {record}\n")


if __name__ == "__main__":
    main()
