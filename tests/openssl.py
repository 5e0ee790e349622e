"""The openssl command, where there is one: what other people's tools make must work with ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
BASH = shutil.which("bash")
TIMEOUT_S = 60

needs_openssl = pytest.mark.skipif(
    OPENSSL is None or BASH is None, reason="needs the commands openssl and bash"
)


def openssl(*arguments: str) -> bytes:
    """Run the command and return what it prints."""
    assert OPENSSL is not None
    command = [OPENSSL, *arguments]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def shell(script: str, folder: Path) -> None:
    """Run lines of bash in a folder, answering every question with enter."""
    assert BASH is not None
    done = subprocess.run(
        [BASH, "-euo", "pipefail", "-c", f"exec < <(yes '')\n{script}"],
        cwd=folder,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
