"""A live table of a cluster's members, for the command line: it joins as an observer."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import trio

import ztransport as zt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ztransport.cluster import ClusterProtocol, Sealing, Transport
    from ztransport.membership import Cluster, EventKind, Member

KEY_FILE_BYTES_MAX: Final = 4_096
VALUE_CHARACTERS_MAX: Final = 32
ANSWER_SECONDS_MAX: Final = 10.0
HEADERS: Final = ("NAME", "ADDRESS", "STATE", "LIFE", "INC", "PROPERTIES")
View = Literal["table", "changes", "once"]
"""What is shown: the table as it changes, a line for each change, or the table once."""
HOME_AND_CLEAR: Final = "\x1b[H\x1b[J"


@dataclass(frozen=True, slots=True)
class Observer:
    """How to look at a cluster."""

    seeds: tuple[str, ...]
    cluster: str
    protocol: ClusterProtocol
    key: bytes | None
    sealing: Sealing | None
    transport: Transport
    listen: str
    tls: zt.TLSConfig | None


def read_key(path: Path) -> bytes:
    """Return the cluster key in a file: 32 bytes as they are, or 64 hexadecimal digits."""
    with path.open("rb") as file:
        content = file.read(KEY_FILE_BYTES_MAX)
    if len(content) == 32:
        return content
    try:
        return bytes.fromhex(content.decode().strip())
    except ValueError:
        raise zt.ConfigurationError(
            f"{path}: holds no key: write 32 bytes or 64 hexadecimal digits"
        ) from None


def table(members: Iterable[Member]) -> str:
    """Return members as aligned columns; what others said is shown printable and short."""
    rows = [HEADERS, *map(_row, members)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADERS))]
    lines = []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _row(member: Member) -> tuple[str, ...]:
    properties = " ".join(
        f"{_shown(key)}={_shown(value.decode(errors='replace'))}"
        for key, value in member.properties.items()
    )
    life, spoken = str(member.generation), str(member.incarnation)
    return (_shown(member.name), member.address, member.state, life, spoken, properties)


def _shown(text: str) -> str:
    fits = len(text) <= VALUE_CHARACTERS_MAX
    cut = text if fits else f"{text[: VALUE_CHARACTERS_MAX - 1]}…"
    return "".join(letter if letter.isprintable() else "·" for letter in cut)


async def watch(observer: Observer, show: Callable[[str], None], view: View) -> None:
    """Join, and show the table whenever it changes, or once, or the changes themselves.

    Once is when this view is the others'.
    """
    name = f"observer-{secrets.token_hex(4)}"
    opened = zt.open_node(
        observer.listen,
        cluster=observer.cluster,
        node_id=name,
        tls=observer.tls,
        protocols=("zt/1", "zeebe") if observer.protocol == "zeebe" else ("zt/1",),
    )
    async with (
        opened as node,
        zt.open_cluster(
            node,
            seeds=observer.seeds,
            properties={"role": "observer"},
            key=observer.key,
            sealing=observer.sealing,
            protocol=observer.protocol,
            transport=observer.transport,
        ) as cluster,
    ):
        if view == "once":
            await _answered(cluster, observer)
            show(table(cluster.members))
        elif view == "table":
            await _follow(cluster, show)
        else:
            await _tell(cluster, show)


async def _answered(cluster: Cluster, observer: Observer) -> None:
    """Wait until this view is the others'; who is slow to settle is shown as it is."""
    with trio.move_on_after(ANSWER_SECONDS_MAX):
        await cluster.converged()
        return
    if len(cluster.members) == 1:
        places = " or ".join(observer.seeds)
        text = f"no member has answered at {places}: look at the address, --cluster, the key"
        raise zt.ConnectFailed(f"{text}, --protocol and --transport; others are not answered")


async def _tell(cluster: Cluster, show: Callable[[str], None]) -> None:
    """Show who is there, and then a line for each change."""
    show(line("joined", cluster.own))
    async for event in cluster.events():
        show(line(event.kind, event.member))


def line(kind: EventKind, member: Member) -> str:
    """Return a change as one line for other programs: what, who and where, between tabs."""
    return f"{kind}\t{_shown(member.name)}\t{member.address}"


async def _follow(cluster: Cluster, show: Callable[[str], None]) -> None:
    ended: dict[str, Member] = {}
    show(table(cluster.members))
    async for event in cluster.events():
        if event.kind in ("failed", "left"):
            ended[event.member.name] = event.member
        else:
            ended.pop(event.member.name, None)
        show(table([*cluster.members, *ended.values()]))


def run(observer: Observer, *, once: bool) -> None:
    """Show the table on a terminal until interrupted; elsewhere a line for each change."""
    view: View = "once" if once else "table" if sys.stdout.isatty() else "changes"

    def show(text: str) -> None:
        sys.stdout.write(f"{HOME_AND_CLEAR}{text}\n" if view == "table" else f"{text}\n")
        sys.stdout.flush()

    trio.run(lambda: watch(observer, show, view))
