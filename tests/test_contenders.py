"""The contenders' framing, plan and verdicts; their speed is measured elsewhere."""

from __future__ import annotations

import random

import pytest

from bench.contenders import frames, lines, rounds
from bench.contenders.processes import CROSS, SAME, SPIN, Cell
from bench.contenders.protocol import ALL_WORKS, CALLS, IDLE, PING, WORKS, Sample

MESSAGES = [(1, b""), (2, b"a"), (frames.COUNT_ID - 1, bytes(300))]


def test_frames_survive_every_split_point() -> None:
    stream = b"".join(frames.frame(*message) for message in MESSAGES)
    for cut in range(len(stream) + 1):
        first, rest = frames.split(stream[:cut])
        second, left = frames.split(rest + stream[cut:])
        assert (first + second, left) == (MESSAGES, b"")


def test_an_echo_answers_each_call_and_tells_the_tally() -> None:
    asked = frames.frame(7, b"x") + frames.frame(frames.COUNT_ID, b"")
    replies, rest = frames.echo(asked, frames.Tally(messages=5))
    assert frames.split(replies)[0] == [(7, b"x"), (frames.COUNT_ID, (5).to_bytes(8, "big"))]
    assert rest == b""


@pytest.mark.parametrize("sink", [frames.Walker, frames.Assembler])
@pytest.mark.parametrize("seed", range(5))
def test_a_sink_counts_messages_however_they_are_cut(
    sink: type[frames.Walker | frames.Assembler], seed: int
) -> None:
    cuts, tally = random.Random(seed), frames.Tally()
    stream = b"".join(frames.frame(0, bytes(size)) for size in (1, 500, 0, 64, 3, 200))
    feed, position = sink(tally).feed, 0
    while position < len(stream):
        step = cuts.choice([1, 2, 5, 13, 100, 700])
        feed(stream[position : position + step])
        position += step
    assert tally.messages == 6, f"seed {seed}"


def test_an_assembler_builds_the_message() -> None:
    assembler = frames.Assembler(frames.Tally())
    sent = frames.frame(0, bytes(range(256)))
    for byte in sent:
        assembler.feed(bytes([byte]))
    assert assembler.message == sent


def test_a_round_holds_each_cell_once() -> None:
    cells = rounds.plan(rounds.CONTENDERS, ALL_WORKS)
    assert len(cells) == len(set(cells))
    assert Cell("zt-trio", IDLE, rounds.TLS, CROSS) in cells
    assert Cell("trio", IDLE, rounds.TLS, CROSS) not in cells
    spinning = {cell.contender for cell in cells if cell.placement == SPIN}
    assert spinning == {*rounds.ZT_PYTHON, rounds.ZT_RUST}
    alone = [cell for cell in cells if cell.contender == rounds.TRIO_ALONE]
    assert alone == [Cell(rounds.TRIO_ALONE, CALLS, rounds.TLS, CROSS)]
    for contender in (*rounds.OTHERS, *rounds.ZT_PYTHON, rounds.ZT_RUST):
        for security in (rounds.TLS, rounds.PLAIN):
            assert {Cell(contender, work, security, CROSS) for work in WORKS} <= set(cells)


def results(rates: dict[Cell, list[float]]) -> rounds.Results:
    samples = {
        cell: [Sample(count=int(rate), payload_bytes=0, seconds=1.0) for rate in found]
        for cell, found in rates.items()
    }
    return rounds.Results(samples)


def test_the_same_seed_runs_the_same_order() -> None:
    cells = rounds.plan(("trio", "asyncio"), (PING, CALLS))
    orders: list[list[Cell]] = []
    for _ in range(2):
        ran: list[Cell] = []

        def measure(cell: Cell, ran: list[Cell] = ran) -> Sample:
            ran.append(cell)
            return Sample(count=1, payload_bytes=0, seconds=1.0)

        rounds.run(cells, 3, 11, measure, lambda *_: None)
        orders.append(ran)
    assert orders[0] == orders[1]
    assert sorted(orders[0][: len(cells)], key=repr) == sorted(cells, key=repr)


def test_a_ratio_is_taken_within_the_round() -> None:
    fast = Cell("zt-trio", CALLS, rounds.TLS, CROSS)
    slow = Cell("asyncio", CALLS, rounds.TLS, CROSS)
    found = results({fast: [300.0, 150.0, 400.0], slow: [100.0, 50.0, 200.0]})
    assert found.ratio(fast, slow) == 3.0
    assert found.rate(fast) == 300.0
    assert found.spread(fast) == pytest.approx(125 / 300)


def test_a_line_is_met_only_when_rate_and_ratio_are() -> None:
    ours = Cell("zt-trio", CALLS, rounds.TLS, CROSS)
    best, other = (Cell(name, CALLS, rounds.TLS, CROSS) for name in ("uvloop", "trio"))
    rivals = {best: [70e3] * 5, other: [20e3] * 5}
    verdicts = []
    for rate in (300e3, 250e3, 240e3):
        shown = lines.lines(results({ours: [rate] * 5, **rivals}))
        verdicts.append((shown[0].met, "uvloop" in shown[0].ratio))
    assert verdicts == [(True, True), (False, True), (False, True)]


def test_lines_without_cells_are_left_out() -> None:
    assert lines.lines(results({})) == []
    one = Cell("zt-trio", PING, rounds.TLS, SAME)
    assert lines.lines(results({one: [1.0]})) == []
