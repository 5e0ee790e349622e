"""The cells of the matrix: how a key file is made, how it is loaded, and what must come of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

import ztransport as zt
from bench.keys import forms
from bench.keys.forms import OPENSSH, PASSWORD, TRADITIONAL, Pair

FILE = "node.key"
LOADS = "loads"
LARGE_BYTES = 100 << 20
ROUNDS_MAX = 10_000_000
SECRET_CHARACTERS_MIN = 40
SWAPS = 100
"""Loads while the file is being replaced."""


@cache
def p256() -> Pair:
    """The pair most cells are about."""
    return forms.pair(ec.generate_private_key(ec.SECP256R1()))


@cache
def rsa2048() -> Pair:
    """For what only RSA has."""
    return forms.pair(rsa.generate_private_key(65537, 2048))


@cache
def other(kind: str) -> Pair:
    """Pairs of the further kinds."""
    if kind == "Ed25519":
        return forms.pair(ed25519.Ed25519PrivateKey.generate())
    curve = ec.SECP384R1() if kind == "P-384" else ec.SECP521R1()
    return forms.pair(ec.generate_private_key(curve))


@cache
def useless(kind: str) -> Pair:
    """Keys of a kind that TLS 1.3 does not have, or that we do not take, beside any certificate."""
    key: Any = (
        ed448.Ed448PrivateKey.generate() if kind == "Ed448" else dsa.generate_private_key(2048)
    )
    return Pair(key, p256().certificate)


def write(folder: Path, content: bytes, mode: int = 0o600) -> None:
    """The key file with its rights."""
    path = folder / FILE
    path.write_bytes(content)
    path.chmod(mode)


@dataclass(frozen=True)
class Cell:
    """One cell; `expected` is `LOADS` or words of the reason."""

    name: str
    expected: str
    content: Callable[[], bytes] | None
    own: Callable[[], Pair] = p256
    password: bytes | None = None
    mode: int = 0o600
    profile: str = "standard"
    place: Callable[[Path], None] | None = field(default=None)
    """Puts something else than a file with `content` there."""

    def prepare(self, folder: Path) -> zt.TLSConfig:
        """Make the file, and the configuration that names it."""
        if self.content is not None:
            write(folder, self.content(), self.mode)
        if self.place is not None:
            self.place(folder)
        own = self.own()
        return zt.TLSConfig(
            certificate_chain=own.chain,
            private_key_path=folder / FILE,
            private_key_password=self.password,
            trust=(own.chain,),
            profile=self.profile,  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: `LOADS` or the error's text, with the folder left out."""

    text: str
    seconds: float


def outcome(cell: Cell, folder: Path) -> Outcome:
    """Load a cell. Raises AssertionError when an error has no path or quotes the key."""
    config = cell.prepare(folder)
    begin = time.perf_counter()
    try:
        config.load()
    except zt.ConfigurationError as error:
        seconds = time.perf_counter() - begin
        return Outcome(_reason(error, folder / FILE), seconds)
    return Outcome(LOADS, time.perf_counter() - begin)


def _reason(error: zt.ConfigurationError, path: Path) -> str:
    """What an error says behind the path. Raises AssertionError when it says too little or much."""
    said = str(error)
    assert said.startswith(f"{path}: "), said
    assert not any(secret in said + repr(error) for secret in _secrets(path))
    return said.removeprefix(f"{path}: ")


def _secrets(path: Path) -> list[str]:
    """The passphrase, and the lines of the file that are long enough to be of a key."""
    is_key = path.is_file() and path.stat().st_size < LARGE_BYTES
    lines = path.read_bytes().decode("latin-1").splitlines() if is_key else []
    return [PASSWORD.decode(), *(line for line in lines if len(line) >= SECRET_CHARACTERS_MIN)]


def _symlink(folder: Path) -> None:
    (folder / "real").write_bytes(p256().pem())
    (folder / "real").chmod(0o600)
    (folder / FILE).symlink_to(folder / "real")


def _dangling(folder: Path) -> None:
    (folder / FILE).symlink_to(folder / "gone")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / FILE)


def _large(folder: Path) -> None:
    write(folder, p256().pem())
    os.truncate(folder / FILE, LARGE_BYTES)


@contextmanager
def replacing(folder: Path, replace: Callable[[Path, bytes], None]) -> Iterator[None]:
    """Replace the file again and again, by either of two forms of one key."""
    over = threading.Event()
    contents = (p256().pem(), p256().pem(TRADITIONAL))

    def run() -> None:
        while not over.is_set():
            for content in contents:
                replace(folder, content)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def by_rename(folder: Path, content: bytes) -> None:
    """As careful programs replace a file."""
    new = folder / "new"
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(folder / FILE)


def in_place(folder: Path, content: bytes) -> None:
    """As careless ones do: whoever reads meanwhile may see a part."""
    (folder / FILE).write_bytes(content)


def replaced(folder: Path, replace: Callable[[Path, bytes], None]) -> set[str]:
    """All outcomes of loading a file that is being replaced."""
    write(folder, p256().pem())
    cell = Cell("", LOADS, None)
    with replacing(folder, replace):
        return {outcome(cell, folder).text for _ in range(SWAPS)}


def _sound() -> list[Cell]:
    kinds: dict[str, Callable[[], Pair]] = {"P-256": p256, "RSA 2048": rsa2048}
    kinds |= {kind: partial(other, kind) for kind in ("P-384", "P-521", "Ed25519")}
    return [cell for kind, own in kinds.items() for cell in _both(kind, own)]


