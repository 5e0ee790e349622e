"""The doctor's findings and the list: what is so, how bad it is, and what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ztransport.bench import doctor, listing, machine, placement, proxies, variants, workloads
from ztransport.bench.doctor import Finding

DOCTOR = "ztransport.bench.doctor"


def found(check: str, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What one check finds, with nothing to wait for."""
    monkeypatch.setattr(f"{DOCTOR}.time.sleep", lambda _: None)
    (chosen,) = (one for one in doctor.CHECKS if one.__name__ == f"_{check}")
    return list(chosen())


def test_every_finding_that_is_not_good_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{DOCTOR}.time.sleep", lambda _: None)
    findings = doctor.examine()
    assert {"load", "steal", "governor", "swap"} <= {finding.subject for finding in findings}
    assert all(finding.remedy for finding in findings if finding.level != doctor.GOOD)


def test_the_worst_stands_first() -> None:
    shown = doctor.text(
        [
            Finding(doctor.GOOD, "a", "fine"),
            Finding(doctor.SPOILS, "b", "bad", "mend it"),
            Finding(doctor.WARNING, "c", "doubtful", "look"),
        ]
    )
    assert shown.splitlines() == [
        "spoils   b: bad → mend it",
        "warning  c: doubtful → look",
        "good     a: fine",
    ]


@pytest.mark.parametrize(
    ("governor", "level"),
    [("performance", doctor.GOOD), ("powersave", doctor.WARNING), (None, doctor.WARNING)],
)
def test_the_governor_is_judged(
    governor: str | None, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{DOCTOR}.machine.read", lambda _: governor)
    assert [finding.level for finding in found("speed", monkeypatch)] == [level]


def test_one_core_and_two_threads_of_one_core_spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    same = dict.fromkeys(placement.ROLES, 0)
    monkeypatch.setattr(f"{DOCTOR}.placement", lambda: same)
    assert [finding.level for finding in found("cores", monkeypatch)] == [doctor.SPOILS]
    apart = {**same, "broker": 1}
    monkeypatch.setattr(f"{DOCTOR}.placement", lambda: apart)
    monkeypatch.setattr(f"{DOCTOR}.siblings_of", lambda _: {0, 1})
    levels = [finding.level for finding in found("cores", monkeypatch)]
    assert levels == [doctor.GOOD, doctor.SPOILS]


def test_heat_swap_and_quota_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def zones(*_: object) -> Iterator[Path]:
        yield Path("temp")

    monkeypatch.setattr(Path, "glob", zones)
    monkeypatch.setattr(f"{DOCTOR}.machine.read", lambda _: "90000")
    assert found("heat", monkeypatch)[0].level == doctor.SPOILS
    swapped = "SwapTotal:  2048 kB\nSwapFree:  1024 kB"
    monkeypatch.setattr(f"{DOCTOR}.machine.read", lambda _: swapped)
    assert "1 MiB are swapped out" in found("memory", monkeypatch)[0].what
    monkeypatch.setattr(f"{DOCTOR}.machine.read", lambda _: "50000 100000")
    assert found("limits", monkeypatch)[0].subject == "CPU quota"


def test_a_build_without_optimisation_spoils(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{DOCTOR}.built_with", lambda: {"profile": "debug"})
    assert [finding.level for finding in found("build", monkeypatch)] == [doctor.SPOILS]
    monkeypatch.setattr(f"{DOCTOR}.built_with", lambda: {"profile": "release"})
    assert found("build", monkeypatch) == []


def test_a_missing_proxy_is_a_warning_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "found", lambda: ({}, {"envoy": "no envoy: install envoy"}))
    (finding,) = found("proxies", monkeypatch)
    assert (finding.level, finding.remedy) == (doctor.WARNING, "no envoy: install envoy")
    assert "missing: no envoy: install envoy" in listing.text()


def test_the_list_names_everything() -> None:
    text = listing.text()
    names = [*variants.VARIANTS, *workloads.load_workloads(), *workloads.load_profiles()]
    assert all(f"{name} " in text for name in names)


def test_cores_are_chosen_apart() -> None:
    pairs = {0: {0, 2}, 1: {1, 3}, 2: {0, 2}, 3: {1, 3}}
    assert placement.two_cores([0, 1, 2, 3], pairs.__getitem__) == (0, 1)
    assert placement.two_cores([0, 2, 3], pairs.__getitem__) == (0, 3)
    assert placement.two_cores([0, 2], pairs.__getitem__) == (0, 2)
    assert placement.two_cores([5], lambda core: {core}) == (5, 5)
    assert placement.parsed_list("0,2-4\n") == {0, 2, 3, 4}


def test_a_record_tells_of_the_kernel_only_what_makes_it_fast_or_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "root=/dev/secret mitigations=off nosmt console=ttyS0 -- --password 1"
    monkeypatch.setattr(machine, "read", lambda path: line if path.name == "cmdline" else None)
    assert machine.described()["kernel_options"] == ["mitigations=off", "nosmt"]
