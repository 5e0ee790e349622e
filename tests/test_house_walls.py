"""Clock, sockets and threads cannot be named in the pure crates: Clippy bans them, with reasons."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tests import house_tree as tree

PURE_CRATES = ("proto", "gossip", "tls")
BANNED = {
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::thread::spawn",
    "std::thread::sleep",
}


def wall_faults(clippy: dict[str, Any]) -> list[str]:
    """What a pure crate's clippy.toml does not ban, or bans without saying why."""
    bans = [*clippy.get("disallowed-types", []), *clippy.get("disallowed-methods", [])]
    missing = BANNED - {ban["path"] for ban in bans}
    return sorted(missing) + [ban["path"] for ban in bans if not ban.get("reason")]


@pytest.mark.parametrize("crate", PURE_CRATES)
def test_a_pure_crate_has_its_walls(crate: str) -> None:
    assert not wall_faults(tomllib.loads(tree.text_of(f"rust/{crate}/clippy.toml")))
    lints = tomllib.loads(tree.text_of(f"rust/{crate}/Cargo.toml")).get("lints")
    assert lints == {"workspace": True}


@pytest.mark.parametrize("crate", PURE_CRATES)
def test_no_wall_is_switched_off(crate: str) -> None:
    names = [n for n in tree.tracked() if n.startswith(f"rust/{crate}/src/")]
    texts = {name: tree.without_comments(tree.text_of(name)) for name in names}
    assert not [name for name, text in texts.items() if "clippy::disallowed" in text]


def test_a_gap_in_a_wall_is_found() -> None:
    whole = {"disallowed-types": [{"path": path, "reason": "why"} for path in BANNED]}
    assert not wall_faults(whole)
    assert wall_faults({"disallowed-types": whole["disallowed-types"][1:]})
    assert wall_faults(
        {"disallowed-types": [{**ban, "reason": ""} for ban in whole["disallowed-types"]]}
    )