def _both(kind: str, own: Callable[[], Pair]) -> tuple[Cell, Cell]:
    pem = Cell(f"{kind}, PKCS#8 PEM", LOADS, lambda: own().pem(), own)
    return pem, Cell(f"{kind}, PKCS#8 DER", LOADS, lambda: own().der(), own)


def _traditional() -> list[Cell]:
    return [
        Cell("PKCS#1 PEM", LOADS, lambda: rsa2048().pem(TRADITIONAL), rsa2048),
        Cell("PKCS#1 DER", LOADS, lambda: rsa2048().der(TRADITIONAL), rsa2048),
        Cell(
            "PKCS#1 with DEK-Info",
            "DEK-Info",
            lambda: rsa2048().pem(TRADITIONAL, PASSWORD),
            rsa2048,
            PASSWORD,
        ),
        Cell("SEC1 PEM", LOADS, lambda: p256().pem(TRADITIONAL)),
        Cell("SEC1 DER", LOADS, lambda: p256().der(TRADITIONAL)),
        Cell(
            "SEC1 with DEK-Info",
            "DEK-Info",
            lambda: p256().pem(TRADITIONAL, PASSWORD),
            password=PASSWORD,
        ),
    ]


def _encrypted() -> list[Cell]:
    def pem() -> bytes:
        return p256().pem(password=PASSWORD)

    def der() -> bytes:
        return p256().der(password=PASSWORD)

    triple = (forms.DES_EDE3_CBC, 8)
    return [
        Cell("encrypted PKCS#8 PEM, right passphrase", LOADS, pem, password=PASSWORD),
        Cell("encrypted PKCS#8 DER, right passphrase", LOADS, der, password=PASSWORD),
        Cell("encrypted PKCS#8, wrong passphrase", "another one", pem, password=b"wrong"),
        Cell("encrypted PKCS#8, no passphrase", "give private_key_password", pem),
        Cell("encrypted PKCS#8, empty passphrase", "another one", pem, password=b""),
        Cell("PBES1 with 3DES", "is encrypted", forms.sealed_by_pbes1, password=PASSWORD),
        Cell(
            "PBES2 with 3DES",
            "is encrypted",
            lambda: forms.sealed_by_pbes2(2048, *triple),
            password=PASSWORD,
        ),
        Cell(
            "PBES2 with more than 10 million rounds",
            "more work",
            lambda: forms.sealed_by_pbes2(ROUNDS_MAX + 1),
            password=PASSWORD,
        ),
    ]


def _stores() -> list[Cell]:
    def store() -> bytes:
        return p256().store(PASSWORD)

    return [
        Cell("PKCS#12, right passphrase", LOADS, store, password=PASSWORD),
        Cell("PKCS#12, wrong passphrase", "another one", store, password=b"wrong"),
        Cell("PKCS#12, no passphrase", "give private_key_password", store),
        Cell("PKCS#12, empty passphrase", "another one", store, password=b""),
        Cell("PKCS#12 that is not encrypted", LOADS, lambda: p256().store(None)),
        Cell(
            "PKCS#12 with 3DES",
            "old way",
            lambda: p256().store(PASSWORD, old=True),
            password=PASSWORD,
        ),
    ]


def _useless() -> list[Cell]:
    stranger = forms.pair(ec.generate_private_key(ec.SECP256R1()))
    return [
        Cell("DSA, PKCS#8", "is a DSA key", lambda: useless("DSA").pem()),
        Cell("DSA, traditional", "is a DSA key", lambda: useless("DSA").pem(TRADITIONAL)),
        Cell("Ed448", "neither an RSA", lambda: useless("Ed448").pem()),
        Cell("OpenSSH", "is an OpenSSH key", lambda: p256().pem(OPENSSH)),
        Cell("the key of another certificate", "is not the key of the first", stranger.pem),
        Cell("the key of another kind", "is not the key of the first", lambda: rsa2048().pem()),
        Cell("two keys", "more than one", lambda: p256().pem() + rsa2048().pem()),
    ]


def _dressed() -> list[Cell]:
    return [
        Cell("CRLF", LOADS, lambda: p256().pem().replace(b"\n", b"\r\n")),
        Cell("BOM", LOADS, lambda: b"\xef\xbb\xbf" + p256().pem()),
        Cell("trailing junk", LOADS, lambda: p256().pem() + b"trailing junk\n"),
        Cell("trailing junk behind DER", "", lambda: p256().der() + b"junk"),
        Cell("half a file", "", lambda: p256().pem()[:80]),
    ]


def _files() -> list[Cell]:
    def pem() -> bytes:
        return p256().pem()

    def others(mode: int, profile: str, expected: str) -> Cell:
        return Cell(
            f"mode {mode:04o}, profile {profile}", expected, pem, mode=mode, profile=profile
        )

    return [
        others(0o640, "standard", LOADS),
        others(0o640, "strict", "its group"),
        others(0o644, "standard", "chmod 600"),
        others(0o604, "standard", "chmod 600"),
        others(0o644, "zeebe", LOADS),
        Cell("symbolic link", LOADS, None, place=_symlink),
        Cell("dangling link", "No such file", None, place=_dangling),
        Cell("FIFO", "not a regular file", None, place=_pipe),
        Cell("directory", "directory", None, place=lambda folder: (folder / FILE).mkdir()),
        Cell("0 bytes", "is empty", lambda: b""),
        Cell("100 MB", "larger than", None, place=_large),
    ]


def cells() -> list[Cell]:
    """Every cell but those of files that are replaced while they are read."""
    return [
        *_sound(),
        *_traditional(),
        *_encrypted(),
        *_stores(),
        *_useless(),
        *_dressed(),
        *_files(),
    ]
