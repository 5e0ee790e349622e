"""The `ztransport` command. No logic here: commands parse, call, print, and choose an exit code.

0 is success, 2 a mistake of the caller or of the machine, told in one line with how to mend it.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

MISTAKE = 2
EXTRAS = "ztransport[bench,cli,proxies]"

try:
    import typer

    import ztransport as zt
    from ztransport.bench import processes, record, runner, wiretap
except ModuleNotFoundError as error:
    sys.stderr.write(f"ztransport: no module {error.name}: pip install '{EXTRAS}'\n")
    sys.exit(MISTAKE)

__all__ = ["main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
bench = typer.Typer(
    no_args_is_help=True, help="What encryption costs, and what it costs elsewhere."
)
app.add_typer(bench, name="bench")


@app.callback()
def _ztransport() -> None:
    """Framed messages over TLS 1.3 between Python processes."""


@bench.command("run")
def bench_run(
    seconds: Annotated[float, typer.Option(min=0.05, help="Length of a window.")] = 1.0,
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of all variants.")] = 12,
    budget: Annotated[float, typer.Option(min=1, help="Measuring seconds at most.")] = 230.0,
    seed: Annotated[int | None, typer.Option(help="Order of the windows.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65_531, help="First of five; 0: free.")] = 0,
    record_path: Annotated[Path | None, typer.Option("--record", help="JSON file.")] = None,
) -> None:
    """Measure plaintext, TLS, mutual TLS and a real nginx, interleaved, and print one table."""
    chosen = seed if seed is not None else secrets.randbits(32)
    options = runner.Options(seconds, blocks, budget, chosen, port)
    path = record_path or Path("results") / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    found = runner.run(options, ["ztransport", *sys.argv[1:]], _progress)
    record.write(path, found)
    typer.echo(f"{runner.table(found)}\nRecord: {path}")


@bench.command("report")
def bench_report(path: Path) -> None:
    """Print the table of a record again."""
    typer.echo(runner.table(runner.load(path)))


@bench.command("wiretap")
def bench_wiretap() -> None:
    """Tap every hop of every variant and show which of them can be read."""
    taps, marker = wiretap.prove()
    typer.echo(wiretap.table(taps, marker))
    if not all(tap.is_as_expected(marker) for tap in taps):
        raise processes.BenchError("a hop is not what it should be: see the table")


@bench.command("contenders", context_settings={"ignore_unknown_options": True})
def bench_contenders(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Measure ztransport beside other transports; needs a checkout, passes its arguments on."""
    if not Path("bench/contenders/__main__.py").is_file():
        raise processes.BenchError("the contenders live in the source: run this in a checkout")
    command = [sys.executable, "-m", "bench.contenders", *(arguments or [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603 the caller's own


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{line}", nl=False, err=True)


def main() -> None:
    """Run the command; a mistake is one line on standard error and exit code 2."""
    try:
        app()
    except (processes.BenchError, zt.Error, OSError) as error:
        typer.echo(f"ztransport: {error}", err=True)
        sys.exit(MISTAKE)
