"""The one rule of imports: a module may import only what stands above it in docs/ARCHITECTURE.md.

The order stands there in a block fenced as import-order, one module a line; names on one line
separated by " | " are siblings that may not import one another. A name is a place in the tree:
`proto/frame` is rust/proto/src/frame.rs or its folder, `py` a whole crate, `python/_node` a file or
folder of python/ztransport, and anything else a folder at the top.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest

from tests import house_tree as tree

BLOCK = re.compile(r"^```import-order\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUST_PATH = re.compile(r"(?<![\w:])((?:crate|(?:super::)*super|ztransport_\w+))::(\{|\w+)")


@dataclass(frozen=True)
class Order:
    """Modules with their line; a lower line stands higher and may be imported from below."""

    lines: dict[str, int]

    def module_of(self, place: str) -> str | None:
        """The listed module a place belongs to: its longest listed prefix."""
        parts = place.split("/")
        names = ("/".join(parts[:size]) for size in range(len(parts), 0, -1))
        return next((name for name in names if name in self.lines), None)

    def allows(self, importer: str, imported: str) -> bool:
        """Whether `importer` may import `imported`: itself, or a line strictly above its own."""
        return importer == imported or self.lines[imported] < self.lines[importer]

    def crate_modules(self, crate: str) -> list[str]:
        """The listed modules of one crate from the top."""
        return [n for n in self.lines if n == crate or n.startswith(f"{crate}/")]


def parse_order(architecture: str) -> Order:
    """Read the fenced block; what follows the first two spaces of a line is its explanation."""
    block = BLOCK.search(architecture)
    if block is None:
        raise ValueError("docs/ARCHITECTURE.md has no block fenced as import-order")
    lines: dict[str, int] = {}
    for number, line in enumerate(filter(str.strip, block[1].splitlines())):
        for name in re.split(r"\s{2,}", line.strip())[0].split(" | "):
            if name in lines:
                raise ValueError(f"{name} stands twice in the import order")
            lines[name] = number
    return Order(lines)


def rust_place(name: str) -> str:
    """The place of a Rust file: rust/proto/src/frame/hello.rs is proto/frame/hello."""
    crate, inner = re.fullmatch(r"rust/([^/]+)/src/(.+)\.rs", name).groups()  # type: ignore[union-attr]
    inner = inner.removesuffix("/mod")
    return crate if inner in ("lib", "main") else f"{crate}/{inner}"


def python_place(name: str) -> str:
    """The place of a Python file: python/ztransport/bench/record.py is python/bench/record."""
    place = str(PurePosixPath(name).with_suffix(""))
    if not place.startswith("python/ztransport/"):
        return place
    inner = place.removeprefix("python/ztransport/")
    return "python/" + (inner if inner == "__init__" else inner.removesuffix("/__init__"))


def group_heads(text: str, start: int) -> Iterator[str]:
    """First names of the entries of a brace group that begins at `start`."""
    depth, expecting = 0, False
    for token in re.finditer(r"[{},]|\w+|[^\w\s{},]+", text[start:]):
        if token[0] == "{":
            depth += 1
            expecting = depth == 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return
        elif token[0] == ",":
            expecting = depth == 1
        elif expecting and token[0] != "self":
            yield token[0]
            expecting = False


def rust_imports(name: str, text: str) -> Iterator[tuple[str, str]]:
    """(crate, first module or item) of every path that leaves a Rust file's own module."""
    code = tree.without_comments(tree.without_tests(text))
    place = rust_place(name).split("/")
    for found in RUST_PATH.finditer(code):
        heads = group_heads(code, found.start(2)) if found[2] == "{" else iter((found[2],))
        for head in heads:
            yield resolve(place, found[1], head)


def resolve(place: list[str], base: str, head: str) -> tuple[str, str]:
    """The crate and the place in it that `base::head` means in the module at `place`."""
    if base.startswith("ztransport_"):
        return base.removeprefix("ztransport_"), head
    if base == "crate":
        return place[0], head
    above = place[1 : len(place) - base.count("super")]
    return place[0], "/".join([*above, head])


def root_exports(root_text: str) -> dict[str, str]:
    """Item names that a crate root exports, with the module each comes from."""
    code = tree.without_comments(root_text)
    found: dict[str, str] = {}
    for line in re.finditer(r"pub use (?:crate::|self::)?(\w+)::(\{|\w+)", code):
        heads = group_heads(code, line.start(2)) if line[2] == "{" else iter((line[2],))
        found.update(dict.fromkeys(heads, line[1]))
    return found


