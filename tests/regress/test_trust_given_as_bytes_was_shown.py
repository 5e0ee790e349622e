"""The repr of a configuration showed trust given as bytes, and a key in the same PEM with it."""

from __future__ import annotations

import ztransport as zt
from bench.abuse.secrecy import fragments
from ztransport import certs


def test_trust_given_as_bytes_is_not_shown(authority: certs.Authority) -> None:
    leaf = authority.issue(["127.0.0.1"])
    config = zt.TLSConfig(trust=(leaf.chain_pem + leaf.key_pem, "chain"))
    said = (repr(config) + str(config)).encode()
    assert not any(piece in said for piece in fragments(leaf.key_pem))
