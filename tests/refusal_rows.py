"""The rows of the table of refusals: who meets whom, and what each side must see."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import ztransport as zt
from tests import refusals as r
from tests.refusals import Certificates, Row

DIALER, LISTENER = "dialer", "listener"
Pair = tuple[type[zt.Error], type[zt.Error]]


def rows(made: Certificates) -> list[Row]:
    """Every row, in the order of the documentation."""
    return [
        *bad_certificates(made),
        *bad_dates(made),
        *old_certificates(made),
        *identities(made),
        *protocols(made),
        *timeouts(made),
    ]


def nodes(name: str, decides: str, saw: Pair, listening: Any, dialling: Any) -> Row:
    """Two nodes; `saw` is what dialer and listener raise and log."""
    sides = [one if isinstance(one, dict) else {"tls": one} for one in (listening, dialling)]
    dialer, listener = (kind.__name__ for kind in saw)
    return Row(name, decides, dialer, listener, r.two_nodes, *sides)


def both(
    name: str, kind: type[zt.Error], made: Certificates, leaf: Any, **judging: Any
) -> Iterator[Row]:
    """A bad certificate that a listener shows, and then one that a dialer shows."""
    bad = made.config(leaf)
    saw = (kind, kind)
    yield nodes(name, DIALER, saw, bad, made.config(**judging))
    yield nodes(name, LISTENER, saw, made.required(**judging), bad)


def bad_certificates(made: Certificates) -> Iterator[Row]:
    """What is wrong with a certificate, apart from its dates and version."""
    yield from both("untrusted issuer", zt.UntrustedIssuer, made, made.other)
    both_saw = (zt.NameMismatch, zt.TLSError)
    yield nodes("another name", DIALER, both_saw, made.config(made.misnamed), made.config())
    lists = (made.crl,)
    yield from both("revoked", zt.CertificateRevoked, made, made.revoked, crl_paths=lists)
    for leaf, decides in ((made.for_dialling, DIALER), (made.for_listening, LISTENER)):
        rows = both("wrong usage", zt.WrongKeyUsage, made, leaf)
        yield from (row for row in rows if row.decides == decides)
    saw = (zt.ClientCertificateRequired, zt.ClientCertificateRequired)
    yield nodes("no client certificate", LISTENER, saw, made.required(), made.anonymous())


def bad_dates(made: Certificates) -> Iterator[Row]:
    """No node opens with a chain that is not valid now, so another library shows it."""
    told = "alert certificate expired"
    for name, leaf, kind in (
        ("expired", made.expired, "CertificateExpired"),
        ("not yet valid", made.early, "CertificateNotYetValid"),
    ):
        stranger = r.listener(r.context_of(leaf, server=True))
        own = {"tls": made.config()}
        yield Row(name, DIALER, kind, told, r.strange_listener, stranger, own)
        stranger_dialling = r.dialer(r.context_of(leaf, server=False))
        asking = {"tls": made.required()}
        yield Row(name, LISTENER, told, kind, r.strange_dialer, asking, stranger_dialling)


def old_certificates(made: Certificates) -> Iterator[Row]:
    """X.509 version 1."""
    if (old := made.version_1()) is None:
        return
    named = "certificate version 1"
    yield nodes(named, DIALER, (zt.CertificateVersion, zt.TLSError), old, made.config())
    yield nodes(named, LISTENER, (zt.TLSError, zt.CertificateVersion), made.required(), old)


def identities(made: Certificates) -> Iterator[Row]:
    """A sound certificate of somebody who may not be here, or not under this name."""
    kind = zt.IdentityNotAllowed
    only = ("spiffe://cluster/gateway/*",)
    yield from both("identity not allowed", kind, made, None, allowed_identities=only)
    ids = {"*": "{node_id}.example"}
    yield from both("node id not in the certificate", kind, made, None, node_identities=ids)
    roles = {"*": "spiffe://cluster/{role}/{node_id}"}
    for row in both("role not in the certificate", kind, made, None, role_identities=roles):
        claimed = {**(row.listening if row.decides == DIALER else row.dialling), "roles": ("x",)}
        side = {"listening": claimed} if row.decides == DIALER else {"dialling": claimed}
        yield Row(**{**vars(row), **side})
    saw = (kind, kind)
    permissive = {"tls": made.config(allowed_identities=only), "accept": "permissive"}
    yield nodes("plaintext peer where identities are asked for", LISTENER, saw, permissive, None)


def protocols(made: Certificates) -> Iterator[Row]:
    """The two sides do not speak the same."""
    saw: Pair = (zt.TLSPeer, zt.PlaintextPeer)
    yield nodes("plaintext peer on a TLS port", LISTENER, saw, made.config(), None)
    saw = (zt.PlaintextPeer, zt.TLSPeer)
    yield nodes("TLS peer on a plaintext port", LISTENER, saw, None, made.config())
    old = r.context_of(None, server=False)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    name, kind, own = "wrong TLS version", "ProtocolVersionRefused", {"tls": made.config()}
    told = "alert protocol version"
    yield Row(name, LISTENER, told, kind, r.strange_dialer, own, r.dialer(old))
    old = r.context_of(made.good, server=True)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    listening = r.listener(old)
    saw_it = "unsupported protocol"
    yield Row(name, LISTENER, kind, saw_it, r.strange_listener, listening, own)
    name, plain = "wrong protocol version", {"tls": None}
    newer = r.says(r.PREFACE + r.hello(2))
    yield Row(name, LISTENER, "fault 12", kind, r.strange_dialer, plain, newer)
    answer = r.answers(r.hello(2))
    yield Row(name, DIALER, kind, "fault 12", r.strange_listener, answer, plain)
    name, kind = "wrong ALPN", "ALPNRefused"
    other = r.dialer(r.context_of(None, server=False, alpn="h2"))
    told = "alert no application protocol"
    yield Row(name, LISTENER, told, kind, r.strange_dialer, own, other)
    without = r.listener(r.context_of(made.good, server=True, alpn=None))
    yield Row(name, DIALER, kind, "end", r.strange_listener, without, own)
    saw = (zt.WrongCluster, zt.WrongCluster)
    there = {"tls": made.config(), "cluster": "another"}
    yield nodes("wrong cluster", LISTENER, saw, made.config(), there)


def timeouts(made: Certificates) -> Iterator[Row]:
    """One side falls silent before it has greeted."""
    name, kind = "handshake timeout", "HandshakeTimeout"
    own = {"tls": made.config(), "limits": r.SOON}
    yield Row(name, DIALER, kind, "end", r.strange_listener, r.silent, own)
    yield Row(name, LISTENER, kind, kind, r.held_back, own, {"tls": made.config()})
    name, plain = "no greeting in time", {"tls": None, "limits": r.SOON}
    yield Row(name, LISTENER, kind, kind, r.held_back, plain, {"tls": None})