def rust_faults(order: Order, files: dict[str, str]) -> list[str]:
    """Upward imports and unlisted modules among Rust files given by path."""
    roots = {rust_place(n): t for n, t in files.items() if n.endswith(("/lib.rs", "/main.rs"))}
    exports = {crate: root_exports(text) for crate, text in roots.items()}
    faults = []
    for name, text in files.items():
        place = rust_place(name)
        importer = order.module_of(place)
        if importer is None and place in roots and order.crate_modules(place):
            importer = order.crate_modules(place)[-1]  # a crate root may name all of its crate
        if importer is None:
            faults.append(f"{name} is not in the import order")
            continue
        for crate, head in rust_imports(name, text):
            target = rust_target(order, exports, crate, head)
            if target is None:
                faults.append(f"{name}: {crate}::{head} is in no listed module")
            elif not order.allows(importer, target):
                faults.append(f"{name}: {importer} imports {target}, which stands below it")
    return faults


def rust_target(
    order: Order, exports: dict[str, dict[str, str]], crate: str, head: str
) -> str | None:
    """The listed module behind a path; an item of a crate root counts as the module it is from."""
    if head in exports.get(crate, {}):
        return order.module_of(f"{crate}/{exports[crate][head]}")
    return order.module_of(f"{crate}/{head}")


def crate_faults(order: Order, manifests: dict[str, str]) -> list[str]:
    """Edges between our crates that go upward, by Cargo.toml."""
    faults = []
    for crate, text in manifests.items():
        own = order.crate_modules(crate)
        for name in tomllib.loads(text).get("dependencies", {}):
            if not name.startswith("ztransport-") or not own:
                continue
            other = order.crate_modules(name.removeprefix("ztransport-"))
            if not other or min(order.lines[m] for m in other) > max(order.lines[m] for m in own):
                faults.append(f"crate {crate} depends on {name}, which does not stand above it")
    return faults


