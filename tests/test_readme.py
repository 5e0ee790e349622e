"""What the README shows runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bench import headline

README = Path(__file__).parents[1] / "README.md"


GOSSIP = README.parent / "docs/GOSSIP.md"


def test_the_example_of_a_membership_runs() -> None:
    found = re.search(r"```python\n(.*?)```", GOSSIP.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    ran = subprocess.run(
        [sys.executable, "-c", found[1]], capture_output=True, text=True, timeout=60, check=False
    )
    said = ran.stdout.splitlines()
    assert said == ["[('a', {'role': b'broker'}), ('b', {})]", "joined b", "left b"], ran.stderr


def test_the_example_is_short_and_runs() -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert len(found[1].splitlines()) <= 16
    ran = subprocess.run(
        [sys.executable, "-c", found[1]], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.startswith("b'hello' TLSSession(version='TLSv1.3'"), ran.stderr


def test_the_headline_is_what_its_record_says() -> None:
    readme = README.read_text(encoding="utf-8")
    record = headline.named_record(readme)
    assert headline.section(record, headline.summary_of(README.parent / record)) in readme
