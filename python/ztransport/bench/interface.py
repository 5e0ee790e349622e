"""How a network interface treats what it carries: its queueing discipline and its offloads.

Both are asked of the kernel itself: the programs that show them are not on every machine.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Iterator

__all__ = ["offloads", "queueing"]

SIOCETHTOOL = 0x8946
NAME_BYTES, REQUEST_BYTES = 16, 40
OFFLOADS = {
    "rx-checksum": 0x14,
    "tx-checksum": 0x16,
    "scatter-gather": 0x18,
    "tcp-segmentation": 0x1E,
    "generic-segmentation": 0x23,
    "generic-receive": 0x2B,
}
"""Names and the kernel's ETHTOOL_G… commands of linux/ethtool.h."""

RTM_GETLINK, NLM_F_REQUEST, IFLA_QDISC = 18, 1, 6
NETLINK_HEADER, LINK_HEADER, ATTRIBUTE_HEADER = "=IHHII", "=BxHiII", "=HH"
ANSWER_BYTES_MAX = 65_536


def offloads(interface: str) -> dict[str, bool] | None:
    """Which work the interface takes from the processor; None where the kernel does not tell."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            return {name: _is_on(asking, interface, code) for name, code in OFFLOADS.items()}
        except OSError:
            return None


def queueing(interface: str) -> str | None:
    """The queueing discipline, as "noqueue" or "fq_codel"; None where the kernel does not tell."""
    try:
        index = socket.if_nametoindex(interface)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
            asking.send(_link_request(index))
            answer = asking.recv(ANSWER_BYTES_MAX)
    except OSError:
        return None
    begin = struct.calcsize(NETLINK_HEADER) + struct.calcsize(LINK_HEADER)
    found = dict(_attributes(answer[begin:])).get(IFLA_QDISC)
    return found.rstrip(b"\0").decode() if found else None


def _is_on(asking: socket.socket, interface: str, command: int) -> bool:
    """Ask as ethtool(8) does: a struct ifreq that points to a struct ethtool_value."""
    value = array.array("I", [command, 0])
    address, _ = value.buffer_info()
    request = struct.pack(f"{NAME_BYTES}sP", interface.encode(), address)
    fcntl.ioctl(asking, SIOCETHTOOL, request.ljust(REQUEST_BYTES, b"\0"))
    return value[1] != 0


def _link_request(index: int) -> bytes:
    body = struct.pack(LINK_HEADER, socket.AF_UNSPEC, 0, index, 0, 0)
    length = struct.calcsize(NETLINK_HEADER) + len(body)
    return struct.pack(NETLINK_HEADER, length, RTM_GETLINK, NLM_F_REQUEST, 1, 0) + body


def _attributes(rest: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute of a netlink(7) answer; they begin at multiples of four."""
    header = struct.calcsize(ATTRIBUTE_HEADER)
    while len(rest) >= header:
        length, kind = struct.unpack_from(ATTRIBUTE_HEADER, rest)
        if length < header:
            return
        yield kind, rest[header:length]
        rest = rest[(length + 3) & ~3 :]
