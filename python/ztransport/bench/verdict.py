"""What a run says in words, and which way to encrypt a given budget pays for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ztransport.bench import belief, bootstrap
from ztransport.bench import statistics as st
from ztransport.bench.statistics import Comparison, Scene, Summary

__all__ = [
    "METRIC_TITLES",
    "Choice",
    "caveats",
    "cheapest",
    "choices",
    "headline",
    "key_figures",
    "main_scene",
    "measured_as",
    "noise",
    "percent",
    "proxy",
    "sentence",
    "title",
    "way",
]

PROXY_TITLES = {"haproxy": "HAProxy", "envoy": "Envoy", "relay": "the minimal relay"}
MAIN_WORKLOAD = "request-128-x64"  # the first one measured where this was not
UNCOMPARED = "This run does not compare encryption with plaintext."
NOTHING_VALID = "No block has valid windows of both plaintext and TLS: nothing can be compared."
TIMES_FROM = 1.5  # from here on a ratio is said as "2.3 times", below as "15 % more"
FAVOURED = "nginx"  # of several proxies the headline names this one, or the first
METRIC_TITLES = {
    st.CPU: "CPU per message",
    st.THROUGHPUT: "throughput",
    st.P99: "p99 latency",
}
SAID = {st.CPU: ("more", "less"), st.THROUGHPUT: ("more", "less"), st.P99: ("higher", "lower")}
"""What the headline speaks of, in this order, and the word for more and for less of it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to encrypt at a load: the cores it keeps busy in all roles together."""

    variant: str
    cores: float
    fits: bool


def main_scene(summary: Summary, load: str = "open") -> Scene | None:
    """The scene the headline speaks of, of those under a load that have plaintext and TLS."""
    known = [
        scene
        for scene in summary.scenes
        if scene.load == load and scene.of(st.PLAIN) and scene.of(st.TLS)
    ]
    return next((one for one in known if one.workload == MAIN_WORKLOAD), next(iter(known), None))


def sentence(summary: Summary) -> str:
    """The run's verdict in one sentence that can be repeated without the page: CPU alone."""
    scene = main_scene(summary) or main_scene(summary, "closed")
    if scene is None:
        return UNCOMPARED
    pairs = [(over, base) for _, over, base in _pairs([scene])]
    found = [one for kind in (st.CRYPTO, st.HEADLINE) for one in scene.find(kind, st.CPU)]
    said = "; ".join(_cost(one) for one in found if (one.over, one.base) in pairs)
    if not said:
        return NOTHING_VALID
    return f"{_capital(said)}."


def headline(summary: Summary) -> str:
    """The same in at most three sentences, with throughput and latency.

    TLS in the process against plaintext, and at one proxy and between two against TLS in the
    process: CPU per message, throughput and p99 latency of each, as far as they were measured.
    """
    scenes = [one for load in ("open", "closed") if (one := main_scene(summary, load))]
    if not scenes:
        return UNCOMPARED
    said = [_sentence(scenes, *pair) for pair in _pairs(scenes)]
    if not any(said):
        return NOTHING_VALID
    return " ".join(filter(None, said))


def measured_as(summary: Summary) -> str:
    """How the headline was measured, in a sentence; empty where there is no headline."""
    scene = main_scene(summary) or main_scene(summary, "closed")
    if scene is None:
        return ""
    both = scene.load == "open" and main_scene(summary, "closed")
    peak = ", and throughput is what a closed loop reaches" if both else ""
    return f"Measured as {title(scene)}; the CPU of all processes on the way is added up{peak}."


def key_figures(summary: Summary) -> list[tuple[str, dict[str, Comparison]]]:
    """The comparisons of the headline in words, with CPU and p99 in open loop and throughput."""
    found: dict[str, dict[str, Comparison]] = {}
    for load, metrics in (("open", (st.CPU, st.P99)), ("closed", (st.THROUGHPUT,))):
        scene = main_scene(summary, load)
        for kind in (st.CRYPTO, st.HEADLINE) if scene else ():
            for metric in metrics:
                for one in scene.find(kind, metric) if scene else ():
                    found.setdefault(f"{way(one.over)} / {way(one.base)}", {})[metric] = one
    return list(found.items())


def caveats(summary: Summary) -> list[str]:
    """What a reader must know before believing: what is missing, invalid, or noisier than said."""
    found = [summary.cut] if summary.cut else []
    if not summary.manifest["complete"]:
        found.append("The run was not finished: fewer blocks than asked, wider intervals.")
    if summary.invalid:
        found.append(f"{summary.invalid} of {summary.windows} windows are invalid: left out.")
    found += belief.doubts(summary)
    found += [_unsaid(scene) for scene in summary.scenes if scene.floors[st.CPU] is None]
    found += [line for scene in summary.scenes for line in _dishonest(scene)]
    return found


def title(scene: Scene) -> str:
    """A scene in words: "request/reply 128 B at 50,000 messages/s" or "…, closed loop"."""
    if scene.load == "closed":
        return f"{scene.title}, closed loop"
    return f"{scene.title} at {scene.rate or 0:,.0f} messages/s"


def noise(scene: Scene, metric: str) -> str:
    """The noise floor of a metric: "± 1.4 %"."""
    floor = scene.floors.get(metric)
    return "unknown" if floor is None else f"± {percent(floor - 1)}"


