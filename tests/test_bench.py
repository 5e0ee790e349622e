"""The main job's parts that need no time: plan, tables, records, proxies, the gate, the taps."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
import trio

from ztransport.bench import (
    blocks,
    environment,
    processes,
    proxies,
    record,
    report,
    runner,
    variants,
    windows,
    wiretap,
)

TLS13 = {"version": "TLSv1.3", "cipher_suite": proxies.CIPHER_SUITE, "group": proxies.GROUP}
CELLS = [blocks.Cell(variant, work) for variant in variants.VARIANTS for work in blocks.WORKS]


def measured(block: int, order: int, cell: blocks.Cell, count: int = 1000) -> blocks.Measured:
    secured = variants.VARIANTS[cell.variant].dialled != variants.PLAIN
    cpu = [0.01, 0.0, 0.02] if variants.VARIANTS[cell.variant].upstream else [0.01]
    window = windows.Window(count, 1.0, 0.005, cpu, p50_us=20.0, p99_us=40.0)
    return blocks.measured(block, order, cell, window, TLS13 if secured else None)


def test_every_block_holds_every_cell_and_a_seed_repeats_the_order() -> None:
    first = blocks.run(CELLS, 3, 1e9, 7, measured)
    again = blocks.run(CELLS, 3, 1e9, 7, measured)
    assert first == again
    for block in range(3):
        ran = [blocks.Cell(one.variant, one.work) for one in first if one.block == block]
        assert sorted(ran, key=repr) == sorted(CELLS, key=repr)
    assert [one.variant for one in first[:10]] != [one.variant for one in first[10:20]]


def test_the_budget_ends_a_run_after_a_whole_block() -> None:
    assert len(blocks.run(CELLS, 50, 0.0, 7, measured)) == len(CELLS)


def test_the_table_takes_ratios_within_a_block() -> None:
    plain, tls = blocks.Cell("plain", "ping × 1"), blocks.Cell("tls", "ping × 1")
    found = [measured(0, 0, plain, 1000), measured(0, 1, tls, 500)]
    found += [measured(1, 0, plain, 4000), measured(1, 1, tls, 3000)]
    table = blocks.table(found).splitlines()
    assert len(table) == 4
    assert "0.62 [0.50 – 0.75]" in table[3]


def test_cpu_is_shared_out_by_role() -> None:
    one = measured(0, 0, blocks.Cell("proxy-tls", "ping × 1"))
    assert (one.client_cpu_us, one.broker_cpu_us, one.proxy_cpu_us) == (5.0, 10.0, 20.0)
    assert measured(0, 0, blocks.Cell("tls", "ping × 1")).proxy_cpu_us is None


def test_quantities_read_like_quantities() -> None:
    shown = [report.quantity(value, "/s") for value in (260_400, 8.6e6, 12.34, None)]
    assert shown == ["260 k/s", "8.60 M/s", "12.3 /s", "–"]


def test_a_record_comes_back_and_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    found = record.create(runner.KIND, ["ztransport", "bench run"], 7, {"windows": []})
    record.write(tmp_path / "new" / "a.json", found)
    assert runner.load(tmp_path / "new" / "a.json") == json.loads(json.dumps(found))
    for text in ("{}", "[1]", "no json", '{"schema_version": 1, "kind": "other"}'):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(processes.BenchError, match=r"^[^\n]*is no record of bench run[^\n]*$"):
            runner.load(tmp_path / "b.json")
    with pytest.raises(processes.BenchError, match="No such file"):
        runner.load(tmp_path / "missing.json")


def test_an_equal_negotiation_passes_and_a_different_one_is_refused() -> None:
    found = [measured(0, 0, cell) for cell in CELLS]
    runner.refuse_mismatch(found)
    for one in found:
        if one.variant == "proxy-tls":
            one.negotiated = {**TLS13, "group": "P-256"}
    with pytest.raises(processes.BenchError, match="proxy-tls negotiated TLSv1.3 .* P-256 where"):
        runner.refuse_mismatch(found)


def test_tls_on_a_plain_variant_is_refused() -> None:
    found = [measured(0, 0, cell) for cell in CELLS]
    found[0].negotiated = TLS13
    with pytest.raises(processes.BenchError, match="plain negotiated TLSv1.3"):
        runner.refuse_mismatch(found)


def test_a_tap_tells_clear_from_hidden() -> None:
    marker = b"marker-0"
    clear = wiretap.Tap("plain", "a", "plain", bytearray(b"x" + marker), bytearray(marker))
    one_way = wiretap.Tap("plain", "a", "plain", bytearray(marker), bytearray())
    hidden = wiretap.Tap("tls", "a", "tls", bytearray(b"\x16\x03\x01.."), bytearray(b"\x16\x03"))
    leaking = wiretap.Tap("tls", "a", "tls", bytearray(b"\x16\x03" + marker), bytearray())
    verdicts = [tap.is_as_expected(marker) for tap in (clear, one_way, hidden, leaking)]
    assert verdicts == [True, False, True, False]
    assert "NO" in wiretap.table([leaking], marker)


PROGRAM = """\
#!{python}
import sys
sys.stderr.write('''{said}''')
"""
WHOLE = "nginx version: nginx/1.28.0\nbuilt with OpenSSL 3.5.0\n --with-stream_ssl_module"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("nginx version: nginx/1.20.1 --with-stream_ssl_module", "older than 1.21.4"),
        ("nginx version: nginx/1.28.0 --with-http_ssl_module", "no TLS for streams"),
        (WHOLE + " --with-stream=dynamic --modules-path=/nowhere", "lacks the stream module"),
        ("", "older than"),
    ],
)
def test_an_nginx_that_cannot_serve_is_one_line(
    said: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nginx(tmp_path, monkeypatch, said)
    with pytest.raises(processes.BenchError, match=rf"{reason}.*install nginx"):
        proxies.find_nginx()


def test_an_nginx_on_the_path_is_taken_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_nginx(tmp_path, monkeypatch, WHOLE)
    found = proxies.find_nginx()
    assert (found.path, found.version) == (str(tmp_path / "nginx"), "nginx/1.28.0")
    assert found.tls_library == "OpenSSL 3.5.0"


def fake_nginx(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    program = folder / "nginx"
    program.write_text(PROGRAM.format(python=sys.executable, said=said))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


def test_no_nginx_at_all_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(processes.BenchError, match="no nginx on PATH"):
        proxies.find_nginx()


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(processes.BenchError, match=f"port {port}: Address already in use"):
            proxies.refuse_taken(port)


def test_nginx_relays_and_leaves_nothing_behind() -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        proxy = proxies.Proxy(proxies.free_port(), upstream.getsockname()[1])
        with proxies.Nginx(proxies.find_nginx(), [proxy]) as nginx:
            pids = nginx.pids
            assert len(pids) == 2
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                client.sendall(b"through")
                assert relayed(upstream) == b"through"
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def relayed(upstream: socket.socket) -> bytes:
    """What the first connection that carries bytes carries; readiness probes carry none."""
    while True:
        with upstream.accept()[0] as accepted:
            if data := accepted.recv(64):
                return data


def test_a_role_that_ends_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('the key file is missing')"]
    role = processes.Role("broker", command, tmp_path / "broker")
    with pytest.raises(processes.BenchError, match="^broker ended: the key file is missing$"):
        role.answer()
    role.close()


async def test_a_phase_is_closed_loop_and_counts_each_call() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        await trio.lowlevel.checkpoint()

    stretch = windows.phase(0.002)
    await windows.repeat(call, stretch)
    assert calls == len(stretch.latencies_ns) > 0


def test_percentiles_need_calls() -> None:
    begin = windows.Reading(0, 0, (0,))
    end = windows.Reading(1_000_000_000, 500_000_000, (250_000_000,))
    few = windows.window(begin, end, 3, [3_000, 1_000, 2_000])
    assert (few.p50_us, few.p99_us, few.own_cpu_s, few.cpu_s) == (2.0, None, 0.5, [0.25])
    many = windows.window(begin, end, 100, [n * 1_000 for n in range(100)])
    assert (many.p50_us, many.p99_us) == (50.0, 99.0)


def test_a_gone_process_has_no_cpu_and_no_memory() -> None:
    gone = 2**22 - 1
    assert environment.cpu_ns(gone) == environment.resident_bytes(gone) == 0
