"""Abuse of sockets: silent ones, too many of them, and connections that break."""

from __future__ import annotations

import contextlib
import signal
import socket
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import trio

import ztransport as zt
from bench.abuse import wire
from bench.abuse.cases import Case, Row
from bench.abuse.crowd import Crowd, source
from bench.abuse.raw import HOST, Ended, Raw, Target, dial, greeted
from bench.abuse.server import CLUSTER

SILENT = 2_000
SILENT_PER_SOURCE = 1_000
HANDSHAKE_BAR_S = 5.5
HALF_OPEN = 5_000
HALF_OPEN_PER_HONEST = 50
HONEST_MS_MAX = 250.0
DESCRIPTORS_MAX = 256
TOO_MANY = 400
RESUME_S_MAX = 1.0
EXHAUST_S_MAX = 5.0
RESETS = 10_000
RESETS_BY_LISTENER = 100
SILENCE_S_MAX = 15.0
SILENCE_SLACK_S = 1.0
OWN_DEADLINE_S = 1.0
OWN_DEADLINE_SLACK_S = 0.25
REPLIES = 200
POLL_S = 0.1


def silent(case: Case) -> None:
    """T1."""
    silent_at(case, [case.tls])


def silent_at(case: Case, targets: Sequence[Target]) -> None:
    """Silent sockets at one door, or shared by several."""
    crowd = Crowd()
    for number in range(SILENT):
        crowd.add(dial(targets[number % len(targets)], source(number // SILENT_PER_SOURCE)))
    crowd.wait(HANDSHAKE_BAR_S * 2)
    case.bars.exactly("gone", len(crowd.ages_s), SILENT)
    case.bars.at_most("last after", max(crowd.ages_s, default=0), HANDSHAKE_BAR_S, "s")
    case.bars.counted(case.closed(), handshake_timeout=SILENT)
    crowd.close()


def _honest_ms(target: Target, from_address: str) -> float:
    begin = time.perf_counter()
    with greeted(target, "echo", source=from_address) as raw:
        raw.send(wire.request(1, wire.request_id(1, 0), b"honest"))
        assert raw.expect(wire.REPLY).body == b"honest"
        elapsed = (time.perf_counter() - begin) * 1e3
        raw.say_goodbye()
        raw.end()
    return elapsed


def half_open(case: Case) -> None:
    """T5: an honest newcomer comes after every so many half-open ones of one address."""
    crowd, waits = Crowd(), []
    for number in range(HALF_OPEN):
        crowd.add(dial(case.tls, source(0)))
        if number % HALF_OPEN_PER_HONEST == 0:
            waits.append(_honest_ms(case.tls, source(1)))
    handshaking = case.server.facts()["handshaking"]
    limit = zt.Limits().handshakes_max
    case.bars.check(f"{handshaking} pending of {HALF_OPEN}", handshaking <= limit)
    p99 = statistics.quantiles(waits, n=100)[-1]
    case.bars.at_most(f"{len(waits)} honest newcomers p99", p99, HONEST_MS_MAX, "ms")
    crowd.close()
    closed = case.closed()
    refused = closed["handshakes_max"] + closed["handshakes_per_source_max"]
    case.bars.check(f"{refused} turned away", refused >= HALF_OPEN - limit)


def descriptors(case: Case) -> None:
    """T6."""
    crowd = Crowd()
    for number in range(TOO_MANY):
        crowd.add(dial(case.tls, source(number)))
    begin = time.monotonic()
    while not case.closed()["accept_paused"] and time.monotonic() - begin < EXHAUST_S_MAX:
        time.sleep(POLL_S)
    held = case.server.descriptors()
    case.bars.check(f"{held} of {DESCRIPTORS_MAX} descriptors", held >= DESCRIPTORS_MAX - 2)
    crowd.close()
    begin = time.monotonic()
    _honest_ms(case.tls, source(0))
    case.bars.at_most("accepts again after", time.monotonic() - begin, RESUME_S_MAX, "s")
    case.bars.counted(case.closed(), accept_paused=1)


def resets(case: Case) -> None:
    """T16: dialers that reset in the middle of a frame, and a listener that does."""
    half = wire.request(1, wire.request_id(2, 1), bytes(100))[:50]
    begun = wire.request(1, wire.request_id(1, 0)) + half
    opening = wire.PREFACE + wire.hello(CLUSTER) + wire.subject(1, "sleep")
    for number in range(RESETS):
        raw = Raw(dial(case.plain), None)
        raw.send(opening + begun)
        if number % 2:
            raw.expect(wire.HELLO)  # the handler runs by now
        raw.reset()
    case.bars.note(f"{RESETS} resets")
    lost, longest = trio.run(_calls_that_are_reset)
    case.bars.exactly(f"of {RESETS_BY_LISTENER} calls ConnectionLost", lost, RESETS_BY_LISTENER)
    case.bars.at_most("slowest", longest, 1.0, "s")
    live = _until_zero(case)
    case.bars.exactly("handlers left", live, 0)


def _until_zero(case: Case) -> int:
    begin = time.monotonic()
    while (live := int(case.server.facts()["live"])) and time.monotonic() - begin < EXHAUST_S_MAX:
        time.sleep(POLL_S)
    return live


async def _calls_that_are_reset() -> tuple[int, float]:
    lost, longest = 0, 0.0
    with socket.create_server((HOST, 0)) as listener:
        address = f"{HOST}:{listener.getsockname()[1]}"
        threading.Thread(target=_reset_all, args=(listener,), daemon=True).start()
        async with zt.open_node(None, cluster=CLUSTER, node_id="caller", tls=None) as node:
            peer = await node.connect(address)
            for _ in range(RESETS_BY_LISTENER):
                begin = time.monotonic()
                try:
                    await peer.request("echo", b"", timeout=5.0)
                except zt.ConnectionLost:
                    lost += 1
                longest = max(longest, time.monotonic() - begin)
        listener.shutdown(socket.SHUT_RDWR)
    return lost, longest


def _reset_all(listener: socket.socket) -> None:
    """Greet whoever dials and reset in the middle of the reply to the first request."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with contextlib.suppress(Ended):  # the last dial is given up by its dialer
            _reset_in_reply(Raw(sock, None))


def _reset_in_reply(raw: Raw) -> None:
    preface = raw.sock.recv(len(wire.PREFACE), socket.MSG_WAITALL)
    assert preface in (wire.PREFACE, b"")
    raw.send(wire.hello(CLUSTER))
    asked = raw.expect(wire.REQUEST)
    raw.send(wire.frame(wire.REPLY, bytes(100), flags=wire.LAST, id=asked.id)[:50])
    raw.reset()


def frozen(case: Case) -> None:
    """T17: a client that stands still, and a server that does while it is called."""
    victim = case.stage.server()
    setup = replace(case.stage.client_setup(victim), timeout_s=OWN_DEADLINE_S, interval_s=0.1)
    caller = case.stage.client("control", setup)
    still = case.stage.client("control", case.stage.client_setup(case.server))
    caller.ask("mark")
    still.send(signal.SIGSTOP)
    victim.send(signal.SIGSTOP)
    begin = time.monotonic()
    limit = SILENCE_S_MAX + SILENCE_SLACK_S
    while not case.closed()["peer_silent"] and time.monotonic() - begin < limit:
        time.sleep(POLL_S)
    case.bars.at_most("silence found after", time.monotonic() - begin, limit, "s")
    case.bars.counted(case.closed(), peer_silent=1)
    failed = caller.ask("mark")
    typed = set(failed["errors"]) <= {"DeadlineExceeded", "ConnectionLost"}
    case.bars.check(f"calls to the frozen server: {failed['errors']}", typed and failed["errors"])
    bar = OWN_DEADLINE_S + OWN_DEADLINE_SLACK_S
    case.bars.at_most("their slowest", failed["slowest_error_s"], bar, "s")


def half_closed(case: Case) -> None:
    """T18: replies are outstanding when our side ends."""
    asked = b"".join(
        wire.request(1, wire.request_id(number + 1, number), b"late") for number in range(REPLIES)
    )
    for name, target, clean in (
        ("TLS", case.tls, "close_notify"),
        ("plain", case.plain, "end of stream"),
    ):
        with greeted(target, "nap") as raw:
            raw.send(asked)
            raw.say_goodbye()
            replies = sum(raw.expect(wire.REPLY).body == b"late" for _ in range(REPLIES))
            end = raw.end()
        case.bars.exactly(f"{name} replies", replies, REPLIES)
        case.bars.exactly("then", end, clean)
    case.bars.counted(case.closed(), closed_in_order=2)


ROWS = (
    Row("T1", f"connect, send nothing: {SILENT:,} sockets", "all gone ≤ 5.5 s", silent),
    Row(
        "T5",
        f"{HALF_OPEN:,} half-open from one address",
        "honest newcomer p99 ≤ 250 ms",
        half_open,
    ),
    Row(
        "T6",
        f"descriptors exhausted (limit {DESCRIPTORS_MAX})",
        "accepts again ≤ 1 s",
        descriptors,
        descriptors_max=DESCRIPTORS_MAX,
    ),
    Row("T7", "10,000 injected accept errors", "0 exits", None, ("t7_no_errno_ends_a_listener",)),
    Row("T16", f"{RESETS:,} resets in mid-frame, both directions", "0 hung calls", resets),
    Row("T17", "frozen peer, both directions", "found ≤ 15 s, 1 s to notice", frozen),
    Row("T18", "half-close with replies outstanding", "0 lost replies", half_closed),
)
