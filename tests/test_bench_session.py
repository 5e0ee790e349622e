"""The processes of a run: what dies spoils one window and is told, and a mismatch ends the run."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest

from ztransport.bench import fairness, readings, session, variants, workloads
from ztransport.bench.driving import Asked
from ztransport.bench.processes import BenchError, InvalidMeasurement
from ztransport.bench.session import Outcome, Session

pytestmark = pytest.mark.slow

PROXIED = variants.VARIANTS["proxy-tls:relay"]
WORK = workloads.workload("request-128-x1")
VIA_GATEWAY = workloads.workload("gateway-128-x64")
WINDOW_S = 0.05


@pytest.fixture
def running() -> Iterator[Session]:
    chosen = [PROXIED]
    with Session(chosen, {"broker", "gateway"}, session.tools_of(chosen)) as opened:
        opened.restart(3)
        yield opened


def measured(running: Session, work: workloads.Workload = WORK) -> Outcome:
    return running.measure(Asked(PROXIED, work, None, WINDOW_S, 0.0))


def pids_of(running: Session) -> dict[str, list[int]]:
    """The processes of the one variant by role, as its windows see them."""
    seen: dict[str, list[int]] = {}
    read = readings.read

    def spy(pids: Mapping[str, list[int]], cores: Collection[int]) -> readings.Reading:
        seen.update(pids)
        return read(pids, cores)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "read", spy)
        outcome = measured(running, VIA_GATEWAY)
        assert outcome.measured is not None, outcome.mishaps
    return seen


def killing(pid: int) -> Callable[[Mapping[str, list[int]], Collection[int]], readings.Reading]:
    """A reading of the clocks that kills a process first: the window has just begun."""
    read = readings.read

    def kill(pids: Mapping[str, list[int]], cores: Collection[int]) -> readings.Reading:
        # At the window's end it has been killed before.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return read(pids, cores)

    return kill


@pytest.mark.parametrize("role", ["broker", "gateway", "server_proxy", "generator"])
def test_a_killed_process_spoils_its_window_and_no_other(role: str, running: Session) -> None:
    pids = pids_of(running)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "read", killing(pids[role][0]))
        spoilt = measured(running, VIA_GATEWAY)
    assert spoilt.mishaps
    if role == "generator":
        assert "generator ended" in spoilt.mishaps[0]
    else:
        assert spoilt.mishaps[0].startswith(role.replace("_", " "))
        assert spoilt.mishaps[0].endswith("was ended by SIGKILL")
    after = measured(running, VIA_GATEWAY)
    assert after.mishaps == ()
    assert after.measured is not None
    assert after.measured.said["errors"] == {}
    assert after.measured.said["completed"] > 0


def test_leaving_ends_every_process() -> None:
    chosen = [PROXIED]
    with Session(chosen, {"broker", "gateway"}, session.tools_of(chosen)) as opened:
        opened.restart(0)
        opened.probe()
        pids = [pid for of_role in pids_of(opened).values() for pid in of_role]
    assert len(pids) >= 4
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_another_negotiation_is_refused(running: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    running.probe()
    other = {**fairness.NEGOTIATED, "group": "secp256r1"}
    monkeypatch.setattr(fairness, "NEGOTIATED", other)
    with pytest.raises(InvalidMeasurement, match="proxy-tls:relay negotiated .* X25519, which"):
        running.probe()


def test_a_variant_that_does_not_answer_is_told(running: Session) -> None:
    running.stack(PROXIED).entries["broker"] = 1
    with pytest.raises(BenchError, match="^proxy-tls:relay does not work: [^\n]+$"):
        running.probe()
