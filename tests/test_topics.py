"""The queue of a partition against a model of it, under random use."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ztransport.topics import Partition, Subscription

MESSAGES_MAX, BYTES_MAX, SUBSCRIPTIONS_MAX = 7, 40, 3

BATCHES = st.lists(st.integers(0, 12).map(bytes), max_size=9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), BATCHES),
        st.tuples(st.just("subscribe"), st.none()),
        st.tuples(st.just("leave"), st.integers(0, 2)),
        st.tuples(st.just("acknowledge"), st.tuples(st.integers(0, 2), st.integers(0, 9))),
    ),
    max_size=40,
)


class Model:
    """All that was ever taken, and who has acknowledged how much of it."""

    def __init__(self) -> None:
        self.partition = Partition(MESSAGES_MAX, BYTES_MAX, SUBSCRIPTIONS_MAX)
        self.taken: list[bytes] = []
        self.present: list[tuple[ExitStack, Subscription]] = []

    def append(self, batch: list[bytes]) -> None:
        kept = self.taken[self.partition.begin :]
        fitting = [
            count
            for count in range(len(batch) + 1)
            if len(kept) + count <= MESSAGES_MAX
            and sum(map(len, kept + batch[:count])) <= BYTES_MAX
        ]
        assert self.partition.append(batch) == max(fitting)
        self.taken += batch[: max(fitting)]

    def subscribe(self, _: None) -> None:
        if len(self.present) < SUBSCRIPTIONS_MAX:
            stack = ExitStack()
            subscription = stack.enter_context(self.partition.subscribe())
            assert subscription.offset == self.partition.begin
            self.present.append((stack, subscription))

    def leave(self, index: int) -> None:
        if index < len(self.present):
            self.present.pop(index)[0].close()

    def acknowledge(self, which: tuple[int, int]) -> None:
        index, more = which
        if index < len(self.present):
            subscription = self.present[index][1]
            offset = min(subscription.offset + more, self.partition.end)
            self.partition.acknowledge(subscription, offset)


@given(STEPS)
def test_a_partition_keeps_what_is_still_needed_and_nothing_else(
    steps: list[tuple[str, Any]],
) -> None:
    model = Model()
    partition = model.partition
    for name, argument in steps:
        before = partition.begin
        getattr(model, name)(argument)
        assert partition.end == len(model.taken)
        assert partition.read(partition.begin, 99) == model.taken[partition.begin :]
        offsets = [subscription.offset for _, subscription in model.present]
        assert partition.begin == min(offsets, default=partition.begin) >= before
        assert len(partition) <= MESSAGES_MAX
        assert sum(map(len, model.taken[partition.begin :])) <= BYTES_MAX
