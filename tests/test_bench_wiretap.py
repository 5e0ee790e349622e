"""What the wire carries: plaintext hops can be read, TLS hops cannot, in every variant there is."""

from __future__ import annotations

import pytest

from ztransport.bench import proxies, variants, wiretap

TOOLS, MISSING = proxies.found()


def test_a_tap_tells_clear_from_hidden() -> None:
    marker = b"marker-0"
    clear = wiretap.Tap("plain", "a", "plain", bytearray(b"x" + marker), bytearray(marker))
    one_way = wiretap.Tap("plain", "a", "plain", bytearray(marker), bytearray())
    hidden = wiretap.Tap("tls", "a", "tls", bytearray(b"\x16\x03\x01.."), bytearray(b"\x16\x03"))
    leaking = wiretap.Tap("tls", "a", "tls", bytearray(b"\x16\x03" + marker), bytearray())
    verdicts = [tap.is_as_expected(marker) for tap in (clear, one_way, hidden, leaking)]
    assert verdicts == [True, False, True, False]
    assert "NO" in wiretap.table([leaking], marker)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in variants.VARIANTS if "twin" not in name])
def test_plain_hops_can_be_read_and_tls_hops_cannot(name: str) -> None:
    variant = variants.VARIANTS[name]
    if variant.proxy in MISSING:
        pytest.skip(MISSING[variant.proxy])
    assert variant in wiretap.possible(TOOLS)
    taps, marker = wiretap.prove([variant])
    assert all(tap.is_as_expected(marker) for tap in taps), wiretap.table(taps, marker)
    clear = {tap.hop for tap in taps if tap.is_clear(marker)}
    every = {"client – broker"} if variant.proxy is None else {"client – proxy", "proxy – broker"}
    hidden = {"client – broker", "client – proxy"} if variant.dialled != "plain" else set()
    assert clear == every - hidden
    assert {tap.hop for tap in taps} - every == (
        {"proxy – proxy"} if variant.shape == "mesh" else set()
    )
