"""Whether a window may be believed. What may not is kept and says why; nothing is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ztransport.bench import fairness
from ztransport.bench.readings import Spent
from ztransport.bench.variants import PLAIN, Variant
from ztransport.bench.workloads import Workload

__all__ = ["faults", "is_mismatch", "is_of_the_machine", "shown"]

SEND_DELAY_MS_MAX = 2.0
GENERATOR_BUSY_SHARE_MAX = 0.85
ACHIEVED_SHARE_MIN = 0.99
STEAL_SHARE_MAX = 0.05
FOREIGN_SHARE_MAX = 0.10
OF_THE_MACHINE = ("generator-bound", "load", "overload", "steal")
CAPPED_SHARE_MAX = 0.01
"""A standstill of some ms fills the receiver's credit; what it holds keeps its intended time."""


def faults(
    variant: Variant,
    rate: float | None,
    work: Workload,
    said: Mapping[str, Any],
    spent: Spent,
    send_delay_p99_ns: int,
) -> list[str]:
    """Why a window is not valid, in the order of how bad it is; empty when it is.

    `said` is the generator's result; `rate` what it was asked to send a second, None in closed
    loop.
    """
    found = [_errors(said["errors"]), _negotiated(variant, said["negotiated"])]
    if not said["completed"]:
        found.append("nothing was completed")
    if rate is not None:
        found += [_capped(said), _delay(send_delay_p99_ns), _achieved(work.deliveries, said)]
    found.append(_busy(rate, work, spent))
    if spent.steal_share > STEAL_SHARE_MAX:
        found.append(
            f"steal: the host took {_percent(spent.steal_share)} of the cores, more than "
            f"{_percent(STEAL_SHARE_MAX)}"
        )
    allowed = FOREIGN_SHARE_MAX + spent.foreign_error
    if spent.foreign_share > allowed:
        found.append(
            f"load: other programs took {_percent(spent.foreign_share)} of the cores, more than "
            f"{_percent(allowed)}"
        )
    return [reason for reason in found if reason]


def is_of_the_machine(reasons: Sequence[str]) -> bool:
    """Whether nothing but the machine's other work spoiled a window: it may be asked again."""
    return all(reason.startswith(OF_THE_MACHINE) for reason in reasons)


def shown(negotiated: Mapping[str, Any] | None) -> str:
    """What was negotiated, in words."""
    return "plaintext" if negotiated is None else " ".join(map(str, negotiated.values()))


def is_mismatch(variant: Variant, negotiated: Mapping[str, Any] | None) -> bool:
    """Whether the generator agreed on something else than every variant of its kind must."""
    expected = None if variant.dialled == PLAIN else fairness.NEGOTIATED
    return negotiated != expected


def _negotiated(variant: Variant, negotiated: Mapping[str, Any] | None) -> str:
    if not is_mismatch(variant, negotiated):
        return ""
    expected = None if variant.dialled == PLAIN else fairness.NEGOTIATED
    return f"cipher mismatch: {shown(negotiated)} instead of {shown(expected)}"


def _errors(errors: Mapping[str, int]) -> str:
    if not errors:
        return ""
    listed = ", ".join(f"{name} {count}" for name, count in sorted(errors.items()))
    return f"errors: {listed}"


def _capped(said: Mapping[str, Any]) -> str:
    """More than a hiccup's worth of sends found no room, so the window had another load."""
    capped, sent = said["in_flight_capped"], said["sent"]
    if capped <= CAPPED_SHARE_MAX * sent:
        return ""
    return f"overload: {capped} of {sent} sends met the bound on those in flight"


def _delay(p99_ns: int) -> str:
    if p99_ns <= SEND_DELAY_MS_MAX * 1e6:
        return ""
    return f"generator-bound: send delay p99 {p99_ns / 1e6:.1f} ms > {SEND_DELAY_MS_MAX:.0f} ms"


def _busy(rate: float | None, work: Workload, spent: Spent) -> str:
    """The generator has no time to spare, and so it is what was measured.

    In a closed loop it may be busy where the server is busier still, for then it waits for that;
    and where the client's work is what was to be measured.
    """
    busy = spent.generator_busy_share
    is_meant = work.client_is_measured or spent.server_busy_share >= busy
    if busy <= GENERATOR_BUSY_SHARE_MAX or (rate is None and is_meant):
        return ""
    allowed = _percent(GENERATOR_BUSY_SHARE_MAX)
    return f"generator-bound: it ran {_percent(busy)} of the time, more than {allowed}"


def _achieved(deliveries: int, said: Mapping[str, Any]) -> str:
    """Too little came back of what was sent; what was due and never sent is an error."""
    due = said["sent"] * deliveries
    if said["completed"] >= ACHIEVED_SHARE_MIN * due:
        return ""
    return f"overload: {_percent(said['completed'] / due)} of what was sent was completed"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
