"""Broker and gateway are written on the public API alone: they are examples to copy."""

from __future__ import annotations

import ast

import pytest

from tests import house_tree as tree

ROLES = ("broker", "gateway", "serving", "topics")


def private_uses(text: str) -> list[str]:
    """Dotted names with a private part that a file imports from, or reads of another's value."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
            found.append(ast.unparse(node))
    return [name for name in found if any(is_private(part) for part in name.split("."))]


def is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def is_private(part: str) -> bool:
    return part.startswith("_") and not part.startswith("__")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_uses_public_names_only(role: str) -> None:
    assert private_uses(tree.text_of(f"python/ztransport/{role}.py")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from ztransport._errors import Error", ["ztransport._errors.Error"]),
        ("from ztransport import _node", ["ztransport._node"]),
        ("import ztransport._ztransport", ["ztransport._ztransport"]),
        ("if True:\n    from ._node import Peer", ["_node.Peer"]),
        ("peer._request(b'')", ["peer._request"]),
        ("from __future__ import annotations\nimport ztransport as zt\nself._x = zt.Error", []),
    ],
)
def test_a_planted_private_use_is_found(text: str, found: list[str]) -> None:
    assert private_uses(text) == found
