"""A network of its own for a cell: nothing else is on its loopback, so all of it can be counted."""

from __future__ import annotations

import fcntl
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
ETH_P_ALL = 3
PACKET_OUTGOING = 4
TCP, UDP = 6, 17
PACKET_BYTES_MAX = 65_536
WAKE_SECONDS = 0.2
WRAPPER = ["unshare", "--user", "--map-root-user", "--net"]


def raise_loopback() -> None:
    """Bring up the loopback of a fresh network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


@dataclass(slots=True)
class Traffic:
    """Bytes seen so far: payloads by protocol, and whole IPv4 packets."""

    udp_payload: int = 0
    tcp_payload: int = 0
    whole: int = 0

    def add(self, packet: bytes) -> None:
        """Count one IPv4 packet."""
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return
        header, length, protocol = 4 * (packet[0] & 15), len(packet), packet[9]
        self.whole += length
        if protocol == UDP:
            self.udp_payload += length - header - 8
        elif protocol == TCP:
            self.tcp_payload += length - header - 4 * (packet[header + 12] >> 4)


@contextmanager
def counted() -> Iterator[Traffic]:
    """Count what crosses the loopback during the block, each packet once."""
    traffic, over = Traffic(), threading.Event()
    kind = socket.SOCK_DGRAM  # without the link's header
    with socket.socket(socket.AF_PACKET, kind, socket.htons(ETH_P_ALL)) as tap:
        tap.bind(("lo", ETH_P_ALL))
        tap.settimeout(WAKE_SECONDS)
        reader = threading.Thread(target=_read, args=(tap, traffic, over))
        reader.start()
        try:
            yield traffic
        finally:
            over.set()
            reader.join()


def _read(tap: socket.socket, traffic: Traffic, over: threading.Event) -> None:
    while not over.is_set():
        try:
            packet, where = tap.recvfrom(PACKET_BYTES_MAX)
        except TimeoutError:
            continue
        if where[2] == PACKET_OUTGOING:
            traffic.add(packet)


def cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process, to the nanosecond as the scheduler counts it."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    nanos = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
    return nanos / 1e9
