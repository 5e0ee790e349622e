"""Every way in which a connection is refused, over real sockets, and what each side saw of it.

`python -m tests.refusals` prints the table of docs/TLS.md.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import socket
import ssl
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ztransport as zt
from tests.openssl import OPENSSL, shell
from tests.test_api_faces import FACES, Face, open_node
from ztransport.certs import Authority, Leaf, create_authority

LOOPBACK = ["127.0.0.1", "localhost"]
DAY = datetime.timedelta(days=1)
PREFACE = b"ZT/1\r\n\x1a\n"
HELLO, FAULT = 1, 5
HEADER = struct.Struct("<IBBHQ")
SOON = zt.Limits(handshake_timeout_ms=50, hello_timeout_ms=50)


@dataclass(frozen=True)
class Saw:
    """What one side found: the exception of a node, or the words of another library."""

    error: zt.Error | None = None
    words: str = ""

    def __str__(self) -> str:
        return f"`{type(self.error).__name__}`" if self.error else f'"{self.words}"'


@dataclass(frozen=True)
class Row:
    """One refusal: who meets whom, and what each must see."""

    name: str
    decides: str
    dialer: str
    listener: str
    meet: Callable[[Face, Row], tuple[Saw, Saw]] = field(repr=False)
    listening: Any = field(default=None, repr=False)
    dialling: Any = field(default=None, repr=False)


class Collector(logging.Handler):
    """Keeps what the logger tells of refused peers."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[zt.Error] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the exception."""
        if isinstance(error := getattr(record, "error", None), zt.Error):
            self.errors.append(error)


@contextmanager
def refused_peers() -> Iterator[list[zt.Error]]:
    """What listeners log of peers they refuse, as long as this is open."""
    collector, logger = Collector(), logging.getLogger("ztransport")
    logger.addHandler(collector)
    try:
        yield collector.errors
    finally:
        logger.removeHandler(collector)


async def first(face: Face, errors: list[zt.Error]) -> zt.Error:
    """The first refusal that is logged; the face bounds the wait."""
    while not errors:
        await face.checkpoint()
    return errors[0]


def two_nodes(face: Face, row: Row) -> tuple[Saw, Saw]:
    """A node dials a node."""
    saw: list[Saw] = []

    async def main() -> None:
        listening = {"node_id": "listener", **row.listening}
        dialling = {"node_id": "dialer", **row.dialling}
        with refused_peers() as refused:
            async with (
                open_node(face, **listening) as server,
                open_node(face, None, **dialling) as client,
            ):
                try:
                    await client.connect(server.address, pooled=False)
                except zt.Error as error:
                    saw.append(Saw(error))
                saw.append(Saw(await first(face, refused)))

    face.run(main)
    return saw[0], saw[1]


def held_back(face: Face, row: Row) -> tuple[Saw, Saw]:
    """A node dials a node, and what it says does not arrive before the listener has given up."""
    saw: list[Saw] = []

    async def main() -> None:
        with refused_peers() as refused, socket.create_server(("127.0.0.1", 0)) as way:
            address = f"127.0.0.1:{way.getsockname()[1]}"
            async with (
                open_node(face, **{"node_id": "listener", **row.listening}) as server,
                open_node(face, None, **{"node_id": "dialer", **row.dialling}) as client,
            ):
                between = threading.Thread(target=pass_last_words, args=(way, server.address))
                between.start()
                try:
                    await client.connect(address, pooled=False)
                except zt.Error as error:
                    saw.append(Saw(error))
                saw.append(Saw(await first(face, refused)))
            between.join()

    face.run(main)
    return saw[0], saw[1]


def pass_last_words(way: socket.socket, address: str) -> None:
    """Let a dialer hear all that the listener says to it, and the listener nothing."""
    with way.accept()[0] as dialling, dialled(address) as listening:
        said = b""
        while chunk := listening.recv(4096):
            said += chunk
        dialling.sendall(said)
        heard(dialling)


def strange_dialer(face: Face, row: Row) -> tuple[Saw, Saw]:
    """Another library dials a node."""
    saw: dict[str, Saw] = {}

    async def main() -> None:
        with refused_peers() as refused:
            async with open_node(face, **{"node_id": "listener", **row.listening}) as server:
                stranger = threading.Thread(
                    target=lambda: saw.update(dialer=row.dialling(server.address))
                )
                stranger.start()
                saw["listener"] = Saw(await first(face, refused))
                while stranger.is_alive():
                    await face.checkpoint()

    face.run(main)
    return saw["dialer"], saw["listener"]


def strange_listener(face: Face, row: Row) -> tuple[Saw, Saw]:
    """A node dials another library."""
    saw: dict[str, Saw] = {}

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            stranger = threading.Thread(target=lambda: saw.update(listener=row.listening(listener)))
            stranger.start()
            async with open_node(face, None, **{"node_id": "dialer", **row.dialling}) as client:
                try:
                    await client.connect(address, pooled=False)
                except zt.Error as error:
                    saw["dialer"] = Saw(error)
            stranger.join()

    face.run(main)
    return saw["dialer"], saw["listener"]


def heard(connection: socket.socket) -> Saw:
    """What a stranger reads in plaintext: the code of a fault, or the end."""
    data = b""
    with contextlib.suppress(OSError):
        while chunk := connection.recv(4096):
            data += chunk
    return Saw(words=fault_in(data))


def fault_in(data: bytes) -> str:
    """The code of the fault that ends a connection of ZT/1, if one does."""
    at = len(PREFACE) if data.startswith(PREFACE) else 0
    while len(data) >= at + HEADER.size:
        length, kind, *_ = HEADER.unpack_from(data, at)
        if kind == FAULT:
            return f"fault {int.from_bytes(data[at + 16 : at + 18], 'little')}"
        at += HEADER.size + length
    return "end"


