"""What a proxy is to a run: a program found on this machine, and legs it is to relay."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ztransport.bench.fairness import Files
from ztransport.bench.processes import BenchError

__all__ = [
    "Kind",
    "Leg",
    "Ports",
    "Tool",
    "first_usable",
    "on_path",
    "packaged",
    "said_by",
    "scripted",
]

SAY_S_MAX = 20.0
PORT_TRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that can be a proxy, with what a reader must know to judge its figures."""

    path: str
    version: str
    build: str
    tls_library: str
    module: str | None = None
    """A file that the program must load to relay, where that is not built in."""

    def described(self) -> dict[str, str]:
        """For the record; where it lies on this machine is nobody's business."""
        return {"version": self.version, "build": self.build, "tls_library": self.tls_library}


@dataclass(frozen=True, slots=True)
class Leg:
    """One listening port of the loopback interface and the port it leads to.

    `accepts_tls`: TLS ends here, with the run's certificate. `dials_tls`: TLS begins here.
    """

    port: int
    upstream_port: int
    accepts_tls: bool = False
    dials_tls: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One proxy program: how it is found, configured and started, and what it can be.

    `find` raises BenchError when no usable one is on this machine. `configure` gives the files of
    its folder by name; `command` starts it there in the foreground.
    """

    name: str
    find: Callable[[], Tool]
    configure: Callable[[Tool, Sequence[Leg], Files], dict[str, str]]
    command: Callable[[Tool, Path], list[str]]
    shapes: tuple[str, ...]
    answers_alpn: bool = True
    processes_min: int = 1


class Ports:
    """Ports to listen on: in a row from `first`, or any free ones when that is 0."""

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._taken = set[int]()

    def take(self) -> int:
        """The next port, never the same again. Raises BenchError when somebody listens there."""
        for _ in range(PORT_TRIES_MAX):
            # Whoever got a port may not listen there yet, and then the system gives it out again.
            if (port := self._free()) not in self._taken:
                self._taken.add(port)
                return port
        raise BenchError("the system gives the same ports again and again; name some with --port")

    def _free(self) -> int:
        wanted = self._next
        try:
            with socket.create_server(("127.0.0.1", wanted)) as probe:
                port: int = probe.getsockname()[1]
        except OSError as error:
            why = os.strerror(error.errno or 0)
            reason = f"port {wanted}: {why}; choose others with --port"
            raise BenchError(reason) from None
        self._next = wanted + 1 if wanted else 0
        return port


def on_path(*names: str) -> Iterator[str]:
    """Programs of these names on PATH, without the scripts of this interpreter's own packages.

    An activated environment has its scripts first on PATH, where they hide the system's programs.
    """
    folders = dict.fromkeys(os.path.realpath(one) for one in os.get_exec_path() if one)
    folders.pop(os.path.realpath(Path(sys.executable).parent), None)
    for name in names:
        for folder in folders:
            if found := shutil.which(name, path=folder):
                yield found


def scripted(name: str) -> Iterator[str]:
    """The script of a package beside this interpreter; it becomes the program it starts."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is not None:
        yield found


def packaged(package: str, inside: str) -> Iterator[str]:
    """A program that an installed package carries, by its path inside of it."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / inside
        if path.is_file():
            yield str(path)


def first_usable(
    name: str, paths: Iterator[str], examine: Callable[[str], Tool | str], remedy: str
) -> Tool:
    """The first program that `examine` makes a tool of; its reasons else, as BenchError."""
    reasons = []
    for path in paths:
        found = examine(path)
        if isinstance(found, Tool):
            return found
        reasons.append(f"{path} {found}")
    why = "; ".join(reasons) or f"no {name} on PATH"
    raise BenchError(f"no usable {name} ({why}): {remedy}, or leave it out: --without {name}")


def said_by(path: str, option: str) -> str:
    """What a program prints about itself; empty when it does not run."""
    try:
        done = subprocess.run(
            [path, option], capture_output=True, text=True, timeout=SAY_S_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
