"""Shutting down in the middle of an attack."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from bench.abuse import wire
from bench.abuse.cases import Case, Row
from bench.abuse.raw import Ended, connected, dial, greeted
from bench.abuse.stage import Server, Stage

SHUTDOWN_S_MAX = 6.0
EACH = 50
FLOOD_S = 8.0
ECHO_BYTES = 16 * 1024
Attack = Callable[[Stage, Server, ExitStack], object]


def _nothing(_stage: Stage, _server: Server, _held: ExitStack) -> None:
    """Nobody is there."""


def _silent(_stage: Stage, server: Server, held: ExitStack) -> None:
    for _ in range(EACH):
        held.enter_context(dial(server.tls))


def _ungreeted(_stage: Stage, server: Server, held: ExitStack) -> None:
    for _ in range(EACH):
        held.enter_context(connected(server.tls))


def _deaf(_stage: Stage, server: Server, held: ExitStack) -> None:
    """Peers that ask much and read nothing, not even the GOAWAY."""
    for _ in range(4):
        raw = held.enter_context(greeted(server.tls, "echo"))
        raw.sock.settimeout(0.2)
        try:
            for number in range(wire.REQUEST_WINDOW - 1):
                raw.send(wire.request(1, wire.request_id(number + 1, number), bytes(ECHO_BYTES)))
        except (Ended, OSError):
            continue


def _running(_stage: Stage, server: Server, held: ExitStack) -> None:
    """Handlers that never return."""
    for _ in range(EACH):
        held.enter_context(greeted(server.tls, "sleep")).send(
            wire.request(1, wire.request_id(1, 0))
        )


def _unfinished(_stage: Stage, server: Server, held: ExitStack) -> None:
    for _ in range(EACH):
        raw = held.enter_context(greeted(server.tls, "sink"))
        raw.send(wire.first_fragment(1, wire.request_id(1, 0), wire.MESSAGE_BYTES_MAX, bytes(4096)))


def _flooding(stage: Stage, server: Server, _held: ExitStack) -> None:
    stage.flood(server.tls, FLOOD_S)


def _calling(stage: Stage, server: Server, _held: ExitStack) -> None:
    stage.client("control", replace(stage.client_setup(server), callers=16))


ATTACKS: dict[str, Attack] = {
    "idle": _nothing,
    "silent sockets": _silent,
    "no greeting": _ungreeted,
    "peers that never read": _deaf,
    "handlers that never return": _running,
    "unfinished messages": _unfinished,
    "handshake flood": _flooding,
    "honest load": _calling,
}


def shut_down(case: Case) -> None:
    """T30: a server for each attack, told to stop in the middle of it."""
    for name, attack in ATTACKS.items():
        server = case.stage.server()
        with ExitStack() as held:
            attack(case.stage, server, held)
            seconds, code = server.stop()
        met = code == 0 and seconds <= SHUTDOWN_S_MAX
        case.bars.check(f"{name}: {seconds:.1f} s, exit {code}", met)
        said = server.said().strip()
        case.bars.check(f"stderr {said.splitlines()[-1][:80]}" if said else "quiet", not said)


ROWS = (Row("T30", f"shutdown during {len(ATTACKS)} attacks", "exit 0 in ≤ 6 s", shut_down),)
