"""Windows are judged by what was measured and by what the machine did meanwhile."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from ztransport.bench import fairness, judging, placement, readings, variants, workloads

PLAIN, TLS = variants.VARIANTS["plain"], variants.VARIANTS["tls"]
CALLS, EIGHT, DIALS = map(
    workloads.workload, ("request-128-x64", "publish-128-to-8", "connect-128")
)
RATE, SECONDS = 10_000.0, 1.0
STAT = """\
cpu  900 0 100 9000 0 0 0 0 0 0
cpu0 {user} 0 50 {idle} 5 0 0 {stolen} 70 0
cpu1 400 0 50 500 5 0 0 0 0 0
cpu11 9 9 9 9 9 9 9 9 9 9
"""


def said(**changed: Any) -> dict[str, Any]:
    result = {
        "completed": 10_000,
        "sent": 10_000,
        "seconds": SECONDS,
        "errors": {},
        "in_flight_capped": 0,
        "negotiated": None,
    }
    return {**result, **changed}


def spent(
    generator_s: float = 0.3, steal: float = 0.0, foreign: float = 0.0, *, broker_s: float = 0.4
) -> readings.Spent:
    cpu: dict[str, float | None] = dict.fromkeys(placement.ROLES)
    cpu |= {"generator": generator_s, "broker": broker_s}
    return readings.Spent(SECONDS, cpu, steal, foreign)


def judged(
    changed: dict[str, Any],
    *,
    variant: variants.Variant = PLAIN,
    rate: float | None = RATE,
    work: workloads.Workload = CALLS,
    used: readings.Spent | None = None,
    delay_ns: int = 0,
) -> list[str]:
    return judging.faults(variant, rate, work, said(**changed), used or spent(), delay_ns)


def test_a_good_window_is_valid() -> None:
    assert judged({}) == []
    assert judged({"negotiated": fairness.NEGOTIATED}, variant=TLS) == []
    assert judged({"completed": 80_000}, work=EIGHT) == []
    assert judged({"completed": 5}, rate=None, used=spent(0.85, 0.05, 0.10)) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"errors": {"ConnectionLost": 2, "Unsent": 1}}, "errors: ConnectionLost 2, Unsent 1"),
        ({"completed": 0, "sent": 0}, "nothing was completed"),
        (
            {"in_flight_capped": 101},
            "overload: 101 of 10000 sends met the bound on those in flight",
        ),
        ({"completed": 9_899}, "overload: 99 % of what was sent was completed"),
        ({"negotiated": fairness.NEGOTIATED}, "cipher mismatch: TLSv1.3 .* instead of plaintext"),
    ],
)
def test_a_window_is_refused_with_its_reason(changed: dict[str, Any], reason: str) -> None:
    found = judged(changed)
    assert found
    assert re.fullmatch(reason, found[0]), found


def test_another_suite_is_a_mismatch() -> None:
    other = {**fairness.NEGOTIATED, "cipher_suite": "TLS_AES_256_GCM_SHA384"}
    (reason,) = judged({"negotiated": other}, variant=TLS)
    assert reason.startswith("cipher mismatch: TLSv1.3 TLS_AES_256_GCM_SHA384 X25519 instead of")
    (reason,) = judged({"negotiated": None}, variant=TLS)
    assert reason.startswith("cipher mismatch: plaintext instead of TLSv1.3")


def test_a_starved_generator_is_told_by_its_delay_and_by_its_cpu() -> None:
    assert judged({}, delay_ns=2_000_000) == []
    assert judged({}, delay_ns=2_100_000) == ["generator-bound: send delay p99 2.1 ms > 2 ms"]
    for rate in (RATE, None):
        (reason,) = judged({}, rate=rate, used=spent(generator_s=0.86))
        assert reason == "generator-bound: it ran 86 % of the time, more than 85 %"


def test_in_a_closed_loop_the_generator_may_be_busy_behind_a_busier_server() -> None:
    busy = spent(generator_s=0.9, broker_s=0.91)
    assert judged({}, rate=None, used=busy) == []
    assert judged({}, used=busy) != []
    assert judged({}, rate=None, used=spent(generator_s=0.9, broker_s=0.89)) != []


def test_in_a_closed_loop_of_handshakes_the_client_may_be_what_is_measured() -> None:
    busy = spent(generator_s=0.99, broker_s=0.5)
    assert judged({}, rate=None, used=busy, work=DIALS) == []
    assert judged({}, used=busy, work=DIALS) != []
    assert judged({}, rate=None, used=busy) != []


def test_the_machine_can_spoil_a_window() -> None:
    (steal,) = judged({}, used=spent(steal=0.051))
    assert steal == "steal: the host took 5.1 % of the cores, more than 5.0 %"
    (load,) = judged({}, used=spent(foreign=0.3))
    assert load == "load: other programs took 30 % of the cores, more than 10 %"


def test_counted_ticks_may_be_off() -> None:
    doubtful = dataclasses.replace(spent(foreign=0.3), foreign_error=0.21)
    assert judged({}, used=doubtful) == []
    sure = dataclasses.replace(doubtful, foreign_error=0.19)
    assert judged({}, used=sure) == ["load: other programs took 30 % of the cores, more than 29 %"]


def test_arrivals_may_miss_their_rate_by_chance() -> None:
    assert judged({"sent": 9_800, "completed": 9_800}) == []


def test_a_hiccup_may_fill_the_receivers_credit() -> None:
    assert judged({"in_flight_capped": 100}) == []
    assert judged({"in_flight_capped": 9_000}, rate=None) == []


def test_clocks_are_read_by_role_and_shares_by_core() -> None:
    tick = readings.TICK_S
    stats = [
        readings.ticks(STAT.format(user=100, idle=800, stolen=0), (0, 1)),
        readings.ticks(STAT.format(user=160, idle=835, stolen=5), (0, 1)),
    ]
    assert stats[1].all - stats[0].all == 100
    assert stats[1].busy - stats[0].busy == 60
    begin, end = (
        readings.Reading(at, {"generator": cpu, "broker": 7}, ticks)
        for at, cpu, ticks in zip((0, 10**9), (0, int(20e9 * tick)), stats, strict=True)
    )
    found = readings.spent(begin, end)
    assert found.steal_share == 0.05
    assert found.foreign_share == pytest.approx(0.4)
    assert found.foreign_error == pytest.approx(3 * 0.5 / 10)
    assert found.cpu_s["gateway"] is None
    assert found.cpu_us_per(1_000)["generator"] == pytest.approx(20e6 * tick / 1_000)
    assert found.cpu_us_per(1_000)["broker"] == 0


def test_a_process_that_has_ended_counts_nothing() -> None:
    ticks = readings.Ticks(0, 0, 0)
    begin = readings.Reading(0, {"broker": 5_000}, ticks)
    found = readings.spent(begin, readings.Reading(1, {"broker": 0}, ticks))
    assert found.cpu_s["broker"] == 0


def test_only_what_the_machine_spoiled_is_asked_again() -> None:
    starved = judged({}, delay_ns=9_000_000, used=spent(generator_s=0.9, steal=0.3, foreign=0.3))
    assert len(starved) == 4
    assert judging.is_of_the_machine(starved)
    assert judging.is_of_the_machine(judged({"in_flight_capped": 300}))
    for changed in ({"errors": {"ConnectionLost": 2}}, {"negotiated": fairness.NEGOTIATED}):
        assert not judging.is_of_the_machine(judged(changed, used=spent(steal=0.3)))
