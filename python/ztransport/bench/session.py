"""The running part of a run: all stacks and the generator, started anew every few blocks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from ztransport.bench import fairness, judging, overheard, readings
from ztransport.bench.driving import Asked, Generator, Measured, Refused
from ztransport.bench.placement import placement
from ztransport.bench.processes import (
    BenchError,
    InvalidMeasurement,
    needing_room,
    scratch_folder,
)
from ztransport.bench.proxies import KINDS, Ports, Tool
from ztransport.bench.stack import Site, Stack, mended, started
from ztransport.bench.variants import Variant
from ztransport.bench.workloads import Entry, Workload

__all__ = ["Outcome", "Session", "tools_of"]

PROBE_S = 0.05
PROBE_BYTES = 128


@dataclass(frozen=True, slots=True)
class Outcome:
    """A window as it went: measured or not, and what happened to the processes meanwhile."""

    generation: int
    measured: Measured | None
    mishaps: tuple[str, ...] = ()


def tools_of(variants: Iterable[Variant]) -> dict[str, Tool]:
    """The proxy programs that some variants need. Raises BenchError when one is missing."""
    names = {variant.proxy for variant in variants}
    return {kind.name: kind.find() for kind in KINDS.values() if kind.name in names}


class Session:
    """All processes of a run; leaving ends them whatever happened."""

    def __init__(
        self,
        variants: list[Variant],
        entries: set[Entry],
        tools: dict[str, Tool],
        first_port: int = 0,
    ) -> None:
        self._variants, self._entries = variants, entries
        self._tools, self._first_port = tools, first_port
        self._stacks: dict[str, tuple[Stack, ExitStack]] = {}
        self.generation = -1
        self._all, self._generator_ends = ExitStack(), ExitStack()

    def __enter__(self) -> Self:
        self.placement = placement()
        with ExitStack() as ends:
            self._folder = ends.enter_context(scratch_folder("bench"))
            with needing_room(self._folder):
                self.files = fairness.issue(self._folder)
            self._all = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._all.close()

    def stop(self) -> None:
        """End all processes; the certificates stay."""
        with self._generator_ends as ends:
            for _, stack_ends in self._stacks.values():
                ends.push(stack_ends)
            self._stacks = {}

    def restart(self, generation: int) -> None:
        """End all processes and start them anew. Raises BenchError with what did not start."""
        self.stop()
        self.generation = generation
        # The ports of a fixed row are free again: whoever had them has ended.
        ports = Ports(self._first_port)
        self._site = Site(self.files, self._folder, self.placement, ports, self._tools)
        self._start_generator()
        for variant in self._variants:
            self._start(variant)

    def _start_generator(self) -> None:
        self._generator_ends.close()
        with needing_room(self._folder):
            self._generator = Generator(self._folder, self.placement["generator"])
        self._generator_ends.callback(self._generator.close)

    def _start(self, variant: Variant) -> None:
        context = started(variant, self._site, self._entries, self.generation)
        with ExitStack() as ends, needing_room(self._folder):
            stack = ends.enter_context(context)
            self._stacks[variant.name] = stack, ends.pop_all()

    def stack(self, variant: Variant) -> Stack:
        """The running processes of a variant, until they are started anew."""
        return self._stacks[variant.name][0]

    @property
    def generator(self) -> Generator:
        """The running generator, until it is started anew."""
        return self._generator

    def probe(self) -> None:
        """See that every variant answers and negotiates what all must.

        Raises BenchError when one does not answer, InvalidMeasurement when it negotiates else.
        """
        for variant in self._variants:
            for entry in sorted(self._entries):
                self._probe(variant, entry)

    def tls(self) -> dict[str, object]:
        """The certificate, and what the wire of every encrypted variant has. Raises BenchError."""
        hops = {
            one.name: overheard.overhear(one, self.stack(one), self.files, self.generator)
            for one in self._variants
            if overheard.is_encrypted(one)
        }
        return {"certificate": fairness.certificate(self.files), "hops": hops}

    def _probe(self, variant: Variant, entry: Entry) -> None:
        work = Workload(
            name="probe", title="", pattern="request", payload_bytes=PROBE_BYTES, via=entry
        )
        try:
            measured = self._measured(Asked(variant, work, None, PROBE_S, 0.0))
        except BenchError as error:
            raise BenchError(f"{variant.name} does not work: {mended(variant, error)}") from None
        negotiated = measured.said["negotiated"]
        if judging.is_mismatch(variant, negotiated):
            raise InvalidMeasurement(
                f"{variant.name} negotiated {judging.shown(negotiated)}, which does not compare "
                f"with {judging.shown(fairness.NEGOTIATED)}: use a program that offers the same, "
                "or leave the variant out"
            )

    def measure(self, asked: Asked) -> Outcome:
        """Measure one window; what ends meanwhile is told in the outcome and started anew.

        Raises BenchError when something cannot be started again.
        """
        stack, ends = self._stacks[asked.variant.name]
        measured, mishaps = None, list[str]()
        try:
            measured = self._measured(asked)
        except Refused as error:
            mishaps.append(str(error))
        except BenchError as error:
            mishaps.append(str(error))
            self._start_generator()
        if stack.ended is not None:
            mishaps.insert(0, stack.ended)
            ends.close()
            self._start(asked.variant)
        return Outcome(self.generation, measured, tuple(mishaps))

    def _measured(self, asked: Asked) -> Measured:
        stack = self.stack(asked.variant)
        pids = {"generator": [self.generator.role.pid], **stack.pids}
        if asked.work.via == "broker":
            pids.pop("gateway", None)
        cores = set(self.placement.values())
        line = asked.line(stack.entries[asked.work.via], self.files)
        return self.generator.measure(line, lambda: readings.read(pids, cores))