def python_imports(name: str, text: str) -> Iterator[str]:
    """Places of our own modules that a Python file imports."""
    package = list(PurePosixPath(name).parent.parts)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ours(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parts = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield from ours([*parts, alias.name])


def ours(parts: list[str]) -> Iterator[str]:
    """The place of a dotted name when it is one of ours: in ztransport, or in a top folder."""
    if parts[:2] == ["python", "ztransport"]:
        parts = parts[1:]
    if parts[0] == "ztransport":
        yield "/".join(["python", *parts[1:]])
    elif parts[0] in ("bench", "tests"):
        yield "/".join(parts)


def python_faults(order: Order, files: dict[str, str]) -> list[str]:
    """Upward imports and unlisted modules among Python files given by path."""
    faults = []
    for name, text in files.items():
        importer = order.module_of(python_place(name))
        if importer is None:
            faults.append(f"{name} is not in the import order")
            continue
        for place in python_imports(name, text):
            # A name the package itself offers is an import of its __init__.
            imported = order.module_of(place) or "python/__init__"
            if imported not in order.lines or not order.allows(importer, imported):
                faults.append(f"{name}: {importer} imports {imported}, which stands below it")
    return faults


def stale(order: Order, names: set[str]) -> list[str]:
    """Listed modules that no file belongs to."""
    places = {rust_place(n) for n in names if re.fullmatch(r"rust/[^/]+/src/.+\.rs", n)}
    places |= {python_place(n) for n in names if n.endswith((".py", ".pyi"))}
    places |= {str(PurePosixPath(n).parent) for n in names}
    covered = {m for place in places if (m := order.module_of(place))}
    return sorted(set(order.lines) - covered)


@pytest.fixture(scope="module")
def order() -> Order:
    return parse_order(tree.text_of("docs/ARCHITECTURE.md"))


def sources(pattern: str) -> dict[str, str]:
    return {n: tree.text_of(n) for n in tree.tracked() if re.fullmatch(pattern, n)}


def test_rust_imports_only_what_stands_above(order: Order) -> None:
    files = sources(r"rust/(?!fuzz/)[^/]+/src/.+\.rs")
    assert files
    assert not (faults := rust_faults(order, files)), "\n".join(faults)


def test_crates_depend_only_on_crates_above(order: Order) -> None:
    found = sources(r"rust/(?!fuzz/)[^/]+/Cargo\.toml")
    manifests = {name.split("/")[1]: text for name, text in found.items()}
    assert not (faults := crate_faults(order, manifests)), "\n".join(faults)


def test_python_imports_only_what_stands_above(order: Order) -> None:
    files = sources(r"(python|bench|tests)/.+\.pyi?")
    assert files
    assert not (faults := python_faults(order, files)), "\n".join(faults)


def test_every_listed_module_exists(order: Order) -> None:
    assert not stale(order, set(tree.tracked()))


SAMPLE = """
```import-order
proto/limits      every bound
proto/error
proto/frame
tls/keys
py
python/_errors
python/_trio_loop | python/_asyncio_loop
python/__init__
python/certs
bench
tests
```
"""


def test_a_broken_order_is_refused() -> None:
    with pytest.raises(ValueError, match="no block"):
        parse_order("```\nproto/limits\n```")
    with pytest.raises(ValueError, match="twice"):
        parse_order(SAMPLE.replace("tls/keys", "proto/error"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rust/proto/src/error.rs", "use crate::frame::Frame;"),
        ("rust/proto/src/error.rs", "use super::frame::Frame;"),
        ("rust/proto/src/error.rs", "use super::{limits::A, frame::{self, B}};"),
        ("rust/proto/src/error.rs", "fn f() { crate::frame::g() }"),
        ("rust/proto/src/error.rs", "use crate::Frame;"),
        ("rust/proto/src/error/kind.rs", "use super::super::frame::Frame;"),
        ("rust/proto/src/frame.rs", "use ztransport_tls::keys::Key;"),
        ("rust/proto/src/frame.rs", "use crate::nowhere::A;"),
        ("rust/proto/src/unlisted.rs", ""),
        ("rust/other/src/lib.rs", ""),
    ],
)
def test_a_planted_rust_import_is_found(name: str, text: str) -> None:
    root = "pub mod frame; pub use frame::{Frame, B};"
    assert rust_faults(parse_order(SAMPLE), {"rust/proto/src/lib.rs": root, name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rust/proto/src/frame.rs", "use crate::{error::E, limits};\nuse super::limits::B;"),
        ("rust/proto/src/frame/hello.rs", "use super::A; use super::super::limits::B;"),
        ("rust/proto/src/error.rs", "// use crate::frame::Frame;\nuse std::crate_name::x;"),
        ("rust/proto/src/error.rs", "#[cfg(test)]\nmod tests {\n    use crate::frame::A;\n}"),
        ("rust/py/src/lib.rs", "use ztransport_proto::Frame; use crate::inner::A;"),
    ],
)
def test_a_downward_rust_import_passes(name: str, text: str) -> None:
    root = "pub mod frame; pub use frame::{Frame, B};"
    assert not rust_faults(parse_order(SAMPLE), {"rust/proto/src/lib.rs": root, name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("python/ztransport/_errors.py", "from . import certs"),
        ("python/ztransport/_errors.py", "from .certs import Leaf"),
        ("python/ztransport/_errors.py", "import ztransport.certs"),
        ("python/ztransport/_errors.py", "from ztransport import certs"),
        ("python/ztransport/_errors.py", "def f():\n    import ztransport"),
        ("python/ztransport/_trio_loop.py", "from ztransport._asyncio_loop import x"),
        ("python/ztransport/_asyncio_loop.py", "from ztransport import _trio_loop"),
        ("python/ztransport/certs.py", "import bench.contenders"),
        ("python/ztransport/unlisted.py", ""),
    ],
)
def test_a_planted_python_import_is_found(name: str, text: str) -> None:
    assert python_faults(parse_order(SAMPLE), {name: text})


def test_a_downward_python_import_passes() -> None:
    files = {
        "python/ztransport/__init__.py": "from ztransport._errors import Error",
        "python/ztransport/certs.py": "import trio\nfrom ztransport import Error",
        "bench/contenders/__main__.py": "from ztransport import certs\nfrom . import protocol",
        "tests/test_a.py": "import bench.abuse",
    }
    assert not python_faults(parse_order(SAMPLE), files)


def test_a_planted_crate_edge_is_found() -> None:
    order = parse_order(SAMPLE)
    assert crate_faults(order, {"proto": "[dependencies]\nztransport-tls.workspace = true"})
    assert crate_faults(order, {"py": "[dependencies]\nztransport-nowhere = {path='x'}"})
    assert not crate_faults(order, {"py": "[dependencies]\nztransport-tls.workspace = true"})


def test_a_stale_line_is_found() -> None:
    names = {"rust/proto/src/limits.rs", "rust/py/src/lib.rs", "tests/test_a.py"}
    assert stale(parse_order(SAMPLE), names)[0] == "bench"
    assert "proto/limits" not in stale(parse_order(SAMPLE), names)
