"""The `ztransport` command. No logic here: commands parse, call, print, and choose an exit code.

0 is success, 2 a mistake of the caller or of the machine, 3 a measurement that is not valid, told
in one line with how to mend it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NoReturn

MISTAKE, INVALID, INTERRUPTED = 2, 3, 130
EXTRAS = {"typer": "cli", "cryptography": "certs,cli"}
"""What to install for a module that is missing; anything else is a measurement's."""


def _missing(error: ModuleNotFoundError) -> str:
    extras = EXTRAS.get(str(error.name).partition(".")[0], "bench,certs,cli,proxies")
    return f"ztransport: no module {error.name}: pip install 'ztransport[{extras}]'"


try:
    import typer

    import ztransport as zt
    from ztransport import broker, gateway, members, tls_commands
    from ztransport.bench import processes, record
except ModuleNotFoundError as error:
    sys.stderr.write(f"{_missing(error)}\n")
    sys.exit(MISTAKE)
except KeyboardInterrupt:
    sys.exit("ztransport: interrupted before anything was done: run the same command again")

__all__ = ["main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
bench = typer.Typer(
    no_args_is_help=True, help="What encryption costs, and what it costs elsewhere."
)
app.add_typer(bench, name="bench")
app.add_typer(tls_commands.certs, name="certs")
app.add_typer(tls_commands.tls, name="tls")


@app.callback()
def _ztransport() -> None:
    """Framed messages over TLS 1.3 between Python processes."""


# The roles read their own options, so that they also run where typer is not installed.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command("broker", context_settings=PASSED_ON)
def broker_command(context: typer.Context) -> None:
    """Queue and push messages, and answer requests; --help shows the options."""
    broker.main(context.args)


@app.command("gateway", context_settings=PASSED_ON)
def gateway_command(context: typer.Context) -> None:
    """Pass requests and streams on to brokers; --help shows the options."""
    gateway.main(context.args)


@app.command("members")
def members_command(
    seeds: Annotated[list[str], typer.Argument(metavar="HOST:PORT...")],
    cluster: Annotated[str, typer.Option(help="The cluster's name.")],
    key_file: Annotated[
        Path | None, typer.Option(help="The cluster key: 32 bytes or 64 hexadecimal digits.")
    ] = None,
    sealing: Annotated[str | None, typer.Option(help="none, if nothing is sealed.")] = None,
    protocol: Annotated[str, typer.Option(help="zt/1 or zeebe.")] = "zt/1",
    transport: Annotated[str, typer.Option(help="udp or tcp.")] = "udp",
    listen: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1:0",
    certificate_chain: Annotated[Path | None, typer.Option(help="For TLS.")] = None,
    private_key: Annotated[Path | None, typer.Option(help="For TLS.")] = None,
    once: Annotated[bool, typer.Option(help="Show the table once and leave.")] = False,
) -> None:
    """Show a cluster's members as a live table, or their changes line by line where no terminal is.

    To be told, it joins them as an observer.
    """
    tls = None
    if certificate_chain is not None or private_key is not None:
        tls = zt.TLSConfig(certificate_chain_path=certificate_chain, private_key_path=private_key)
    observer = members.Observer(
        seeds=tuple(seeds),
        cluster=cluster,
        key=None if key_file is None else members.read_key(key_file),
        sealing=sealing,  # type: ignore[arg-type]
        protocol=protocol,  # type: ignore[arg-type]
        transport=transport,  # type: ignore[arg-type]
        listen=listen,
        tls=tls,
    )
    members.run(observer, once=once)


@bench.command("run")
def bench_run(
    profile: Annotated[str, typer.Option(help="What to measure: see bench list.")] = "quick",
    variant: Annotated[list[str] | None, typer.Option(help="Only this; repeatable.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Not this proxy or variant.")] = None,
    workload: Annotated[list[str] | None, typer.Option(help="Only this; repeatable.")] = None,
    blocks: Annotated[int | None, typer.Option(help="Instead of the profile's.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Of a cell.")] = None,
    seed: Annotated[int | None, typer.Option(help="Order of the windows.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65_000, help="First of many; 0: free.")] = 0,
    directory: Annotated[Path | None, typer.Option(help="Of the record; old: go on.")] = None,
) -> None:
    """Measure what encryption costs, in the process and at proxies; run again to go on."""
    from ztransport.bench import choices, runner, workloads

    place = directory
    try:
        chosen = choices.changed(
            workloads.profile(profile),
            only=variant or (),
            without=without or (),
            works=workload or (),
            blocks=blocks,
            seconds=seconds,
        )
        place = directory or choices.directory_for(chosen, choices.sound_seed(seed))
        typer.echo(f"{choices.announced(chosen)}\nRecord: {place}", err=True)
        with choices.Progress(sys.stderr) as progress:
            runner.run(
                chosen,
                place,
                progress,
                seed=choices.sound_seed(seed),
                command=shlex.join(["ztransport", *sys.argv[1:]]),
                first_port=port,
            )
        bench_report(place)
    except KeyboardInterrupt:
        raise processes.InvalidMeasurement(choices.interrupted(place)) from None


@bench.command("list")
def bench_list() -> None:
    """Show the profiles, variants and workloads, and which proxies are on this machine."""
    from ztransport.bench import listing

    typer.echo(listing.text())


@bench.command("env")
def bench_env() -> None:
    """Print what a figure of this machine depends on, as JSON."""
    from ztransport.bench import listing

    typer.echo(json.dumps(listing.surroundings(), indent=1))


@bench.command("doctor")
def bench_doctor() -> None:
    """Say what on this machine will spoil a measurement, and the remedy."""
    from ztransport.bench import doctor

    findings = doctor.examine()
    typer.echo(doctor.text(findings))
    if any(finding.level == doctor.SPOILS for finding in findings):
        raise typer.Exit(INVALID)


@bench.command("report")
def bench_report(
    directory: Annotated[Path, typer.Argument(help="What bench run has written.")],
    as_json: Annotated[bool, typer.Option("--json", help="The numbers, nothing else.")] = False,
) -> None:
    """Rebuild the page of a run and print its tables, or its numbers as JSON."""
    from ztransport.bench import belief, page, report, statistics  # they load numpy and matplotlib

    run = record.open_run(directory)
    summary = statistics.summarise(run)
    if as_json:
        typer.echo(json.dumps(summary.as_json(), indent=1))
    else:
        typer.echo(report.tables(summary))
        typer.echo(f"\nPage: {page.build(run, summary)}")
    if fault := belief.fault(summary):
        raise processes.InvalidMeasurement(fault)


@bench.command("wiretap")
def bench_wiretap() -> None:
    """Tap every hop of every variant and show which of them can be read."""
    from ztransport.bench import proxies, wiretap

    tools, missing = proxies.found()
    taps, marker = wiretap.prove(wiretap.possible(tools))
    typer.echo(wiretap.table(taps, marker))
    for reason in missing.values():
        typer.echo(f"left out: {reason}", err=True)
    if not all(tap.is_as_expected(marker) for tap in taps):
        raise processes.BenchError("a hop is not what it should be: see the table")


@bench.command("contenders", context_settings={"ignore_unknown_options": True})
def bench_contenders(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Measure ztransport beside other transports; needs a checkout, passes its arguments on."""
    if not Path("bench/contenders/__main__.py").is_file():
        raise processes.BenchError("the contenders live in the source: run this in a checkout")
    command = [sys.executable, "-m", "bench.contenders", *(arguments or [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603 the caller's own


def main() -> None:
    """Run the command; what is wrong is one line on standard error and an exit code."""
    try:
        code = app(standalone_mode=False)
    except ModuleNotFoundError as error:
        _leave(_missing(error), MISTAKE)
    except processes.InvalidMeasurement as error:
        _leave(f"ztransport: {error}", INVALID)
    except (processes.BenchError, zt.Error, OSError) as error:
        _leave(f"ztransport: {error}", MISTAKE)
    except typer.TyperException as error:
        _leave(_misused(error), MISTAKE)
    if code == INTERRUPTED:
        _leave("ztransport: interrupted", code)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(line: str, code: int) -> NoReturn:
    typer.echo(line, err=True)
    sys.exit(code)


def _misused(error: typer.TyperException) -> str:
    """What is wrong with the arguments, in one line; the help where there were none."""
    said = error.format_message()
    if not said or "Usage: " in said:
        return said
    path = getattr(getattr(error, "ctx", None), "command_path", "ztransport")
    return f"ztransport: {' '.join(said.split())}: see {path} --help"
