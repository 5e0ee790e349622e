"""Loss of what comes by UDP, at the sockets of another process and without its doing.

A classic BPF program at each socket lets the kernel draw a random number for every datagram. The
sender sees nothing of it; TCP loses nothing. It needs no firewall, which many hosts do not have.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from pathlib import Path

PIDFD_GETFD = 438
SO_ATTACH_FILTER = 26
# struct sock_filter by linux/filter.h: load the extension SKF_AD_RANDOM, compare, keep or drop.
LOAD_WORD, JUMP_GREATER_EQUAL, RETURN = 0x20, 0x35, 0x06
RANDOM = 0xFFFF_F000 + 56
KEEP = 0xFFFF_FFFF


def program(share: float) -> bytes:
    """A filter that drops a share of datagrams, from 0 to below 1."""
    least = int(share * 2**32)
    steps = (
        (LOAD_WORD, 0, 0, RANDOM),
        (JUMP_GREATER_EQUAL, 0, 1, least),
        (RETURN, 0, 0, KEEP),
        (RETURN, 0, 0, 0),
    )
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def impose(pid: int, share: float) -> int:
    """Let every UDP socket of a child process lose a share of what it receives.

    Returns how many sockets there were. Raises OSError where the kernel refuses the look at
    another process's descriptors.
    """
    count = 0
    descriptor = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if not _is_socket(entry):
                continue
            with socket.socket(fileno=_borrow(descriptor, int(entry.name))) as borrowed:
                if borrowed.type == socket.SOCK_DGRAM and borrowed.family != socket.AF_UNIX:
                    attach(borrowed, share)
                    count += 1
    finally:
        os.close(descriptor)
    return count


def attach(place: socket.socket, share: float) -> None:
    """Put the filter at one socket."""
    steps = program(share)
    kept = ctypes.create_string_buffer(steps)
    header = struct.pack("HxxxxxxP", len(steps) // 8, ctypes.addressof(kept))
    place.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)


def _is_socket(entry: Path) -> bool:
    try:
        return entry.readlink().name.startswith("socket:")
    except OSError:  # closed meanwhile
        return False


def _borrow(descriptor: int, number: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    found: int = library.syscall(PIDFD_GETFD, descriptor, number, 0)
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"pidfd_getfd: {os.strerror(error)}")
    return found
