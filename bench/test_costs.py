"""What encryption costs, as tests: `pytest bench --benchmark=quick`.

They judge whether the measurement is one, never how fast a machine is. A row that only the
machine's other work spoiled could not be measured and is skipped with the reason: that is no fault
of the code, and the command line says it with exit code 3.
"""

from __future__ import annotations

import pytest

from ztransport.bench import belief, judging, record, verdict
from ztransport.bench.pytest_plugin import Cost, Measurement

pytestmark = pytest.mark.ztransport_benchmark


def test_cost(ztransport_cost: Cost) -> None:
    """A variant was measured in both loads, and most of its blocks count on a quiet host."""
    assert set(ztransport_cost.costs) == {"open", "closed"}
    for load, costs in ztransport_cost.costs.items():
        said = f"{load} loop: {belief.counted(costs)}: {costs.invalid}"
        if belief.is_thin(costs) and judging.is_of_the_machine([*costs.invalid]):
            pytest.skip(f"{said}; see `ztransport bench doctor`")
        assert not belief.is_thin(costs), said
        assert costs.cpu_us is not None


def test_the_record_is_complete(ztransport_measurement: Measurement) -> None:
    """What is on disk is all that was asked for and says what it was."""
    found = record.open_run(ztransport_measurement.run.path)
    assert found.manifest["complete"]
    assert found.cut is None
    blocks = {window["block"] for window in found.windows}
    assert len(blocks) == found.manifest["scenario"]["blocks_asked"]


def test_the_page_says_the_verdict(ztransport_measurement: Measurement) -> None:
    """The page begins with the sentence that the terminal shows."""
    assert ztransport_measurement.fault is None
    said = verdict.sentence(ztransport_measurement.summary)
    assert f"<h1>{said}</h1>" in ztransport_measurement.page.read_text(encoding="utf-8")
