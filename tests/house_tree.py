"""The tree the house tests look at: its files, and Rust source without comments and tests."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def tracked() -> tuple[str, ...]:
    """Paths of all files of the project, committed or not, without what git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(sorted(n for n in listing.split("\0") if n and (ROOT / n).is_file()))


def text_of(name: str) -> str:
    """The text of one project file; bytes that are no UTF-8 are replaced."""
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def is_test(name: str) -> bool:
    """Whether a path belongs to tests, which may be long and may import anything."""
    return bool(
        re.search(r"(^|/)(tests|benches|fuzz)/|(^|/)(tests|test_[^/]*|[^/]*_tests?)\.\w+$", name)
    )


def without_tests(rust: str) -> str:
    """Rust source up to its test module, which stands last in a file by our own rule."""
    found = re.search(
        r"^#\[cfg\(test\)\]\s*\n(?:#\[[^\n]*\]\s*\n)*mod\s+\w+\s*\{", rust, re.MULTILINE
    )
    return rust if found is None else rust[: found.start()]


def without_comments(rust: str) -> str:
    """Rust source with comments and plain string literals blanked, line numbers kept."""
    pattern = r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\])'|r(\#+)".*?"\1|"(?:\\.|[^"\\])*\""""
    return re.sub(pattern, lambda m: "\n" * m[0].count("\n"), rust, flags=re.DOTALL)
