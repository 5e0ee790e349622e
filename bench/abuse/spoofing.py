"""Datagrams that seem to come from somebody else, and what the kernel did with datagrams."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

__all__ = ["Spoofer", "dropped_by_kernel"]

Endpoint = tuple[str, int]

IP_HEADER_BYTES, UDP_HEADER_BYTES, HOPS = 20, 8, 64


class Spoofer:
    """Sends UDP to one place with the source address of another, by a raw socket.

    Raises PermissionError without CAP_NET_RAW.
    """

    def __init__(self, source: Endpoint, to: Endpoint) -> None:
        self._source, self._to = source, to
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def packet(self, payload: bytes) -> bytes:
        """Put the headers of IPv4 (RFC 791) and UDP (RFC 768, without a checksum) before it."""
        (host, port), (to_host, to_port) = self._source, self._to
        length = UDP_HEADER_BYTES + len(payload)
        addresses = socket.inet_aton(host) + socket.inet_aton(to_host)
        # The kernel fills in the identification and the checksum.
        head = struct.pack(
            "!BBHHHBBH", 0x45, 0, IP_HEADER_BYTES + length, 0, 0, HOPS, socket.IPPROTO_UDP, 0
        )
        return head + addresses + struct.pack("!HHHH", port, to_port, length, 0) + payload

    def send(self, packet: bytes) -> None:
        """Send what `packet` has made."""
        self._raw.sendto(packet, (self._to[0], 0))


def dropped_by_kernel(port: int) -> int:
    """Datagrams to a UDP port of this machine for which its socket had no room, so far."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            return int(fields[-1])
    raise LookupError(f"no UDP socket has port {port}")
