"""No function above 70 lines, no file of 400 lines or more; tests may be longer files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests import house_tree as tree

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 399
RUST_FN = re.compile(
    r"(\s*)(?:pub(?:\([^)]*\))?\s+)?(?:const\s+|async\s+|unsafe\s+|extern\s+\"C\"\s+)*fn\s+(\w+)"
)


def rust_functions(text: str) -> Iterator[tuple[str, int]]:
    """Names and lengths in lines; rustfmt puts the closing brace at the indent of `fn`."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if (found := RUST_FN.match(line)) is None:
            continue
        for end in range(start, len(lines)):
            last = lines[end].rstrip()
            if last.startswith(found[1] + "}") or (end == start and last.endswith((";", "}"))):
                yield found[2], end - start + 1
                break
            if last == found[1] + ");" or (last.startswith(found[1] + ")") and last.endswith(";")):
                break


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """Names and lengths in lines of all functions, nested ones too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def too_long(name: str, text: str) -> list[str]:
    """What in one file is longer than the house allows."""
    functions = rust_functions(text) if name.endswith(".rs") else python_functions(text)
    found = [
        f"{name}: {function} has {lines} lines"
        for function, lines in functions
        if lines > FUNCTION_LINES_MAX
    ]
    body = tree.without_tests(text) if name.endswith(".rs") else text
    if not tree.is_test(name) and (lines := len(body.splitlines())) > FILE_LINES_MAX:
        found.append(f"{name} has {lines} lines")
    return found


def test_every_file_and_function_is_short() -> None:
    sources = [n for n in tree.tracked() if n.endswith((".rs", ".py"))]
    found = [line for name in sources for line in too_long(name, tree.text_of(name))]
    assert not found, "\n".join(found)


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n" * FUNCTION_LINES_MAX
    assert too_long("python/a.py", f"def f():\n{body}") == ["python/a.py: f has 71 lines"]
    rust = "impl A {\n    pub(crate) fn f() {\n" + "        a();\n" * 69 + "    }\n}\n"
    assert too_long("rust/a/src/b.rs", rust) == ["rust/a/src/b.rs: f has 71 lines"]
    assert not too_long("rust/a/src/b.rs", rust.replace("        a();\n", "", 1))


def test_a_declaration_is_not_taken_for_a_body() -> None:
    rust = "trait A {\n    fn f(\n        a: u8,\n    ) -> u8;\n" + "\n" * 80 + "}\n"
    assert list(rust_functions(rust)) == []


def test_a_long_file_is_found_and_its_tests_do_not_count() -> None:
    assert too_long("rust/a/src/b.rs", "\n" * 400) == ["rust/a/src/b.rs has 400 lines"]
    assert not too_long("rust/a/src/b.rs", "#[cfg(test)]\nmod tests {\n" + "\n" * 400 + "}\n")
    assert not too_long("tests/test_a.py", "\n" * 400)