def percent(share: float) -> str:
    """A share as a percentage of two digits: 0.0142 is "1.4 %"."""
    shown = abs(share) * 100
    return f"{shown:.1f} %" if shown < 10 else f"{shown:.0f} %"


def choices(scene: Scene, messages_per_second: float, cores_max: float) -> list[Choice]:
    """Every way to encrypt of an open-loop scene, the cheapest first.

    The upper end of the interval of CPU per message is taken, so that what fits, fits. CPU per
    message depends on the rate: trust the answer near the rate the scene was measured at.
    """
    found = []
    for costs in scene.costs:
        if costs.cpu_us is not None and _encrypts(costs.variant):
            cores = costs.cpu_us.high * messages_per_second / 1e6
            found.append(Choice(costs.variant, cores, fits=cores <= cores_max))
    return sorted(found, key=lambda choice: choice.cores)


def cheapest(found: list[Choice]) -> Choice | None:
    """The cheapest choice within the budget; None when nothing is."""
    return next((choice for choice in found if choice.fits), None)


def _encrypts(variant: str) -> bool:
    return variant in (st.TLS, st.MTLS) or variant.startswith((st.PROXY_TLS, st.PROXY_MESH))


def _pairs(scenes: list[Scene]) -> Iterator[tuple[str, str, str]]:
    """(kind, over, base) of each sentence; of several proxies the one that is most widely used."""
    yield st.CRYPTO, st.TLS, st.PLAIN
    ran = [costs.variant for scene in scenes for costs in scene.costs]
    for prefix in (st.PROXY_TLS, st.PROXY_MESH):
        of_kind = [name for name in ran if name.startswith(prefix)]
        chosen = f"{prefix}{FAVOURED}" if f"{prefix}{FAVOURED}" in of_kind else None
        if chosen or of_kind:
            yield st.HEADLINE, chosen or of_kind[0], st.TLS


def _cost(one: Comparison) -> str:
    """A comparison as a cost: "TLS at nginx costs 12 % more CPU per message than …"."""
    over, base = way(one.over), way(one.base)
    if one.verdict == bootstrap.TOO_FEW:
        return f"{over} was measured in too few blocks to tell it from {base}"
    if not one.is_resolved:
        return f"the CPU per message of {over} and of {base} differ by less than the noise"
    than = "of" if one.ratio.median >= TIMES_FROM else "than"
    return f"{over} costs {_clause(one)} {than} {base}"


def _sentence(scenes: list[Scene], kind: str, over: str, base: str) -> str:
    """A comparison in words; empty where no block has both."""
    found: dict[str, Comparison] = {}
    for metric in SAID:
        for scene in scenes:
            for one in scene.find(kind, metric):
                if (one.over, one.base) == (over, base):
                    found.setdefault(metric, one)
    if not found:
        return ""
    said = [_clause(one) for one in found.values() if one.is_resolved]
    hidden = [one for one in found.values() if not one.is_resolved]
    said += [f"{_listed(hidden)} not resolved{_few(hidden)}"] if hidden else []
    return f"{_capital(way(over))}, against {way(base)}: {', '.join(said)}."


def _clause(one: Comparison) -> str:
    """A resolved ratio: "15 % more CPU per message", "2.1 times the p99 latency"."""
    more, less = SAID[one.metric]
    ratio, name = one.ratio.median, METRIC_TITLES[one.metric]
    if ratio >= TIMES_FROM:
        return f"{ratio:.1f} times the {name}"
    return f"{percent(ratio - 1)} {more if ratio > 1 else less} {name}"


def _listed(hidden: list[Comparison]) -> str:
    *first, last = [METRIC_TITLES[one.metric] for one in hidden]
    return f"{', '.join(first)} and {last}" if first else last


def _few(hidden: list[Comparison]) -> str:
    """The reason, where it is not the noise."""
    few = all(one.verdict == bootstrap.TOO_FEW for one in hidden)
    return " (too few blocks)" if few else ""


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def way(variant: str) -> str:
    """A variant in words."""
    kind = variant.partition(":")[0]
    words = {
        st.PLAIN: "plaintext",
        st.TWIN_1: "plaintext, first twin",
        st.TWIN_2: "plaintext, second twin",
        st.TLS: "TLS in the process",
        st.MTLS: "mutual TLS in the process",
        "proxy-plain": f"plaintext through {proxy(variant)}",
        "proxy-tls": f"TLS at {proxy(variant)}",
        "proxy-mesh": f"TLS between two proxies ({proxy(variant)})",
    }
    return words.get(kind, variant)


def proxy(variant: str) -> str:
    """The proxy of a variant as its makers write it; empty where there is none."""
    name = variant.partition(":")[2]
    return PROXY_TITLES.get(name, name)


def _unsaid(scene: Scene) -> str:
    return f"{title(scene)}: too few valid blocks of plain and its twin to know the noise."


def _dishonest(scene: Scene) -> Iterator[str]:
    for metric in scene.floors:
        for one in scene.find(st.TWIN, metric):
            if one.is_resolved:
                yield (
                    f"{title(scene)}: the second twin of plaintext differs in {metric} by "
                    f"{percent(one.ratio.median - 1)}, though it is the same: distrust "
                    "differences of that size."
                )
