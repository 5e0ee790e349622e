"""What the programs of this package share: their options, their tasks, and how they end.

A program says where it listens in one line of JSON on standard output, serves until it is told to
end by SIGTERM, SIGINT or (if asked to) the end of its standard input, drains, and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import trio

import ztransport as zt
from ztransport.config import DRAIN_TIMEOUT_SECONDS, Accept, Dial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

__all__ = ["ended", "options", "run", "tasks", "tls_of"]

MISTAKE = 2
STDIN = 0
STDIN_BYTES = 4_096


@asynccontextmanager
async def tasks() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose failure is the first exception itself and not a group.

    Tasks that serve one connection fail of one cause, so that the first tells all there is to
    tell; the others stand behind it as its cause.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        first = _first(group)
        if not isinstance(first, Exception):
            raise
        raise first from group


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def options(program: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of what every program of this package is told."""
    parser = argparse.ArgumentParser(program, description=description)
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port; port 0 takes any")
    parser.add_argument("--cluster", required=True, help="members of another one are refused")
    parser.add_argument("--node-id", default=program.split()[-1], help="its name in the cluster")
    parser.add_argument("--certificate-chain", type=Path, help="PEM file; the key goes with it")
    parser.add_argument("--private-key", type=Path, help="PEM file")
    parser.add_argument("--trust", type=Path, action="append", help="PEM file; default: the chain")
    parser.add_argument("--client-auth", choices=("none", "optional", "required"), default="none")
    parser.add_argument("--accept", choices=get_args(Accept), help="default: tls")
    parser.add_argument("--dial", choices=get_args(Dial), help="default: tls")
    parser.add_argument("--cipher-suite", action="append", help="IANA name; best first, repeatable")
    parser.add_argument("--group", action="append", help="key exchange, as --cipher-suite")
    parser.add_argument("--plaintext", action="store_true", help="no TLS; to be said explicitly")
    parser.add_argument("--drain-timeout", type=float, default=DRAIN_TIMEOUT_SECONDS, help="s")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin is closed")
    return parser


def tls_of(arguments: argparse.Namespace) -> zt.TLSConfig | None:
    """Make the TLS configuration; none for plaintext. Raises `ConfigurationError`."""
    if arguments.plaintext:
        chosen = (
            arguments.certificate_chain,
            arguments.private_key,
            arguments.accept,
            arguments.dial,
            arguments.cipher_suite,
            arguments.group,
        )
        if any(chosen):
            raise zt.ConfigurationError("give --plaintext, or what TLS is to be, not both")
        return None
    if not (arguments.certificate_chain and arguments.private_key):
        raise zt.ConfigurationError("give --certificate-chain and --private-key, or --plaintext")
    return zt.TLSConfig(
        certificate_chain_path=arguments.certificate_chain,
        private_key_path=arguments.private_key,
        trust=tuple(arguments.trust or ("chain",)),
        client_auth=arguments.client_auth,
        accept=arguments.accept or "tls",
        dial=arguments.dial or "tls",
        cipher_suites=tuple(arguments.cipher_suite or ()),
        groups=tuple(arguments.group or ()),
    )


async def ended(address: str | None, *, with_stdin: bool, **more: object) -> None:
    """Say where the program listens, and what `more` there is, then wait until it is to end."""
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            sys.stdout.write(json.dumps({"address": address, **more}) + "\n")
            sys.stdout.flush()
            if with_stdin:
                nursery.start_soon(_until_stdin_ends, nursery.cancel_scope)
            async for _ in signals:
                nursery.cancel_scope.cancel()


async def _until_stdin_ends(scope: trio.CancelScope) -> None:
    # Not `sys.stdin`: its lock, held by a thread that is left behind, would keep us from exiting.
    while await trio.to_thread.run_sync(os.read, STDIN, STDIN_BYTES, abandon_on_cancel=True):
        pass
    scope.cancel()


def run(
    serve: Callable[[argparse.Namespace], Awaitable[None]],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
) -> None:
    """Serve with these arguments; a mistake is one line on standard error and exit code 2."""
    chosen = parser.parse_args(arguments)
    try:
        trio.run(serve, chosen)
    except (zt.Error, OSError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        sys.exit(MISTAKE)
