"""What an experiment came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.findings import Finding
from bench.rolling.cluster import CALLS_PER_SECOND

__all__ = ["Finding", "calls"]

RATE_SHARE_MIN = 0.9


def calls(what: str, ended: Sequence[dict[str, Any]], seconds: float) -> list[Finding]:
    """Whether the load was there, and whether any call failed."""
    sent = sum(one["sent"] for one in ended)
    failed = sum(one["failed"] for one in ended)
    worst = max(one["max_ms"] for one in ended)
    rate = sent / seconds
    figures: dict[str, object] = {"members": list(ended), "seconds": seconds}
    asked = f"{RATE_SHARE_MIN * CALLS_PER_SECOND:.0f} a second or more"
    shown = f"{failed} of {sent} (the slowest took {worst:.0f} ms)"
    return [
        Finding(
            f"{what}: calls made",
            f"{rate:.0f} a second",
            asked,
            rate >= RATE_SHARE_MIN * CALLS_PER_SECOND,
        ),
        Finding(f"{what}: calls that failed", shown, "0", failed == 0, figures),
    ]
