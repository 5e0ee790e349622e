"""The processes of one variant: broker, gateway if there is one, and proxies, each on its core."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ztransport.bench import fairness
from ztransport.bench.fairness import Files
from ztransport.bench.handshake import Listener
from ztransport.bench.judging import shown
from ztransport.bench.placement import Placement
from ztransport.bench.processes import (
    BenchError,
    InvalidMeasurement,
    Program,
    Role,
    port_of,
    tree_of,
)
from ztransport.bench.proxies import KINDS, Ports, Proxy, Tool
from ztransport.bench.variants import MTLS, PLAIN, Variant, Way, way

__all__ = ["CLUSTER", "Site", "Stack", "mended", "started"]

CLUSTER = "bench"
GATEWAY = "ztransport.gateway"


@dataclass(frozen=True, slots=True)
class Site:
    """What all stacks of a run share: certificates, a folder for logs, cores, ports, programs."""

    files: Files
    folder: Path
    placement: Placement
    ports: Ports
    tools: Mapping[str, Tool]


@dataclass(frozen=True, slots=True)
class Between:
    """How the hop between two proxies can be heard: what is dialled reaches what listens here."""

    dialled: int
    listened: int
    upstream: int


@dataclass(slots=True)
class Stack:
    """A variant's running processes by role, and the ports to dial by entry."""

    variant: Variant
    generation: int
    programs: dict[str, Program] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    pids: dict[str, list[int]] = field(default_factory=dict)
    between: Between | None = None

    @property
    def ended(self) -> str | None:
        """Which process has ended, or has begun since the start; None while all are the same.

        A program may replace a process of its own that was killed, as nginx does. What either of
        the two has spent is not known then.
        """
        for role, program in self.programs.items():
            named = f"{role.replace('_', ' ')} {program.title}"
            if program.ended is not None:
                return f"{named} {program.ended}"
            known, now = set(self.pids[role]), set(tree_of(self.pids[role][0]))
            if known != now:
                gone, new = len(known - now), len(now - known)
                return f"{named}: {gone} of its processes ended and {new} began"
        return None


def mended(variant: Variant, error: object) -> str:
    """What went wrong with a variant, and what there is to do about it."""
    return (
        f"{error}; mend that and run the same command again to go on, or measure without "
        f"{variant.name} (--without {variant.name})"
    )


@contextmanager
def started(
    variant: Variant, site: Site, entries: Collection[str], generation: int
) -> Iterator[Stack]:
    """Start everything, wait until it serves, end it afterwards. Raises BenchError, OSError."""
    stack = Stack(variant, generation)
    with ExitStack() as ends:
        _start_roles(stack, site, entries, ends)
        ways = {name: way(variant, site.ports, port) for name, port in stack.entries.items()}
        if variant.proxy is not None:
            _start_proxies(stack, site, list(ways.values()), ends)
        stack.entries = {name: planned.port for name, planned in ways.items()}
        stack.between = _between(ways["broker"])
        stack.pids = {role: program.pids for role, program in stack.programs.items()}
        yield stack


def _start_roles(stack: Stack, site: Site, entries: Collection[str], ends: ExitStack) -> None:
    stack.entries["broker"] = _start_role("broker", [], stack, site, ends)
    if "gateway" in entries:
        behind = ["--broker", f"127.0.0.1:{stack.entries['broker']}"]
        stack.entries["gateway"] = _start_role("gateway", behind, stack, site, ends)


def _start_role(name: str, more: list[str], stack: Stack, site: Site, ends: ExitStack) -> int:
    port = site.ports.take()
    module = stack.variant.broker if name == "broker" else GATEWAY
    command = [sys.executable, "-m", module, "--cluster", CLUSTER, *more]
    command += ["--listen", f"127.0.0.1:{port}", "--end-with-stdin"]
    command += _security(stack.variant.listened, site.files)
    errors = site.folder / f"{stack.variant.name.replace(':', '-')}-{name}.log"
    role = Role(name, command, errors, core=site.placement[name])
    ends.callback(role.close)
    stack.programs[name] = role
    try:
        said = role.answer()
    except BenchError as error:
        raise BenchError(mended(stack.variant, error)) from None
    for broker in said.get("brokers", ()):
        _refuse_hop(stack.variant, broker)
    return port_of(said["address"])


def _security(listened: str, files: Files) -> list[str]:
    if listened == PLAIN:
        return ["--plaintext"]
    pinned = ["--cipher-suite", fairness.CIPHER_SUITE, "--group", fairness.GROUP]
    shown = ["--certificate-chain", files.chain_path, "--private-key", files.key_path]
    asked = ["--client-auth", "required"] if listened == MTLS else []
    return [*shown, "--trust", files.trust_path, *asked, *pinned]


def _start_proxies(stack: Stack, site: Site, ways: list[Way], ends: ExitStack) -> None:
    name = stack.variant.proxy
    assert name is not None  # the caller looked
    kind, tool = KINDS[name], site.tools[name]
    sides = {
        "server_proxy": [leg for planned in ways for leg in planned.server_legs],
        "client_proxy": [leg for planned in ways for leg in planned.client_legs],
    }
    for role, legs in sides.items():
        if legs:
            proxy = Proxy(kind, tool, legs, site.files, site.placement[role])
            try:
                stack.programs[role] = ends.enter_context(proxy).program
            except BenchError as error:
                raise BenchError(mended(stack.variant, error)) from None
    for planned in ways:
        if planned.heard is not None:
            _refuse_mismatch(stack.variant, planned)


def _between(planned: Way) -> Between | None:
    if planned.heard is None:
        return None
    return Between(planned.heard.port, planned.heard.upstream_port, planned.server_legs[0].port)


def _refuse_hop(variant: Variant, broker: Mapping[str, Any]) -> None:
    """Judge what the gateway agreed on with its broker, as it says itself."""
    if "away" in broker:
        raise BenchError(f"{variant.name}: the gateway has no broker: {broker['away']}")
    expected = None if variant.listened == PLAIN else fairness.NEGOTIATED
    if broker["negotiated"] != expected:
        raise InvalidMeasurement(
            f"{variant.name}: gateway and broker negotiated {shown(broker['negotiated'])} instead "
            f"of {shown(expected)}, which does not compare: leave the variant out"
        )


def _refuse_mismatch(variant: Variant, planned: Way) -> None:
    """Listen to one handshake between the two proxies of a mesh."""
    assert planned.heard is not None  # the caller looked
    try:
        listener = Listener(planned.heard.upstream_port)
        agreed = listener.hear(planned.heard.port, planned.server_legs[0].port)
    except (BenchError, OSError) as error:
        heard = f"{variant.name}: no handshake of its proxies is heard: {error}"
        raise BenchError(mended(variant, heard)) from None
    if agreed != fairness.NEGOTIATED:
        raise InvalidMeasurement(
            f"{variant.name}: the proxies negotiated {shown(agreed)} instead of "
            f"{shown(fairness.NEGOTIATED)}, which does not compare: use a {variant.proxy} that "
            "offers the same or leave the variant out"
        )
