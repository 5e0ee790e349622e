"""A node's files as Kubernetes mounts a secret: whole generations, switched by one link."""

from __future__ import annotations

import datetime
from pathlib import Path

from ztransport.certs import Authority, Leaf

__all__ = ["LOOPBACK", "Mount", "issue"]

LOOPBACK = ("127.0.0.1", "localhost")
FIRST_END = datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)


def issue(authority: Authority, number: int) -> tuple[Leaf, datetime.datetime]:
    """A leaf that is told from all others by the minute it ends in, and that minute."""
    end = FIRST_END + datetime.timedelta(minutes=number)
    return authority.issue(LOOPBACK, not_after=end), end


class Mount:
    """The files of one node."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._generation = 0
        root.mkdir()

    def put(self, leaf: Leaf, trust: bytes) -> None:
        """Put all files in place at once."""
        self._generation += 1
        folder = self.root / f"..{self._generation}"
        folder.mkdir()
        leaf.write(folder, "node")
        (folder / "ca.pem").write_bytes(trust)
        fresh = self.root / "..fresh"
        fresh.symlink_to(folder.name)
        fresh.replace(self.root / "..data")
