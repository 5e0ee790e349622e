"""The ways a message travels from the generator to the broker, as a factorial.

`plain`, `tls` and `mtls` are the broker's own doors; `plain` has two twins, which are the same once
more in processes of their own. With each proxy in front of the plain door, `proxy-plain` is the hop
without encryption, `proxy-tls` ends TLS at the proxy, and `proxy-mesh` is plaintext to a proxy on
the client's host, TLS between two proxies, and plaintext to the broker. Where a gateway stands in
front of the broker the variant is the way to the gateway; from there to the broker it is the door
the variant has without its proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ztransport.bench.processes import BenchError
from ztransport.bench.proxies import KINDS, Leg, Ports

__all__ = ["MTLS", "PLAIN", "TLS", "TWINS", "VARIANTS", "Variant", "Way", "chosen", "way"]

PLAIN, TLS, MTLS = "plain", "tls", "mtls"
TWINS = ("plain-twin-1", "plain-twin-2")


@dataclass(frozen=True, slots=True)
class Variant:
    """How the generator dials ("plain", "tls", "mtls"), and through which proxy in which shape."""

    name: str
    dialled: str
    shape: str | None = None
    proxy: str | None = None
    broker: str = "ztransport.broker"
    """The module that is the broker: another one is measured as a variant of its own."""

    @property
    def listened(self) -> str:
        """How the gateway or the broker is dialled in the end."""
        return self.dialled if self.proxy is None else PLAIN

    @property
    def require_alpn(self) -> bool:
        """Whether what the generator dials answers ALPN."""
        return self.proxy is None or KINDS[self.proxy].answers_alpn

    @property
    def encrypts_between_proxies(self) -> bool:
        """Whether there is a hop that neither the generator nor the broker can tell about."""
        return self.shape == "mesh"


@dataclass(frozen=True, slots=True)
class Way:
    """Ports from the generator to one entry: the legs of both proxies, and what is dialled first.

    `heard` is a leg of the client's proxy that leads to nobody: whoever listens on its upstream
    port can hear how that proxy dials.
    """

    port: int
    server_legs: tuple[Leg, ...] = ()
    client_legs: tuple[Leg, ...] = ()
    heard: Leg | None = None


def _variants() -> list[Variant]:
    direct = [Variant(name, PLAIN) for name in (PLAIN, *TWINS)]
    direct += [Variant(name, name) for name in (TLS, MTLS)]
    return direct + [
        Variant(f"proxy-{shape}:{kind.name}", TLS if shape == "tls" else PLAIN, shape, kind.name)
        for kind in KINDS.values()
        for shape in kind.shapes
    ]


VARIANTS = {variant.name: variant for variant in _variants()}


def chosen(names: Sequence[str]) -> list[Variant]:
    """The variants of these names, in their own order. Raises BenchError for a name unknown."""
    for name in names:
        if name not in VARIANTS:
            known = ", ".join(VARIANTS)
            raise BenchError(f"there is no variant {name}: choose among {known}")
    return [variant for variant in VARIANTS.values() if variant.name in names]


def way(variant: Variant, ports: Ports, upstream_port: int) -> Way:
    """Plan the way to an entry that listens on `upstream_port`. Raises BenchError, see `Ports`."""
    if variant.shape is None:
        return Way(upstream_port)
    server = Leg(ports.take(), upstream_port, accepts_tls=variant.shape != "plain")
    if variant.shape != "mesh":
        return Way(server.port, (server,))
    client = Leg(ports.take(), server.port, dials_tls=True)
    heard = Leg(ports.take(), ports.take(), dials_tls=True)
    return Way(client.port, (server,), (client, heard), heard)
