"""Closed-loop windows as the contenders run them, and figures as tables show them."""

from __future__ import annotations

import trio

from ztransport.bench import environment, report, windows


async def test_a_phase_is_closed_loop_and_counts_each_call() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        await trio.lowlevel.checkpoint()

    stretch = windows.phase(0.002)
    await windows.repeat(call, stretch)
    assert calls == len(stretch.latencies_ns) > 0


def test_percentiles_need_calls() -> None:
    begin = windows.Reading(0, 0, (0,))
    end = windows.Reading(1_000_000_000, 500_000_000, (250_000_000,))
    few = windows.window(begin, end, 3, [3_000, 1_000, 2_000])
    assert (few.p50_us, few.p99_us, few.own_cpu_s, few.cpu_s) == (2.0, None, 0.5, [0.25])
    many = windows.window(begin, end, 100, [n * 1_000 for n in range(100)])
    assert (many.p50_us, many.p99_us) == (50.0, 99.0)


def test_a_gone_process_has_no_cpu_and_no_memory() -> None:
    gone = 2**22 - 1
    assert environment.cpu_ns(gone) == environment.resident_bytes(gone) == 0


def test_quantities_read_like_quantities() -> None:
    shown = [report.quantity(value, "/s") for value in (260_400, 8.6e6, 12.34, None)]
    assert shown == ["260 k/s", "8.60 M/s", "12.3 /s", "–"]
