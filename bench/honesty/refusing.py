"""Refusal: a starved generator, a mismatched cipher, and processes that are killed."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from bench.honesty.beside import HOG, beside
from bench.honesty.findings import Finding, Told, measured
from ztransport.bench import choices, fairness, runner, variants, workloads
from ztransport.bench.driving import Asked, Measured
from ztransport.bench.fairness import Files
from ztransport.bench.processes import BenchError, scratch_folder
from ztransport.bench.proxies import KINDS, Leg, Tool, found
from ztransport.bench.record import Record
from ztransport.bench.session import Session

__all__ = ["killed", "mismatched", "starved"]

PLAIN, TLS = variants.VARIANTS["plain"], variants.VARIANTS["tls"]
MANY = workloads.workload("request-128-x64")
HOGS = 4
WINDOW_S = 1.0
OTHER_SUITE = "TLS_AES_256_GCM_SHA384"
KILL_AFTER_S = 0.15
SEED = 7


def starved(tell: Told) -> list[Finding]:
    """Let other programs run on the generator's core."""
    tell("the generator is starved")
    with Session([PLAIN], {"broker"}, {}) as session:
        session.restart(0)
        peak = measured(session.measure(Asked(PLAIN, MANY, None, WINDOW_S, 0.1))).said
        rate = MANY.rate_share * peak["completed"] / peak["seconds"]
        asked = Asked(PLAIN, MANY, rate, WINDOW_S, 0.1)
        before = _generator_bound(asked, measured(session.measure(asked)))
        with beside(HOG, [session.placement["generator"]] * HOGS):
            told = _generator_bound(asked, measured(session.measure(asked)))
    shown = f"{told or 'called valid'} (without them: {before or 'valid'})"
    met = bool(told) and not before
    return [Finding("generator starved by 4 programs", shown, "INVALID, and only then", met)]


def _generator_bound(asked: Asked, one: Measured) -> str:
    """Why the generator itself was what was measured; empty when it was not."""
    reasons = runner.faults(asked, one)
    return next((reason for reason in reasons if reason.startswith("generator-bound")), "")


def mismatched(tell: Told) -> list[Finding]:
    """Negotiate another suite: generator and broker, and two proxies that do not tell."""
    tell("a cipher mismatch")
    with (
        mock.patch.object(fairness, "CIPHER_SUITE", OTHER_SUITE),
        Session([TLS], {"broker"}, {}) as session,
    ):
        session.restart(0)
        asked = _Other(TLS, MANY, None, 0.1, 0.0)
        reasons = runner.faults(asked, measured(session.measure(asked)))
    shown = next((reason for reason in reasons if reason.startswith("cipher")), "called valid")
    findings = [
        Finding("generator and broker negotiate AES-256", shown, "INVALID", "cipher" in shown)
    ]
    tools, missing = found()
    if "nginx" in missing:
        return findings
    said = _refused_mesh(tools["nginx"])
    what = "two nginx negotiate AES-256 between them"
    return [*findings, Finding(what, said, "refused", OTHER_SUITE in said)]


class _Other(Asked):
    """A window in which the generator offers another suite than every variant must."""

    def line(self, port: int, files: Files) -> dict[str, object]:
        """The window as it is asked for."""
        return {**Asked.line(self, port, files), "cipher_suites": [OTHER_SUITE]}


def _refused_mesh(tool: Tool) -> str:
    nginx = KINDS["nginx"]

    def configure(tool: Tool, legs: Sequence[Leg], files: Files) -> dict[str, str]:
        texts = nginx.configure(tool, legs, files)
        return {
            name: text.replace(fairness.CIPHER_SUITE, OTHER_SUITE) for name, text in texts.items()
        }

    mesh = variants.VARIANTS["proxy-mesh:nginx"]
    other = {**KINDS, "nginx": dataclasses.replace(nginx, configure=configure)}
    with (
        mock.patch.dict(KINDS, other),
        Session([mesh], {"broker"}, {"nginx": tool}) as session,
    ):
        try:
            session.restart(0)
        except BenchError as error:
            return str(error)
    return "called comparable"


@dataclass(slots=True)
class Killer:
    """Kills one process of a run while the window of a block's first cell is measured."""

    victims: dict[int, str]
    """By block: a word of the command of the process to kill."""
    killed: list[str] = field(default_factory=list)

    def tell(self, line: str) -> None:
        """Hear of the next window; at the first of a block with a victim, strike soon after."""
        if not line.startswith("block "):
            return
        block = int(line.removeprefix("block ").partition("/")[0]) - 1
        word = self.victims.pop(block, None)
        if word is not None:
            threading.Timer(KILL_AFTER_S, self._strike, (word,)).start()

    def _strike(self, word: str) -> None:
        pid = next(pid for pid, command in _own_children() if word in command)
        os.kill(pid, signal.SIGKILL)
        self.killed.append(word)


def _own_children() -> Iterator[tuple[int, str]]:
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        yield int(pid), Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def killed(tell: Told) -> list[Finding]:
    """Kill broker, gateway and proxy with SIGKILL during a run."""
    proxy = "nginx" if "nginx" in found()[0] else "relay"
    name = f"proxy-tls:{proxy}"
    profile = choices.changed(
        workloads.profile("quick"), only=["plain", name], works=["gateway-128-x64"], blocks=6
    )
    killer = Killer({1: "ztransport.broker", 2: "ztransport.gateway", 3: proxy})
    with scratch_folder("killed") as folder:
        run = runner.run(profile, folder / "run", _both(tell, killer.tell), seed=SEED, command="-")
        windows, is_complete = run.windows, run.manifest["complete"]
    ended = [one for one in windows if any("SIGKILL" in reason for reason in one["reasons"])]
    kept = [one for one in windows if one not in ended]
    whole = all(one["count"] > 0 and not one["errors"] for one in kept)
    shown = f"{len(ended)} windows invalid, {len(kept)} of {len(windows)} kept"
    met = len(ended) == len(killer.killed) == 3 and whole and is_complete
    what = f"kill -9 of broker, gateway and {proxy} during a run"
    return [Finding(what, shown, "3 invalid, the rest kept", met, {"reasons": _reasons(ended)})]


def _reasons(windows: list[Record]) -> list[list[str]]:
    return [one["reasons"] for one in windows]


def _both(*hear: Callable[[str], None]) -> Callable[[str], None]:
    def told(line: str) -> None:
        for one in hear:
            one(line)

    return told
