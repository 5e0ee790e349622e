"""No secret in anything a process has written or an object shows."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterator
from pathlib import Path

import trio

import ztransport as zt
from bench.abuse.cases import Case, Row
from bench.abuse.server import CLUSTER
from bench.abuse.stage import Stage

PIECE_CHARACTERS = 32


def fragments(key_pem: bytes) -> Iterator[bytes]:
    """What would show a key: pieces of its PEM lines, and of its bytes in hex and as a repr."""
    body = b"".join(key_pem.splitlines()[1:-1])
    # The first bytes are the same for every key of its kind.
    secret = base64.b64decode(body)[36:68]
    yield from (body[at : at + PIECE_CHARACTERS] for at in range(48, len(body) - 32, 16))
    yield from (secret, secret.hex().encode(), repr(secret)[2:-1].encode())


def secrets(case: Case) -> None:
    """T32: everything written in this run so far, and errors and reprs provoked here."""
    key_pem, outputs = case.stage.leaf.key_pem, case.stage.outputs()
    outputs["provoked"] = "\n".join(trio.run(_provoke, case.stage, key_pem)).encode()
    planted = list(fragments(key_pem))
    found = [name for name, said in outputs.items() if any(piece in said for piece in planted)]
    size = sum(len(said) for said in outputs.values())
    case.bars.note(f"{len(outputs)} outputs, {size:,} bytes")
    case.bars.check(f"found {found or 0}", not found)


async def _provoke(stage: Stage, key_pem: bytes) -> list[str]:
    """Reprs, and tracebacks of every way to give a key wrongly."""
    chain = stage.leaf.chain_pem
    good = zt.TLSConfig(certificate_chain=chain, private_key=key_pem)
    said = [repr(good), str(good), repr(good.load())]
    cut, twice = key_pem[: len(key_pem) // 2], key_pem + key_pem
    other = key_pem.replace(b"PRIVATE KEY", b"CERTIFICATE")
    for chain_pem, private in ((chain, cut), (chain, other), (key_pem, key_pem), (key_pem, twice)):
        config = zt.TLSConfig(certificate_chain=chain_pem, private_key=private)
        said.append(await _failure(config))
    said.append(await _failure(zt.TLSConfig(trust=(key_pem,))))
    path = Path(stage.trust.parent / "missing.key")
    said.append(await _failure(zt.TLSConfig(certificate_chain=chain, private_key_path=path)))
    return said


async def _failure(config: zt.TLSConfig) -> str:
    said = repr(config)
    try:
        async with zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="leaky", tls=config):
            pass
    except zt.Error:
        said += traceback.format_exc()
    return said


ROWS = (Row("T32", "planted key in logs, reprs, tracebacks", "0 found", secrets),)
