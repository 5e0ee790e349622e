"""Whether a run may be believed, decided here alone for exit codes, notes, tables and tests.

The block is the unit, as it is of every ratio: a window that was spoiled and measured again in its
block costs nothing, and one that has no valid window of plain beside it is worth nothing.
"""

from __future__ import annotations

from ztransport.bench.statistics import Costs, Scene, Summary

__all__ = ["BLOCK_SHARE_MIN", "counted", "doubts", "fault", "is_thin"]

BLOCK_SHARE_MIN = 0.5
"""Of the blocks of a row; of twelve these are the six that an interval of 95 % needs."""


def is_thin(costs: Costs) -> bool:
    """Whether too few of a row's blocks have what its ratio needs."""
    return costs.blocks_counted < BLOCK_SHARE_MIN * costs.blocks


def counted(costs: Costs) -> str:
    """How many blocks of a row count, in words."""
    return f"{costs.blocks_counted} of {costs.blocks} blocks count"


def doubts(summary: Summary) -> list[str]:
    """The rows that may not be believed, in a line for each scene that has any."""
    found = []
    for scene in summary.scenes:
        if thin := _thin(scene):
            shown = ", ".join(f"{one.variant} ({counted(one)})" for one in thin)
            found.append(f"{_name(scene)}: too thin to believe: {shown}.")
    return found


def fault(summary: Summary) -> str | None:
    """Why a run is no valid measurement and what to do, in one line; None when it is one."""
    if summary.cut is not None:
        return summary.cut
    if not summary.manifest["complete"]:
        command = summary.manifest["command"]
        return f"the run is not finished: `{command}` goes on with it"
    thin = [(scene, costs) for scene in summary.scenes for costs in _thin(scene)]
    if not thin:
        return None
    (scene, first), others = thin[0], len(thin) - 1
    more = f" and {others} more rows are as thin" if others else ""
    return (
        f"{first.variant}, {_name(scene)}: only {counted(first)}{more}; see the reasons above and "
        "what `ztransport bench doctor` says of this machine, and measure again"
    )


def _thin(scene: Scene) -> list[Costs]:
    return [costs for costs in scene.costs if is_thin(costs)]


def _name(scene: Scene) -> str:
    return f"{scene.workload}, {scene.load} loop"
