"""The processes of a run: what dies spoils one window and is told, and a mismatch ends the run."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest

from ztransport.bench import fairness, proxies, readings, session, variants, workloads
from ztransport.bench.driving import Asked
from ztransport.bench.processes import BenchError, InvalidMeasurement, Program
from ztransport.bench.session import Outcome, Session
from ztransport.bench.stack import Stack

pytestmark = pytest.mark.slow

PROXIED = variants.VARIANTS["proxy-tls:relay"]
WORK = workloads.workload("request-128-x1")
VIA_GATEWAY = workloads.workload("gateway-128-x64")
WINDOW_S = 0.05
_, MISSING = proxies.found()


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


def replaced(stack: Stack) -> str | None:
    """A fresh look: a property may have changed without anybody having written to it."""
    return stack.ended


def test_a_process_that_its_program_replaces_is_noticed(tmp_path: Path) -> None:
    """As nginx does with a worker; the program itself goes on and nothing else tells of it."""
    replacing = Program("sh", ["sh", "-c", "while :; do sleep 999; done"], tmp_path / "errors")
    try:
        while len(replacing.pids) < 2:
            assert replacing.ended is None
        stack = Stack(
            PROXIED, 0, {"server_proxy": replacing}, pids={"server_proxy": replacing.pids}
        )
        assert replaced(stack) is None
        os.kill(replacing.pids[1], signal.SIGKILL)
        while (reason := replaced(stack)) is None:
            assert replacing.ended is None
        assert reason.startswith("server proxy sh: 1 of its processes ended and ")
        assert replacing.ended is None
    finally:
        replacing.close()


@pytest.mark.skipif("nginx" in MISSING, reason=MISSING.get("nginx", "it is here"))
def test_a_killed_worker_of_nginx_spoils_its_window_and_no_other() -> None:
    nginx = variants.VARIANTS["proxy-tls:nginx"]
    asked = Asked(nginx, WORK, None, WINDOW_S, 0.0)
    with Session([nginx], {"broker"}, session.tools_of([nginx])) as running:
        running.restart(0)
        worker = running.stack(nginx).pids["server_proxy"][1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(readings, "read", killing(worker))
            spoilt = running.measure(asked)
        assert spoilt.mishaps
        assert spoilt.mishaps[0].startswith("server proxy nginx: 1 of its processes ended")
        after = running.measure(asked)
        assert after.mishaps == ()


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


def test_another_negotiation_behind_the_gateway_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls = variants.VARIANTS["tls"]
    monkeypatch.setattr(fairness, "GROUP", "secp256r1")
    with Session([tls], {"broker", "gateway"}, {}) as opened:
        said = (
            "^tls: gateway and broker negotiated TLSv1.3 .* SECP256R1 instead of .* X25519, which"
        )
        with pytest.raises(InvalidMeasurement, match=said):
            opened.restart(0)


def test_a_variant_that_does_not_answer_is_told(running: Session) -> None:
    running.stack(PROXIED).entries["broker"] = 1
    with pytest.raises(BenchError, match="^proxy-tls:relay does not work: [^\n]+$"):
        running.probe()
