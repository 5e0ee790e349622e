"""Abuse of frames: cut short, too long, too slow, without content, unknown, never finished."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate

from bench.abuse import wire
from bench.abuse.cases import Case, Row
from bench.abuse.crowd import Crowd
from bench.abuse.raw import Ended, Raw, Target, greeted
from bench.abuse.stage import cpu_s
from ztransport.bench import environment

ATTEMPTS = 100
HEADER_RISE_KIB_MAX = 64
DRIPPING = 32
GRACE_S = 10.0
GRACE_SLACK_S = 2.0
NOTHING_FRAMES = 1_000_000
NOTHING_BATCH = 10_000
CPU_S_MAX = 1.0
UNFINISHED = 60
UNFINISHED_TOTAL_BYTES = 256 * 1024
GARBAGE = 300
GARBAGE_BYTES = 4_096
RESERVED_FLAG = 0x80


def cut_short(case: Case) -> None:
    """T15: a FIN without close_notify at every byte of three records, each a frame."""
    requests = [wire.request(1, wire.request_id(n, n), b"cut") for n in (1, 2, 3)]
    never_clean(case, partial(greeted, case.tls, "tally"), requests)


def never_clean(case: Case, connect: Callable[[], Raw], requests: list[bytes]) -> int:
    """Cut connections with TLS at every byte of some requests: none may look as if it were over.

    Returns how many cuts that were.
    """
    cuts = cut_at(case, connect, requests)
    closed = case.closed()
    case.bars.exactly(f"of {cuts} TLS cuts clean", closed["closed_in_order"], 0)
    case.bars.counted(closed, connection_lost=cuts)
    return cuts


def cut_at(case: Case, connect: Callable[[], Raw], requests: list[bytes]) -> int:
    """End after every count of bytes of some requests for the tally; how many ends that were.

    Whatever was whole must have reached the handler, and nothing else.
    """
    tally_before, cut, complete, length = case.server.facts()["tally"], 0, 0, 0
    while cut <= length:
        with connect() as raw:
            records = [raw.seal(request) for request in requests]
            length = sum(map(len, records))
            raw.sock.sendall(b"".join(records)[:cut])
            raw.sock.shutdown(socket.SHUT_WR)
            raw.end()
        complete += sum(end <= cut for end in accumulate(map(len, records)))
        cut += 1
    delivered = case.server.facts()["tally"] - tally_before
    case.bars.exactly("delivered", delivered, complete)
    return cut


def _header(length: int) -> bytes:
    return wire.HEADER.pack(length, wire.REQUEST, wire.LAST, 1, wire.request_id(1, 0))


LENGTHS = {
    "2^32-1": _header(2**32 - 1),
    "2^31": _header(2**31),
    "limit+1": _header(wire.FRAME_BODY_BYTES_MAX + 1),
    "0": _header(0),
    "total 2^32-1": wire.first_fragment(1, wire.request_id(1, 0), 2**32 - 1, bytes(4096)),
    "total limit+1": wire.first_fragment(
        1, wire.request_id(1, 0), wire.MESSAGE_BYTES_MAX + 1, bytes(4096)
    ),
}


def lengths(case: Case) -> None:
    """T19: only a header is sent, so what is refused is refused on it alone."""
    for name, said in LENGTHS.items():
        raws = [greeted(case.tls, "sink") for _ in range(ATTEMPTS)]
        before = environment.resident_bytes(case.server.pid)
        for raw in raws:
            raw.send(said)
        ends = Counter(raw.end() for raw in raws)
        rise = (environment.resident_bytes(case.server.pid) - before) / 1024 / ATTEMPTS
        for raw in raws:
            raw.sock.close()
        told = ", ".join(ends)
        case.bars.check(f"{name}: {told}", all(end.startswith("fault") for end in ends))
        case.bars.check(f"{rise:+.0f} KiB", rise <= HEADER_RISE_KIB_MAX)
    case.bars.check("limit accepted", _accepts_limits(case.tls))


def _accepts_limits(target: Target) -> bool:
    """A message of exactly the longest length, and a fragment of exactly the longest."""
    payload = bytes(wire.MESSAGE_BYTES_MAX)
    step, id_ = wire.FRAGMENT_BYTES_MAX, wire.request_id(1, 0)
    with greeted(target, "sink") as raw:
        raw.send(wire.first_fragment(1, id_, len(payload), payload[:step]))
        for at in range(step, len(payload), step):
            last = wire.LAST if at + step >= len(payload) else 0
            flags = wire.CONTINUED | last
            raw.send(wire.frame(wire.REQUEST, payload[at : at + step], flags=flags, id=id_))
        answered = raw.expect(wire.REPLY).id == id_
        raw.say_goodbye()
        raw.end()
    return answered


def dripping(case: Case) -> None:
    """T20: half drip the bytes of one frame, half those of a message of 4 MiB."""
    crowd, raws = Crowd(), []
    for number in range(DRIPPING):
        raw = greeted(case.tls, "sink")
        raw.send(
            wire.HEADER.pack(64 * 1024, wire.REQUEST, wire.LAST, 1, wire.request_id(1, 0))
            if number % 2
            else wire.first_fragment(1, wire.request_id(1, 0), wire.MESSAGE_BYTES_MAX, bytes(4096))
        )
        raws.append(raw)
        crowd.add(raw.sock)
    before = environment.resident_bytes(case.server.pid)

    def drip(_: int) -> None:
        for raw in raws:
            try:
                raw.send(b"\0")
            except (Ended, OSError):
                continue

    crowd.wait(2 * GRACE_S, drip)
    rise = (environment.resident_bytes(case.server.pid) - before) / 1024 / DRIPPING
    bar = GRACE_S + GRACE_SLACK_S
    case.bars.exactly("gone", len(crowd.ages_s), DRIPPING)
    case.bars.at_most("last after", max(crowd.ages_s, default=0), bar, "s")
    case.bars.at_most("held", rise, HEADER_RISE_KIB_MAX, "KiB each")
    case.bars.counted(case.closed(), slow_frame=DRIPPING)
    crowd.close()


NOTHINGS: dict[str, bytes] = {
    "skippable": wire.frame(wire.SKIPPABLE_MIN),
    "PING": wire.frame(wire.PING, bytes(8)),
    "PONG": wire.frame(wire.PONG, bytes(8)),
    "empty SEND": wire.frame(wire.SEND, flags=wire.LAST, subject=1),
    "CANCEL": wire.frame(wire.CANCEL, id=wire.request_id(1, 0)),
    "same CREDIT": wire.frame(wire.CREDIT, bytes(16), id=2),
}


def nothings(case: Case) -> None:
    """T21: each kind a million times, or until the server ends it."""
    begin, taken = cpu_s(case.server), []
    for name, said in NOTHINGS.items():
        with greeted(case.plain, "sink") as raw:
            raw.sock.settimeout(GRACE_S)
            sent = _send_all(raw, said * NOTHING_BATCH, NOTHING_FRAMES // NOTHING_BATCH)
            taken.append(f"{name} {_end_of(raw)}")
        case.bars.check(f"{name} stopped", sent < NOTHING_FRAMES // NOTHING_BATCH)
    closed = case.closed()
    stopped = closed["flood"] + closed["unknown_ids"]
    case.bars.exactly(f"{dict(closed)}", stopped, len(NOTHINGS))
    case.bars.at_most("server", cpu_s(case.server) - begin, CPU_S_MAX, "CPU-s")


def _send_all(raw: Raw, batch: bytes, times: int) -> int:
    """Send a batch again and again; how often before the server stopped taking it."""
    for done in range(times):
        try:
            raw.send(batch)
        except (Ended, OSError):
            return done
    return times


def _end_of(raw: Raw) -> str:
    try:
        return raw.end()
    except TimeoutError:
        return "no end"


ALLOWED_FLAGS = {
    wire.REQUEST: wire.LAST | wire.METADATA | wire.CONTINUED,
    wire.REPLY: wire.LAST | wire.CONTINUED,
    wire.SEND: wire.LAST | wire.METADATA | wire.CONTINUED,
    wire.STREAM_OPEN: wire.LAST | wire.METADATA,
    wire.STREAM_DATA: wire.LAST | wire.CONTINUED,
}


def _headers() -> Iterator[tuple[int, int]]:
    """Every type without flags, and every type that is defined with every flag byte."""
    yield from ((kind, 0) for kind in range(256))
    yield from (
        (kind, flags) for kind in range(wire.HELLO, wire.GOAWAY + 1) for flags in range(256)
    )


def _must_end(kind: int, flags: int) -> bool:
    """What docs/WIRE.md says of an empty frame with a bad header, as far as type and flags tell."""
    if kind >= wire.SKIPPABLE_MIN:
        return False
    if kind == 0 or kind > wire.GOAWAY or kind == wire.HELLO:
        return True
    return bool(flags & ~ALLOWED_FLAGS.get(kind, 0))


def headers(case: Case) -> None:
    """T22: one frame with subject and id 0 and no body, then a ping."""
    wrong, tried = [], 0
    for kind, flags in _headers():
        with greeted(case.plain) as raw:
            raw.send(wire.frame(kind, flags=flags) + wire.frame(wire.PING, bytes(8)))
            try:
                raw.expect(wire.PONG)
                ended = False
                raw.say_goodbye()
            except Ended:
                ended = True
        tried += 1
        if (_must_end(kind, flags) and not ended) or (kind >= wire.SKIPPABLE_MIN and ended):
            wrong.append((kind, flags))
    case.bars.exactly(f"of {tried:,} headers wrong", len(wrong), 0)
    if wrong:
        case.bars.note(f"first {wrong[0]}")


def unfinished(case: Case) -> None:
    """T27: one connection begins all it may and stops; one announces too much; one has a gap."""
    with greeted(case.tls, "sink") as raw, greeted(case.tls, "sink") as greedy:
        before, began = environment.resident_bytes(case.server.pid), time.monotonic()
        raw.send(_begun(UNFINISHED, UNFINISHED_TOTAL_BYTES))
        raw.send(
            wire.frame(wire.REQUEST, bytes(4096), flags=wire.CONTINUED, id=wire.request_id(1, 0))
        )
        with contextlib.suppress(Ended):  # refused before all of it was sent
            greedy.send(_begun(wire.REQUEST_WINDOW, wire.MESSAGE_BYTES_MAX))
        case.bars.note(f"too much: {greedy.end()}")
        end = raw.end()
        case.bars.at_most(f"{end} after", time.monotonic() - began, GRACE_S + GRACE_SLACK_S, "s")
        rise = environment.resident_bytes(case.server.pid) - before
    bar = UNFINISHED * UNFINISHED_TOTAL_BYTES / 2**20
    case.bars.at_most("held", rise / 2**20, bar, "MiB")
    with greeted(case.tls, "sink") as gap:
        gap.send(wire.frame(wire.SEND, bytes(4096), flags=wire.CONTINUED, subject=1))
        case.bars.note(f"a gap: {gap.end()}")
    closed = case.closed()
    capped = closed["assembly_full"] + closed["over_window"]
    case.bars.exactly("capped", capped, 1)
    case.bars.counted(closed, slow_frame=1, bad_frame=1)


def _begun(count: int, total: int) -> bytes:
    ids = (wire.request_id(number + 1, number) for number in range(count))
    return b"".join(wire.first_fragment(1, id_, total, bytes(4096)) for id_ in ids)


def garbage(case: Case) -> None:
    """T28: random bytes and mangled frames of a member."""
    chance = random.Random(case.seed)
    makers: tuple[Callable[[random.Random], bytes], ...] = (
        lambda chance: chance.randbytes(GARBAGE_BYTES),
        _mangled,
    )
    ends: Counter[str] = Counter()
    for number in range(GARBAGE):
        with greeted(case.tls, "echo") as raw:
            raw.send(makers[number % len(makers)](chance))
            raw.sock.shutdown(socket.SHUT_WR)  # it may look unfinished: then this ends it
            ends[_end_of(raw)] += 1
    case.bars.note(f"{GARBAGE} members, seed {case.seed}: {dict(ends)}")


def _mangled(chance: random.Random) -> bytes:
    """Frames with plausible headers and random fields."""
    return b"".join(
        struct.pack(
            "<IBBHQ",
            (length := chance.randrange(64)),
            chance.randrange(1, 16),
            chance.choice((0, wire.LAST, wire.METADATA, wire.CONTINUED, RESERVED_FLAG)),
            chance.randrange(3),
            chance.randrange(1 << 20),
        )
        + chance.randbytes(length)
        for _ in range(64)
    )


ROWS = (
    Row("T15", "FIN without close_notify at every byte", "never a clean end", cut_short),
    Row("T19", "lengths 2^32-1, 2^31, limit+1, limit, 0", "≤ 64 KiB per attempt", lengths),
    Row("T20", "one byte a second of a frame and of 4 MiB", "closed ≤ 12 s", dripping),
    Row("T21", "10^6 frames without content, six kinds", "closed, ≤ 1 CPU-s", nothings),
    Row(
        "T22",
        "unknown types and flags",
        "skippable or fatal",
        headers,
        (
            "t22_every_header_value_of_an_open_connection",
            "t22_every_header_value_before_hello",
        ),
    ),
    Row("T27", "fragments that are never finished", "memory ≤ cap, closed ≤ 12 s", unfinished),
    Row("T28", "garbage of a member (60 s a door: make fuzz)", "0 crashes", garbage),
)