def over_tls(connection: socket.socket, context: ssl.SSLContext, **side: Any) -> Saw:
    """The words of OpenSSL for how the handshake, or the first read behind it, ended."""
    try:
        with context.wrap_socket(connection, **side) as secure:
            return heard_in(secure)
    except ssl.SSLError as error:
        return Saw(words=said(error))
    except OSError:
        return Saw(words="end")


def heard_in(secure: ssl.SSLSocket) -> Saw:
    try:
        data = secure.recv(4096)
    except ssl.SSLError as error:
        return Saw(words=said(error))
    return Saw(words=fault_in(data))


def said(error: ssl.SSLError) -> str:
    """`alert certificate expired`, whatever the library puts around it; or its own finding."""
    words = str(error).rpartition("] ")[2].partition(" (_ssl")[0].lower()
    if "eof" in words:
        return "end"
    return words[words.find("alert") :] if "alert" in words else words


def context_of(leaf: Leaf | None, *, server: bool, alpn: str | None = "zt/1") -> ssl.SSLContext:
    """A context of Python's library that trusts anybody and shows what it is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if not server:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    if leaf is not None:
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*leaf.write(Path(folder), "stranger"))
    return context


def dialer(context: ssl.SSLContext) -> Callable[[str], Saw]:
    """A stranger that dials with TLS."""

    def dial(address: str) -> Saw:
        return over_tls(dialled(address), context, server_hostname="127.0.0.1")

    return dial


def listener(context: ssl.SSLContext) -> Callable[[socket.socket], Saw]:
    """A stranger that is dialled with TLS."""

    def listen(accepting: socket.socket) -> Saw:
        return over_tls(accepting.accept()[0], context, server_side=True)

    return listen


def dialled(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)))


def says(words: bytes) -> Callable[[str], Saw]:
    """A stranger that dials in plaintext, says this and listens."""

    def dial(address: str) -> Saw:
        with dialled(address) as connection:
            connection.sendall(words)
            return heard(connection)

    return dial


def silent(accepting: socket.socket) -> Saw:
    """A stranger that is dialled and says nothing."""
    with accepting.accept()[0] as connection:
        return heard(connection)


def answers(words: bytes) -> Callable[[socket.socket], Saw]:
    """A stranger that is dialled in plaintext, says this and listens."""

    def listen(accepting: socket.socket) -> Saw:
        with accepting.accept()[0] as connection:
            connection.sendall(words)
            return heard(connection)

    return listen


def hello(version: int) -> bytes:
    """A HELLO that speaks one version alone."""
    fields = [(1, struct.pack("<HH", version, version)), (2, b"tests"), (3, b"stranger")]
    body = b"".join(struct.pack("<HH", tag, len(value)) + value for tag, value in fields)
    return HEADER.pack(len(body), HELLO, 0, 0, 0) + body


class Certificates:
    """What the rows need: authorities, good leaves and each kind of bad one."""

    def __init__(self, folder: Path) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.authority: Authority = create_authority("refusals")
        self.folder = folder
        issue = self.authority.issue
        self.good = issue(LOOPBACK)
        self.other = create_authority("another").issue(LOOPBACK)
        self.expired = issue(LOOPBACK, not_before=now - 2 * DAY, not_after=now - DAY)
        self.early = issue(LOOPBACK, not_before=now + DAY, not_after=now + 2 * DAY)
        self.misnamed = issue(["elsewhere.example"])
        self.revoked = issue(LOOPBACK)
        self.for_dialling = issue(LOOPBACK, usages=["client"])
        self.for_listening = issue(LOOPBACK, usages=["server"])
        self.crl = folder / "ca.crl"
        self.crl.write_bytes(self.authority.revoke([self.revoked]))

    def config(self, leaf: Leaf | None = None, **choices: Any) -> zt.TLSConfig:
        """A node's settings; it trusts the authority and nobody else."""
        own = leaf or self.good
        chosen: dict[str, Any] = {"trust": (self.authority.certificate_pem,), **choices}
        return zt.TLSConfig(certificate_chain=own.chain_pem, private_key=own.key_pem, **chosen)

    def required(self, **choices: Any) -> zt.TLSConfig:
        """The settings of a listener that insists on a certificate."""
        return self.config(client_auth="required", **choices)

    def anonymous(self) -> zt.TLSConfig:
        """The settings of a dialer without a certificate."""
        return zt.TLSConfig(trust=(self.authority.certificate_pem,))

    def version_1(self) -> zt.TLSConfig | None:
        """A node with a certificate of X.509 version 1, which only openssl makes."""
        if OPENSSL is None:
            return None
        paths = self.authority.write(self.folder)
        shell(
            "openssl req -new -newkey rsa:2048 -nodes -subj /CN=old -keyout v1.key -out v1.csr\n"
            "printf '' > none.ext\n"
            f"openssl x509 -req -days 1 -in v1.csr -CA {paths[0]} -CAkey {paths[1]}"
            " -set_serial 7 -out v1.pem\n",
            self.folder,
        )
        return zt.TLSConfig(
            certificate_chain_path=self.folder / "v1.pem",
            private_key_path=self.folder / "v1.key",
            trust=(self.authority.certificate_pem,),
            profile="zeebe",
        )


def table(face: Face, rows: list[Row]) -> str:
    """Meet every row and write down what each side saw."""
    lines = ["| found | decides | the dialer saw | the listener saw |", "|---|---|---|---|"]
    for row in rows:
        dialer, listener = row.meet(face, row)
        lines.append(f"| {row.name} | {row.decides} | {dialer} | {listener} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    from tests.refusal_rows import rows

    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(table(FACES[0], rows(Certificates(Path(folder)))) + "\n")


if __name__ == "__main__":
    main()
