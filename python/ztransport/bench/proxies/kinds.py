"""The proxies a run can put into the path, by name."""

from __future__ import annotations

from ztransport.bench.processes import BenchError
from ztransport.bench.proxies.envoy import ENVOY
from ztransport.bench.proxies.haproxy import HAPROXY
from ztransport.bench.proxies.model import Kind, Tool
from ztransport.bench.proxies.nginx import NGINX
from ztransport.bench.proxies.relay import RELAY
from ztransport.bench.proxies.stunnel import STUNNEL

__all__ = ["KINDS", "found"]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (NGINX, HAPROXY, ENVOY, STUNNEL, RELAY)}


def found() -> tuple[dict[str, Tool], dict[str, str]]:
    """The proxies of this machine, and why and how to mend it for each that is missing."""
    tools, missing = dict[str, Tool](), dict[str, str]()
    for name, kind in KINDS.items():
        try:
            tools[name] = kind.find()
        except BenchError as error:
            missing[name] = str(error)
    return tools, missing
