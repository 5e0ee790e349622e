"""From windows to what may be said: costs by role, ratios with intervals, and the noise floor.

Every variant is compared with `plain` within each block, and the costs come apart by comparing
variants with one another: `proxy-plain` to `plain` is the hop, `tls` to `plain` the encryption in
the process, `proxy-tls` to `proxy-plain` the encryption at the proxy, and `proxy-tls` and
`proxy-mesh` to `tls` the headline. The first twin of `plain` says what the machine does to equals;
the second, which took no part in that, shows whether it was said honestly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ztransport.bench import bootstrap, histograms
from ztransport.bench.bootstrap import Estimate
from ztransport.bench.record import Record, Run

__all__ = [
    "CPU",
    "CRYPTO",
    "FLOOR",
    "HEADLINE",
    "HOP",
    "METRICS",
    "MTLS",
    "P50",
    "P99",
    "PLAIN",
    "PROXIED",
    "PROXY_MESH",
    "PROXY_PLAIN",
    "PROXY_TLS",
    "ROLES",
    "THROUGHPUT",
    "TLS",
    "TOTAL",
    "TWIN",
    "TWIN_1",
    "TWIN_2",
    "Comparison",
    "Costs",
    "Scene",
    "Summary",
    "summarise",
    "value",
]

PLAIN, TWIN_1, TWIN_2, TLS, MTLS = "plain", "plain-twin-1", "plain-twin-2", "tls", "mtls"
PROXY_PLAIN, PROXY_TLS, PROXY_MESH = "proxy-plain:", "proxy-tls:", "proxy-mesh:"
ROLES = ("generator", "client_proxy", "server_proxy", "gateway", "broker")

CPU, THROUGHPUT, P50, P99 = "cpu", "throughput", "p50", "p99"
METRICS = {"open": (CPU, P50, P99), "closed": (CPU, THROUGHPUT)}

TOTAL, FLOOR, TWIN = "total", "noise floor", "second twin"
HOP, CRYPTO, PROXIED, HEADLINE = "hop", "crypto", "proxied crypto", "headline"

Values = dict[int, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One variant over another: the ratio of a metric and whether it is more than noise."""

    kind: str
    metric: str
    over: str
    base: str
    ratio: Estimate
    verdict: str

    @property
    def is_resolved(self) -> bool:
        """Whether a difference may be claimed."""
        return self.verdict == bootstrap.RESOLVED


@dataclass(frozen=True, slots=True)
class Costs:
    """What one variant did in one scene; percentiles in µs of response and service time.

    CPU in µs per message, summed in `cpu_us` and by role in `role_cpu_us`; throughput in messages
    per second; a percentile too few samples reach is None. `invalid` counts windows by kind of
    reason, of which a window may have several. Of the `blocks` it was measured in, `blocks_counted`
    have what its ratio needs: a valid window of it and one of plain, where that was measured.
    """

    variant: str
    blocks: int
    blocks_counted: int
    valid: int
    invalid_windows: int
    invalid: dict[str, int]
    completed: int
    cpu_us: Estimate | None
    role_cpu_us: dict[str, float]
    throughput: Estimate | None
    response_us: dict[float, float | None]
    service_us: dict[float, float | None]


@dataclass(frozen=True, slots=True)
class Scene:
    """One workload under one load: `open` at a rate in messages per second, or `closed`.

    `floors` has the noise floor as a ratio by metric, None where the twins are too few.
    """

    workload: str
    title: str
    load: str
    rate: float | None
    costs: list[Costs]
    floors: dict[str, float | None]
    comparisons: list[Comparison]

    def of(self, variant: str) -> Costs | None:
        """The costs of a variant, if it was measured."""
        return next((one for one in self.costs if one.variant == variant), None)

    def find(self, kind: str, metric: str) -> list[Comparison]:
        """The comparisons of one kind in one metric, in the order of the variants."""
        return [one for one in self.comparisons if (one.kind, one.metric) == (kind, metric)]


@dataclass(frozen=True, slots=True)
class Summary:
    """All a report says about a run."""

    manifest: Record
    scenes: list[Scene]
    windows: int
    invalid: int
    cut: str | None

    def as_json(self) -> dict[str, Any]:
        """The numbers, ready for JSON."""
        return asdict(self)


def summarise(run: Run) -> Summary:
    """Everything a report says. Raises BenchError when a histogram of the record is broken."""
    keys = dict.fromkeys((one["workload"], one["load"]) for one in run.windows)
    workloads = run.manifest["scenario"]["workloads"]
    known = sorted(keys, key=lambda key: (_place(workloads, key[0]), key[1] != "open"))
    scenes = [_scene(run, workload, load) for workload, load in known]
    invalid = sum(not one["valid"] for one in run.windows)
    return Summary(run.manifest, scenes, len(run.windows), invalid, run.cut)


