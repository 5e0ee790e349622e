"""The comparison of memberships: its loss, its counting, its percentiles."""

from __future__ import annotations

import socket
import struct

import pytest

from bench.membership import cell, isolation, loss, table


@pytest.mark.parametrize(("share", "kept"), [(0.0, 20), (1 - 2**-32, 0)])
def test_a_filter_drops_its_share_of_datagrams_at_the_receiver(share: float, kept: int) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        loss.attach(receiver, share)
        for number in range(20):
            assert sender.sendto(bytes([number]), receiver.getsockname()) == 1
        found = []
        while True:
            try:
                found.append(receiver.recv(1))
            except BlockingIOError:
                break
    assert len(found) == kept


def packet(protocol: int, transport_header: int, payload: int) -> bytes:
    header = bytes([0x45]) + bytes(8) + bytes([protocol]) + bytes(10)
    if protocol == isolation.TCP:
        start = bytes(12) + bytes([transport_header // 4 << 4])
        return header + start.ljust(transport_header, b"\0") + bytes(payload)
    return header + bytes(transport_header) + bytes(payload)


def test_traffic_is_counted_by_payload_and_whole() -> None:
    traffic = isolation.Traffic()
    traffic.add(packet(isolation.UDP, 8, 48))
    traffic.add(packet(isolation.TCP, 32, 100))
    traffic.add(packet(1, 8, 5))
    traffic.add(struct.pack("B", 0x60) + bytes(60))
    assert (traffic.udp_payload, traffic.tcp_payload) == (48, 100)
    assert traffic.whole == (20 + 8 + 48) + (20 + 32 + 100) + (20 + 8 + 5)


def test_percentiles_are_of_the_nearest_rank() -> None:
    found = cell._summary([float(number) for number in range(100, 0, -1)])
    assert (found["min"], found["p50"], found["p99"], found["max"]) == (1.0, 50.5, 99.0, 100.0)
    assert cell._summary([])["p99"] is None


def test_the_table_has_both_columns_and_names_what_is_missing() -> None:
    kills = {"kills": 10, "unnoticed": 0, "seconds_to_each": {"p50": 8.0, "p99": 9.0}}
    ours = {"contender": "ztransport", "size": 50, "loss": 1.0, "kills": kills}
    theirs = {**ours, "contender": "kinship", "kills": {**kills, "seconds_to_each": {"p50": 10.0}}}
    versions = {"ztransport": "0", "kinship": "0.4.0"}
    text = table.table({"versions": versions, "cells": [ours, theirs], "missing": ["a cell"]})
    line = next(line for line in text.splitlines() if "kill -9 to failed, p50" in line)
    assert [part.strip() for part in line.split("|")[3:6]] == ["10.00 s", "8.00 s", "0.80"]
    assert text.endswith("missing: a cell")
