"""`ztransport members`: the table it shows, and what it makes of its options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import trio

import ztransport as zt
from ztransport import members
from ztransport.membership import Member

KEY = bytes(range(32))


def observer(*seeds: str) -> members.Observer:
    return members.Observer(
        seeds=seeds,
        cluster="tests",
        protocol="zt/1",
        key=KEY,
        sealing=None,
        transport="udp",
        listen="127.0.0.1:0",
        tls=None,
    )


def test_a_table_is_aligned_and_printable() -> None:
    shown = members.table(
        [
            Member("a", "127.0.0.1:1", "alive", 7, 0, {"role": b"broker", "raw": b"\x1b[2J\xff"}),
            Member("long" * 20, "[::1]:65535", "suspect", 7, 12, {}),
        ]
    ).splitlines()
    assert shown[0].split() == list(members.HEADERS)
    assert shown[1].endswith("role=broker raw=·[2J�")
    assert shown[2].startswith("longlonglonglonglonglonglonglon…")
    assert shown[1].index("alive") == shown[2].index("suspect")


async def test_the_table_follows_the_cluster() -> None:
    shown: list[str] = []
    send, receive = trio.open_memory_channel[str](100)

    def show(text: str) -> None:
        send.send_nowait(text)

    opened = zt.open_node("127.0.0.1:0", cluster="tests", node_id="a", tls=None)
    async with opened as node, trio.open_nursery() as nursery:
        async with zt.open_cluster(node, key=KEY):
            assert node.address is not None
            seen = observer(node.address)
            nursery.start_soon(lambda: members.watch(seen, show, "table"))
            async for text in receive:
                shown.append(text)
                if "\na  " in text:
                    break
        async for text in receive:
            if " left " in text:
                break
        nursery.cancel_scope.cancel()
    assert "role=observer" in shown[0]


async def test_without_a_terminal_each_change_is_one_line() -> None:
    opened = zt.open_node("127.0.0.1:0", cluster="tests", node_id="a", tls=None)
    async with opened as node:
        program = "from ztransport.cli import main; main()"
        command = [sys.executable, "-c", program, "members", str(node.address)]
        command += ["--cluster", "tests", "--sealing", "none"]
        watching = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert watching.stdout is not None
        said = b""
        try:
            async with zt.open_cluster(node, sealing="none"):
                while b"joined\ta\t" not in said:
                    said += await watching.stdout.receive_some()
            while b"left\ta\t" not in said:
                said += await watching.stdout.receive_some()
        finally:
            watching.kill()
            await watching.wait()
    lines = [line.split("\t") for line in said.decode().splitlines()]
    assert [len(line) for line in lines] == [3] * len(lines)
    assert lines[0][0] == "joined"
    assert lines[0][1].startswith("observer-")
    address = str(node.address)
    assert [line for line in lines if line[1] == "a"] == [
        ["joined", "a", address],
        ["left", "a", address],
    ]


@pytest.mark.parametrize("protocol", ["zt/1", "zeebe"])
async def test_the_command_shows_the_table_once(protocol: Literal["zt/1", "zeebe"]) -> None:
    both: tuple[Literal["zt/1", "zeebe"], ...] = ("zt/1", "zeebe")
    address = "127.0.0.1:0"
    opened = zt.open_node(address, cluster="tests", node_id="a", tls=None, protocols=both)
    async with opened as node, zt.open_cluster(node, sealing="none", protocol=protocol):
        program = "from ztransport.cli import main; main()"
        command = [sys.executable, "-c", program, "members", str(node.address)]
        command += ["--cluster", "tests", "--sealing", "none", "--protocol", protocol, "--once"]
        ended = await trio.run_process(command, capture_stdout=True)
        lines = ended.stdout.decode().splitlines()
        assert lines[1].startswith("a  ")
        assert "observer-" in lines[2]


def test_a_key_file_holds_bytes_or_digits(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for content in (KEY, KEY.hex().encode() + b"\n"):
        file.write_bytes(content)
        assert members.read_key(file) == KEY
    file.write_text("no key")
    with pytest.raises(zt.ConfigurationError, match="64 hexadecimal digits"):
        members.read_key(file)


async def test_who_is_not_answered_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "ANSWER_SECONDS_MAX", 0.0)
    with pytest.raises(zt.ConnectFailed, match=r"at 127\.0\.0\.1:1: look at"):
        await members.watch(observer("127.0.0.1:1"), print, "once")


def test_without_a_key_it_does_not_join() -> None:
    program = "from ztransport.cli import main; main()"
    command = [sys.executable, "-c", program, "members", "127.0.0.1:1", "--cluster", "tests"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert 'sealing="none"' in ended.stderr