def value(window: Record, metric: str) -> float | None:
    """A metric of one window; None where it cannot say, as a p99 of too few samples."""
    if metric == CPU:
        return sum(cost for cost in window["cpu_us"].values() if cost) or None
    if metric == THROUGHPUT:
        return window["count"] / window["seconds"] or None
    share = {P50: 0.5, P99: 0.99}[metric]
    return histograms.percentile_us(histograms.decoded(window, "response"), share) or None


def _scene(run: Run, workload: str, load: str) -> Scene:
    windows = [one for one in run.windows if (one["workload"], one["load"]) == (workload, load)]
    variants = run.manifest["scenario"]["variants"]
    ran = sorted({one["variant"] for one in windows}, key=lambda name: _place(variants, name))
    by_variant = {name: [one for one in windows if one["variant"] == name] for name in ran}
    seed = run.manifest["seed"]
    comparisons, floors = list[Comparison](), dict[str, float | None]()
    for metric in METRICS[load]:
        values = {name: _values(own, metric) for name, own in by_variant.items()}
        twin = bootstrap.ratio(values.get(TWIN_1, {}), values.get(PLAIN, {}), seed)
        floors[metric] = bootstrap.noise_floor(twin)
        comparisons += _comparisons(metric, values, floors[metric], seed)
    rates = [one["rate_asked"] for one in windows if one["rate_asked"]]
    plain = by_variant.get(PLAIN)
    costs = [_costs(name, own, plain, seed) for name, own in by_variant.items()]
    title = run.manifest["scenario"].get("titles", {}).get(workload, workload)
    return Scene(workload, title, load, max(rates, default=None), costs, floors, comparisons)


def _values(windows: Sequence[Record], metric: str) -> Values:
    """A metric by block, of valid windows; a block's valid repeats count as their mean."""
    found: dict[int, list[float]] = {}
    for one in windows:
        if one["valid"] and (known := value(one, metric)) is not None:
            found.setdefault(one["block"], []).append(known)
    return {block: sum(known) / len(known) for block, known in found.items()}


def _comparisons(
    metric: str, values: dict[str, Values], floor: float | None, seed: int
) -> Iterator[Comparison]:
    for kind, over, base in _pairs(list(values)):
        estimate = bootstrap.ratio(values[over], values[base], seed)
        if estimate is not None:
            said = bootstrap.verdict(estimate, floor)
            yield Comparison(kind, metric, over, base, estimate, said)


def _pairs(variants: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(kind, over, base) of everything that is compared, as far as both were measured."""
    own = {TWIN_1: FLOOR, TWIN_2: TWIN}
    pairs = [(own.get(name, TOTAL), name, PLAIN) for name in variants if name != PLAIN]
    pairs += [(CRYPTO, name, PLAIN) for name in (TLS, MTLS)]
    for name in variants:
        proxy = name.partition(":")[2]
        if name.startswith(PROXY_PLAIN):
            pairs.append((HOP, name, PLAIN))
        elif name.startswith((PROXY_TLS, PROXY_MESH)):
            pairs += [(PROXIED, name, PROXY_PLAIN + proxy), (HEADLINE, name, TLS)]
    return (pair for pair in pairs if pair[1] in variants and pair[2] in variants)


def _costs(
    variant: str, windows: Sequence[Record], plain: Sequence[Record] | None, seed: int
) -> Costs:
    valid = [one for one in windows if one["valid"]]
    reasons = Counter(
        kind
        for one in windows
        if not one["valid"]
        for kind in dict.fromkeys(reason.partition(":")[0] for reason in one["reasons"])
    )
    return Costs(
        variant=variant,
        blocks=len({one["block"] for one in windows}),
        blocks_counted=_blocks_counted(windows, plain),
        valid=len(valid),
        invalid_windows=len(windows) - len(valid),
        invalid=dict(reasons),
        completed=sum(one["count"] for one in valid),
        cpu_us=bootstrap.level(_values(valid, CPU), seed),
        role_cpu_us=_role_costs(valid, seed),
        throughput=bootstrap.level(_values(valid, THROUGHPUT), seed),
        response_us=_percentiles(valid, "response"),
        service_us=_percentiles(valid, "service"),
    )


def _blocks_counted(windows: Sequence[Record], plain: Sequence[Record] | None) -> int:
    counted = _values(windows, CPU).keys()
    return len(counted if plain is None else counted & _values(plain, CPU).keys())


def _role_costs(valid: Sequence[Record], seed: int) -> dict[str, float]:
    found = {}
    for role in ROLES:
        own = {i: one["cpu_us"][role] for i, one in enumerate(valid) if one["cpu_us"].get(role)}
        if (middle := bootstrap.level(own, seed)) is not None:
            found[role] = middle.median
    return found


def _percentiles(valid: Sequence[Record], kind: str) -> dict[float, float | None]:
    whole = histograms.merged(histograms.decoded(one, kind) for one in valid)
    return {share: histograms.percentile_us(whole, share) for share in histograms.PERCENTILES}


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)
