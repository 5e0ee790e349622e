"""Who takes part. Kinship lies in an environment of its own, which the first run makes."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

OURS, KINSHIP = "ztransport", "kinship"
KINSHIP_VERSION = "0.4.0"
ENVIRONMENT = Path("target/membership/kinship")
INSTALL_SECONDS_MAX = 180
REASON_CHARACTERS_MAX = 300


def available() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Commands that start a member, by contender, and versions, or why one is missing."""
    commands = {OURS: [sys.executable, "-m", "bench.membership.own_member"]}
    versions = {OURS: metadata.version("ztransport")}
    fault = _install()
    if fault:
        versions[KINSHIP] = f"not measured: {fault}"
        print(f"kinship is {versions[KINSHIP]}", file=sys.stderr)
    else:
        versions[KINSHIP] = KINSHIP_VERSION
        python = str((ENVIRONMENT / "bin/python").absolute())
        commands = {KINSHIP: [python, "-m", "bench.membership.kinship_member"], **commands}
    return commands, versions


def _install() -> str:
    """Make the environment unless it is there; the reason when that cannot be done."""
    python = ENVIRONMENT / "bin/python"
    wanted = f"import importlib.metadata as m; assert m.version('kinship') == '{KINSHIP_VERSION}'"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [*pip, "--only-binary", ":all:", f"kinship=={KINSHIP_VERSION}"],
    ]
    if python.exists() and not _fault([str(python), "-c", wanted]):
        return ""
    return next((fault for step in steps if (fault := _fault(step))), "")


def _fault(step: list[str]) -> str:
    try:
        ended = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    last = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
    return last[:REASON_CHARACTERS_MAX] if ended.returncode else ""
