"""Abuse of requests and replies: forged answers, answers never read, and storms of cancels."""

from __future__ import annotations

import contextlib
import operator
import socket
import threading
import time

from bench.abuse import wire
from bench.abuse.cases import Case, Row
from bench.abuse.raw import Ended, Raw, Target, connected, greeted
from bench.abuse.stage import cpu_s
from ztransport.bench import environment

FORGERS = 1_000
FORGED_EACH = 1_000
NEVER_READING = 2
ECHO_BYTES = 16 * 1024
STALL_S = 10.0
STALL_SLACK_S = 2.0
SAMPLE_S = 0.05
WINDOW_MIB, WATERMARK_MIB = 16, 1
CANCELS = 1_000_000
CANCELS_S_MAX = 45.0
CANCELS_AT_ONCE = 512
RUNNING_EVERY = 4
"""Of so many batches one is cancelled only when its handlers run."""


def forged(case: Case) -> None:
    """T23: the server calls a victim; forgers answer that call on connections of their own."""
    truth = b"the victim's own answer"
    opening = wire.PREFACE + wire.hello(case.tls.cluster) + wire.subject(1, "ask-back")
    with connected(case.tls) as victim:
        victim.send(opening + wire.request(1, wire.request_id(1, 0)))
        asked = victim.expect(wire.REQUEST)
        replies = b"".join(
            wire.frame(wire.REPLY, b"forged", flags=wire.LAST, id=forged_id)
            for forged_id in range(asked.id, asked.id + FORGED_EACH + 1)
        )
        for _ in range(FORGERS):
            _forge(case.plain, replies)
        victim.send(wire.frame(wire.REPLY, truth, flags=wire.LAST, id=asked.id))
        answer = victim.expect(wire.REPLY).body
        victim.say_goodbye()
        victim.end()
    case.bars.note(f"{FORGERS * (FORGED_EACH + 1):,} forged")
    case.bars.exactly("wrong completions", int(answer != truth), 0)
    case.bars.counted(case.closed(), unknown_ids=FORGERS)


def _forge(target: Target, replies: bytes) -> None:
    with greeted(target) as raw:
        try:
            raw.send(replies)
            raw.end()
        except Ended:
            pass  # it was ended before all was sent


def never_reading(case: Case) -> None:
    """T24: requests as fast as they are taken, and no answer is read."""
    before = environment.resident_bytes(case.server.pid)
    raws = [greeted(case.tls, "echo") for _ in range(NEVER_READING)]
    taken_at = [0.0] * NEVER_READING
    threads = [
        threading.Thread(target=_ask_on, args=(raw, taken_at, number))
        for number, raw in enumerate(raws)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waited, peak = 0.0, before
    while case.closed()["slow_consumer"] < NEVER_READING and waited < 2 * STALL_S:
        peak = max(peak, environment.resident_bytes(case.server.pid))
        waited = time.monotonic() - min(taken_at)
        time.sleep(SAMPLE_S)
    reset = sum(raw.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 for raw in raws)
    for raw in raws:
        raw.sock.close()
    case.bars.exactly("reset", reset, NEVER_READING)
    case.bars.at_most("cut off after", waited, STALL_S + STALL_SLACK_S, "s")
    rise = (peak - before) / 2**20
    case.bars.at_most("held", rise, (WINDOW_MIB + WATERMARK_MIB) * NEVER_READING, "MiB")
    case.bars.counted(case.closed(), slow_consumer=NEVER_READING)


def _ask_on(raw: Raw, taken_at: list[float], number: int) -> None:
    """Fill the window, as far as the server takes it."""
    payload = bytes(ECHO_BYTES)
    # A small receive buffer: what is not read stays with the server.
    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with contextlib.suppress(Ended, OSError):
        for slot in range(wire.REQUEST_WINDOW - 1):
            raw.send(wire.request(1, wire.request_id(slot + 1, slot), payload))
            taken_at[number] = time.monotonic()


def cancel_storm(case: Case) -> None:
    """T25: open and cancel at once, reading the answers so that slots come free again."""
    began, cpu_began, done = time.monotonic(), cpu_s(case.server), 0
    with greeted(case.plain, "sleep") as raw:
        while done < CANCELS and time.monotonic() - began < CANCELS_S_MAX:
            at_once = done // CANCELS_AT_ONCE % RUNNING_EVERY != 0
            _open_and_cancel(raw, done, at_once=at_once)
            done += CANCELS_AT_ONCE
        raw.say_goodbye()
        raw.end()
    facts = case.server.facts()
    spent = cpu_s(case.server) - cpu_began
    case.bars.note(f"{done:,} cancels, {spent / done * 1e6:.0f} CPU-µs each")
    case.bars.at_most("live at once", facts["live_max"], wire.REQUEST_WINDOW, "handlers")
    case.bars.exactly("left", facts["live"], 0)
    _over_the_window(case)


def _open_and_cancel(raw: Raw, done: int, *, at_once: bool) -> None:
    """Cancel requests in the breath that opens them, or when their handlers run."""
    ids = [wire.request_id(done + slot + 1, slot) for slot in range(CANCELS_AT_ONCE)]
    opens = [wire.request(1, id_) for id_ in ids]
    cancels = [wire.frame(wire.CANCEL, id=id_) for id_ in ids]
    if at_once:
        raw.send(b"".join(map(operator.add, opens, cancels)))
    else:
        raw.send(b"".join(opens) + wire.frame(wire.PING, bytes(8)))
        raw.expect(wire.PONG)
        raw.send(b"".join(cancels))
    for _ in range(CANCELS_AT_ONCE):
        raw.expect(wire.FAULT)


def _over_the_window(case: Case) -> None:
    """The same without waiting for answers: slots that are not free are not to be had."""
    with greeted(case.plain, "sleep") as raw:
        count = 2 * wire.REQUEST_WINDOW
        ids = [wire.request_id(n + 1, n % wire.REQUEST_WINDOW) for n in range(count)]
        try:
            raw.send(b"".join(wire.request(1, id_) for id_ in ids))
            case.bars.note(f"without waiting: {raw.end()}")
        except Ended as ended:
            case.bars.note(f"without waiting: {ended}")
    live_max = case.server.facts()["live_max"]
    case.bars.at_most("live at once", live_max, wire.REQUEST_WINDOW, "handlers")
    case.bars.counted(case.closed(), over_window=1)


ROWS = (
    Row(
        "T23",
        "10^6 forged replies on other connections",
        "0 wrong completions, closed after 1,000",
        forged,
    ),
    Row(
        "T24", "requests whose replies are never read", "held ≤ window, cut at 10 s", never_reading
    ),
    Row(
        "T25",
        "storm of open and cancel",
        "≤ window handlers live",
        cancel_storm,
        ("t25_a_million_cancels_that_are_reaped_are_no_offence",),
    ),
)
