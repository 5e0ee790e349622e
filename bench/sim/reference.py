"""Gossip by push alone between ideal members, by Monte Carlo: the curve to be compared with.

In every tick each member that knows the rumour sends it to three random others, until it has sent
it 4⌈log10(N + 1)⌉ times; a datagram is lost with one chance; who was reached begins in the next
tick. Nothing of the simulator or of the membership is used here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FANOUT = 3
BUDGET = 4
TICKS_MAX = 40


@dataclass(frozen=True, slots=True)
class Reference:
    """Median ticks until half, 99 % and all are reached, and the mean share after each tick."""

    half: float
    most: float
    all: float
    curve: list[float]


def _history(members: int, loss: float, random: np.random.Generator) -> list[int]:
    budget = BUDGET * math.ceil(math.log10(members + 1))
    left = np.zeros(members, dtype=np.int64)
    knows = np.zeros(members, dtype=bool)
    knows[0], left[0] = True, budget
    reached = [1]
    for _ in range(TICKS_MAX - 1):
        senders = np.flatnonzero(left > 0)
        sends = np.repeat(senders, np.minimum(left[senders], FANOUT))
        left[senders] -= np.minimum(left[senders], FANOUT)
        targets = (sends + 1 + random.integers(0, members - 1, sends.size)) % members
        arrived = targets[random.random(sends.size) >= loss]
        new = np.unique(arrived[~knows[arrived]])
        knows[new], left[new] = True, budget
        reached.append(int(knows.sum()))
    return reached


def reference(members: int, loss: float, runs: int, seed: int) -> Reference:
    """Run `runs` histories among `members` at a loss from 0 to 1.

    Ticks are those of the runs that get so far at all; nan when none does.
    """
    random = np.random.default_rng(seed)
    histories = np.array([_history(members, loss, random) for _ in range(runs)])

    def ticks(count: int) -> float:
        far = histories[histories[:, -1] >= count]
        return float(np.median(np.argmax(far >= count, axis=1))) if far.size else math.nan

    return Reference(
        half=ticks(math.ceil(members / 2)),
        most=ticks(math.ceil(members * 0.99)),
        all=ticks(members),
        curve=[float(share) for share in histories.mean(axis=0) / members],
    )
