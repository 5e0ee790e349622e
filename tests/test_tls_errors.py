"""The table of what each side sees of a refusal is what happens, on every face."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import ztransport as zt
from tests import house_tree as tree
from tests.openssl import needs_openssl
from tests.refusal_rows import rows
from tests.refusals import Certificates, Row, Saw, refused_peers, table
from tests.test_api_faces import FACES, Face, every_face
from ztransport._node import LOG_INTERVAL_SECONDS, RateLimited


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("refusals"))


def check(saw: Saw, expected: str, row: Row) -> None:
    """One side's word: a node's exception says who, why, and what to do about it."""
    assert str(saw).strip('`"') == expected, (row.name, row.decides, saw)
    if (error := saw.error) is None:
        return
    assert isinstance(error, zt.TLSError | zt.WrongCluster), error
    assert error.peer, (row.name, error)
    assert error.cause, (row.name, error)
    assert error.remedy, (row.name, error)
    assert str(error) == f"{error.peer}: {error.cause}; {error.remedy}"


@contextmanager
def lines() -> Iterator[list[str]]:
    """What the logger says, line by line."""
    said: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger("ztransport")
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


@every_face
def test_each_side_sees_what_the_table_says(face: Face, made: Certificates) -> None:
    for row in rows(made):
        dialer, listener = row.meet(face, row)
        check(dialer, row.dialer, row)
        check(listener, row.listener, row)


def test_a_name_that_does_not_match_is_told_with_the_names_that_do(made: Certificates) -> None:
    (row,) = (row for row in rows(made) if row.name == "another name")
    error = row.meet(FACES[0], row)[0].error
    assert error is not None
    assert "elsewhere.example" in error.cause
    assert "127.0.0.1" in error.cause


@needs_openssl
def test_the_documentation_shows_this_table(made: Certificates) -> None:
    assert table(FACES[0], rows(made)) in tree.text_of("docs/TLS.md")


def test_refusals_are_logged_at_a_bounded_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("ztransport._node.time.monotonic", lambda: now[0])
    log = RateLimited()
    with refused_peers() as logged, lines() as said:
        for _ in range(100):
            log.refused(zt.PlaintextPeer("a: it"))
        log.refused(zt.UntrustedIssuer("b: it"))
        now[0] = LOG_INTERVAL_SECONDS
        log.refused(zt.PlaintextPeer("c: it"))
    assert [type(error) for error in logged] == [
        zt.PlaintextPeer,
        zt.UntrustedIssuer,
        zt.PlaintextPeer,
    ]
    assert said == [
        "refused: PlaintextPeer: a: it",
        "refused: UntrustedIssuer: b: it",
        "refused: PlaintextPeer: c: it (99 more like this were left out)",
    ]


def test_every_type_of_tls_error_has_a_row(made: Certificates) -> None:
    seen = {word for row in rows(made) for word in (row.dialer, row.listener)}
    named = {one.__name__ for one in zt.TLSError.__subclasses__()} - {"CertificateVersion"}
    assert named <= seen
