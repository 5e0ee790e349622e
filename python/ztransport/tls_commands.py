"""The commands `ztransport certs` and `ztransport tls`: they parse, call and print."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from ztransport import certs as authorities
from ztransport import tls_check
from ztransport._errors import ConfigurationError

__all__ = ["certs", "tls"]

PROBLEMS = 1
AUTHORITY_DAYS = 3650
LEAF_DAYS = 365

certs = typer.Typer(no_args_is_help=True, help="Certificates for a cluster of your own.")
tls = typer.Typer(no_args_is_help=True, help="What is wrong with certificates and listeners.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")]
Days = Annotated[int, typer.Option(min=1, help="How long the leaves are valid.")]


@tls.callback()
def _tls() -> None:
    """Keep `check` a word of its own while it is the only command."""


@certs.command("init")
def certs_init(
    folder: Path,
    nodes: Annotated[list[str] | None, typer.Argument(metavar="NODE=NAME[,NAME]...")] = None,
    name: Annotated[str, typer.Option(help="The authority's common name.")] = "cluster.local",
    days: Days = LEAF_DAYS,
) -> None:
    """Make an authority and, for each NODE, a chain and a key for both roles.

    NAME is a host name, an address or a URI: ztransport certs init pki a=127.0.0.1 b=b.example
    """
    if (folder / authorities.AUTHORITY_NAMES[1]).exists():
        raise ConfigurationError(f"{folder} has an authority; issue from it or choose another")
    folder.mkdir(parents=True, exist_ok=True)
    authority = authorities.create_authority(name, days=AUTHORITY_DAYS)
    for path in authority.write(folder):
        typer.echo(path)
    for node in nodes or []:
        label, _, names = node.partition("=")
        _issue(authority, folder, label, names.split(","), days)


@certs.command("issue")
def certs_issue(folder: Path, node: str, names: list[str], days: Days = LEAF_DAYS) -> None:
    """Issue NODE.chain.pem and NODE.key.pem for NAMES by the authority in FOLDER."""
    try:
        authority = authorities.load_authority(folder)
    except ValueError as error:
        raise ConfigurationError(f"{folder}: no authority can be read: {error}") from None
    _issue(authority, folder, node, names, days)


def _issue(
    authority: authorities.Authority, folder: Path, node: str, names: list[str], days: int
) -> None:
    if not node or Path(node).name != node or not all(names):
        raise ConfigurationError(f"a node is a plain name with names behind it, not {node!r}")
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    for path in authority.issue(names, not_after=end).write(folder, node):
        typer.echo(path)


@certs.command("show")
def certs_show(files: list[Path], as_json: Json = False) -> None:
    """Show every certificate of FILES."""
    shown = [_facts(path, found) for path in files for found in _read(path)]
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    for facts in shown:
        typer.echo("\n".join(f"{key:<10} {value}" for key, value in facts.items()) + "\n")


def _read(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError:
        raise ConfigurationError(f"{path}: holds no PEM section CERTIFICATE") from None


def _facts(path: Path, found: x509.Certificate) -> dict[str, str]:
    findings = tls_check.describe(found)
    return {"file": str(path), **findings}


@tls.command("check")
def tls_check_command(
    targets: Annotated[list[str], typer.Argument(metavar="FILES | HOST:PORT")],
    profile: Annotated[str, typer.Option(help="standard, strict, zeebe or spiffe.")] = "standard",
    trust: Annotated[
        list[str] | None, typer.Option(help="chain, system or a file; default: chain, or system.")
    ] = None,
    password: Annotated[
        str | None, typer.Option(help="env:NAME or file:PATH of the key's password.")
    ] = None,
    verify_hostname: Annotated[bool, typer.Option(help="Compare names when dialling.")] = True,
    as_json: Json = False,
) -> None:
    """Check a node's chain and key, or dial HOST:PORT; exit code 1 if anything will not work."""
    if password is not None and not password.startswith(("env:", "file:")):
        raise ConfigurationError("--password is env:NAME or file:PATH: others see arguments")
    chosen = tls_check.Choices(
        profile=profile,  # type: ignore[arg-type]
        trust=tuple(trust or ()),
        password=password,
        verify_hostname=verify_hostname,
    )
    findings = tls_check.check(targets, chosen)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            typer.echo(f"{finding.severity:<8}{finding.subject}: {finding.problem}{remedy}")
    raise typer.Exit(PROBLEMS if tls_check.has_errors(findings) else 0)
