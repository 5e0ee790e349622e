"""The abuse run itself: every row is there, and what it leaves to other tests exists."""

from __future__ import annotations

import pytest

from bench.abuse import records, wire
from bench.abuse.__main__ import ROWS
from bench.abuse.cases import Bars
from tests import house_tree as tree

LISTED = {*range(1, 31), 32}
CERTIFICATES = set(range(1, 12))
AGAIN_FOR_ZEEBE = {1, 2, 3, 8, 9, 10, 11, 15}


def test_every_row_is_there_once() -> None:
    ids = [row.id for row in ROWS]
    expected = {f"T{number}" for number in LISTED} | {"S1", "S2", "S3", "K1"}
    expected |= {f"C{number}" for number in CERTIFICATES}
    expected |= {f"T{number}z" for number in AGAIN_FOR_ZEEBE}
    expected |= {f"U{number}" for number in range(1, 9)}
    assert sorted(ids) == sorted(expected)


@pytest.mark.parametrize("row", [row for row in ROWS if row.covered_by], ids=lambda row: row.id)
def test_what_a_row_leaves_to_other_tests_exists(row: object) -> None:
    sources = [tree.text_of(name) for name in tree.tracked() if name.endswith((".rs", ".py"))]
    for name in row.covered_by:  # type: ignore[attr-defined]
        assert any(f"fn {name}(" in text or f"def {name}(" in text for text in sources), name


def test_a_row_that_is_not_run_names_its_tests() -> None:
    assert all(row.run is not None or row.covered_by for row in ROWS)


def test_a_missed_bar_is_kept_and_told() -> None:
    bars = Bars()
    bars.at_most("kept", 1, 1, "s")
    bars.at_most("missed", 2, 1, "s")
    bars.exactly("count", 3, 4)
    assert bars.measured == ["kept 1 s", "missed 2 s", "count 3 instead of 4"]
    assert bars.missed == ["missed 2 s", "count 3 instead of 4"]


def test_frames_are_cut_wherever_their_bytes_are() -> None:
    said = wire.hello("c") + wire.request(1, wire.request_id(1, 0), b"x") + wire.frame(wire.PING)
    whole = wire.Decoder().take(said)
    assert [one.kind for one in whole] == [wire.HELLO, wire.REQUEST, wire.PING]
    for cut in range(len(said) + 1):
        decoder = wire.Decoder()
        assert decoder.take(said[:cut]) + decoder.take(said[cut:]) == whole


def test_records_are_sealed_as_in_rfc_8448() -> None:
    """The client's application data of RFC 8448 section 3."""
    secret = bytes.fromhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
    sealer = records.Sealer(secret, "TLS_AES_128_GCM_SHA256")
    record = sealer.seal(records.APPLICATION_DATA, bytes(range(50)))
    assert record.hex().startswith("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bc")
