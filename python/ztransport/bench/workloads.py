"""Workloads and profiles: data of the package, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeVar

from ztransport.bench import variants
from ztransport.bench.processes import BenchError

__all__ = ["Entry", "Profile", "Workload", "load_profiles", "load_workloads", "profile", "workload"]

Entry = Literal["broker", "gateway"]
Table = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the generator does in a window; the names are those of workloads.toml."""

    name: str
    title: str
    pattern: Literal["request", "publish", "connect"]
    payload_bytes: int
    connections: int = 1
    window: int = 1
    publishers: int = 1
    subscribers: int = 0
    rate_share: float = 0.3
    via: Entry = "broker"
    client_is_measured: bool = False

    @property
    def deliveries(self) -> int:
        """Messages counted for each one sent."""
        return max(1, self.subscribers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a run measures; lengths in seconds, the names are those of profiles.toml."""

    name: str
    workloads: tuple[str, ...]
    blocks: int
    open_s: float
    closed_s: float
    warm_up_s: float
    blocks_per_generation: int
    repeat_s_max: float = 0.0
    variants: tuple[str, ...] = tuple(variants.VARIANTS)

    @property
    def windows(self) -> int:
        """Windows of a whole run."""
        return len(self.variants) * len(self.workloads) * 2 * self.blocks

    @property
    def window_s(self) -> float:
        """Length of a window with its warm-up, on average."""
        return (self.open_s + self.closed_s) / 2 + self.warm_up_s

    @property
    def seconds_expected(self) -> float:
        """Measuring time of a whole run, without calibration and starts."""
        return self.windows * self.window_s


@cache
def load_workloads() -> dict[str, Workload]:
    """The shipped workloads by name."""
    return {name: parsed(Workload, name, table) for name, table in _tables("workloads").items()}


@cache
def load_profiles() -> dict[str, Profile]:
    """The shipped profiles by name."""
    return {name: parsed(Profile, name, table) for name, table in _tables("profiles").items()}


def workload(name: str) -> Workload:
    """One workload. Raises BenchError when there is none of that name."""
    return _named("workload", load_workloads(), name)


def profile(name: str) -> Profile:
    """One profile. Raises BenchError when there is none of that name."""
    return _named("profile", load_profiles(), name)


def parsed(kind: type[T], name: str, table: Table) -> T:
    """Make one of `kind` of a table. Raises ValueError for a member unknown or missing."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(table) - known:
        raise ValueError(f"{name}: there is no {', '.join(sorted(unknown))}")
    members = {"name": name, **table}
    frozen = {key: tuple(v) if isinstance(v, list) else v for key, v in members.items()}
    try:
        return kind(**frozen)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def _named(what: str, known: Mapping[str, T], name: str) -> T:
    if name not in known:
        raise BenchError(f"there is no {what} {name}: choose among {', '.join(known)}")
    return known[name]


def _tables(name: str) -> dict[str, Table]:
    text = resources.files("ztransport.bench").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
