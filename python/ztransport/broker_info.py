"""What a Zeebe broker says of itself in its property ``brokerInfo``."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from ztransport import _ztransport
from ztransport._errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

BROKER_INFO: Final = "brokerInfo"
"""The key of the property."""

PartitionRole = Literal["leader", "follower", "inactive", "unknown"]
"""What a broker does in a partition; ``unknown`` is a newer release's word."""

PartitionHealth = Literal["healthy", "unhealthy", "dead", "unknown"]
"""How a partition does on a broker; ``unknown`` is a newer release's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerInfo:
    """Partitions, roles, terms and health of one broker, as Zeebe's class of this name has them."""

    node_id: int
    """The broker's number, from 0."""
    partitions_count: int
    """Partitions of the cluster."""
    cluster_size: int
    """Brokers of the cluster."""
    replication_factor: int
    """Brokers that have each partition."""
    version: str
    """The broker's release."""
    addresses: Mapping[str, str] = field(hash=False)
    """Addresses by what they are for; ``commandApi`` takes commands."""
    roles: Mapping[int, PartitionRole] = field(hash=False)
    """The broker's role by partition, at most 254."""
    terms: Mapping[int, int] = field(hash=False)
    """Terms by partition, of those it leads."""
    health: Mapping[int, PartitionHealth] = field(hash=False)
    """Health by partition."""

    @classmethod
    def decode(cls, value: bytes) -> BrokerInfo:
        """Read the property's value: Base64 around SBE, template 201, at most 32 KiB.

        Raises `ProtocolError` for anything else.
        """
        try:
            fields = _ztransport.decode_broker_info(value)
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        for name in ("addresses", "roles", "terms", "health"):
            fields[name] = MappingProxyType(fields[name])
        return cls(**fields)


def broker_info(properties: Mapping[str, bytes]) -> BrokerInfo | None:
    """Read ``brokerInfo`` out of a member's properties; none if it is no broker.

    Raises `ProtocolError` if the property is there and cannot be read.
    """
    value = properties.get(BROKER_INFO)
    return None if value is None else BrokerInfo.decode(value)
