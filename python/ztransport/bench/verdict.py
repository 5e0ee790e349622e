"""What a run says in words, and which way to encrypt a given budget pays for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ztransport.bench import bootstrap
from ztransport.bench import statistics as st
from ztransport.bench.statistics import Comparison, Scene, Summary

__all__ = [
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
    "title",
    "way",
]

PROXY_TITLES = {"haproxy": "HAProxy", "envoy": "Envoy", "relay": "the minimal relay"}
MAIN_WORKLOAD = "request-128-x64"  # the first one measured where this was not
TIMES_FROM = 1.5  # from here on a ratio is said as "2.3 times", below as "15 % more"
NAMED_MAX = 2  # of more proxies only the cheapest and the dearest are named
INVALID_SHARE_MAX = 0.1


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


def headline(summary: Summary) -> str:
    """The run's verdict as one sentence that can be repeated without the page."""
    scene = main_scene(summary) or main_scene(summary, "closed")
    if scene is None:
        return "This run does not compare encryption with plaintext."
    said = "; ".join([*_in_process(scene), *_elsewhere(scene)])
    if not said:
        return "No block has valid windows of both plaintext and TLS: nothing can be compared."
    return f"{said[0].upper()}{said[1:]}."


def measured_as(summary: Summary) -> str:
    """How the headline was measured, in a sentence; empty where there is no headline."""
    scene = main_scene(summary) or main_scene(summary, "closed")
    if scene is None:
        return ""
    return f"Measured as {title(scene)}; the CPU of all processes on the way is added up."


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
        share = summary.invalid / max(1, summary.windows)
        weight = "too many to trust the rest blindly" if share > INVALID_SHARE_MAX else "left out"
        found.append(f"{summary.invalid} of {summary.windows} windows are invalid: {weight}.")
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


def _in_process(scene: Scene) -> Iterator[str]:
    for one in scene.find(st.CRYPTO, st.CPU):
        if one.over == st.TLS and one.is_resolved:
            cost = f"{_amount([one])} CPU per message {_than([one])}"
            yield f"TLS in the process costs {cost} plaintext"
        elif one.over == st.TLS:
            yield _indistinct(scene, one, "TLS in the process", "plaintext")


def _elsewhere(scene: Scene) -> Iterator[str]:
    for way, prefix in (("ended at a proxy", st.PROXY_TLS), ("between two proxies", st.PROXY_MESH)):
        compared = [one for one in scene.find(st.HEADLINE, st.CPU) if one.over.startswith(prefix)]
        told = [one for one in compared if one.is_resolved]
        if told:
            yield f"TLS {way} costs {_amount(told)} CPU {_than(told)} TLS in the process"
        alike = [one for one in compared if not one.is_resolved]
        for verdict in dict.fromkeys(one.verdict for one in alike):
            same = [one for one in alike if one.verdict == verdict]
            names = ", ".join(proxy(one.over) for one in same)
            yield _indistinct(scene, same[0], f"TLS {way} ({names})", "TLS in the process")


def _amount(told: list[Comparison]) -> str:
    """Multiples, as "2.1 times (HAProxy) or 2.3 times (nginx) the", or percentages; or a range."""
    ordered = sorted(told, key=lambda one: one.ratio.median)
    shown = [_share(one, _are_multiples(told)) for one in ordered]
    joined = f"{shown[0]} to {shown[-1]}" if len(shown) > NAMED_MAX else " or ".join(shown)
    return f"{joined} the" if _are_multiples(told) else joined


def _share(one: Comparison, is_multiple: bool) -> str:
    ratio, name = one.ratio.median, proxy(one.over)
    change = f"{percent(ratio - 1)} {'more' if ratio > 1 else 'less'}"
    amount = f"{ratio:.1f} times" if is_multiple else change
    return f"{amount} ({name})" if name else amount


def _than(told: list[Comparison]) -> str:
    return "of" if _are_multiples(told) else "than"


def _are_multiples(told: list[Comparison]) -> bool:
    return all(one.ratio.median >= TIMES_FROM for one in told)


def _indistinct(scene: Scene, one: Comparison, over: str, base: str) -> str:
    if one.verdict == bootstrap.TOO_FEW:
        return f"too few blocks were measured to tell {over} from {base}"
    floor = noise(scene, one.metric)
    return f"the CPU per message of {over} and of {base} differ by less than the noise ({floor})"


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
