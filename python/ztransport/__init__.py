"""Framed messages over TLS 1.3 between Python processes: requests, one-way messages and streams.

This is the face for Trio; `ztransport.aio` has the same names for asyncio. Begin with `open_node`::

    async with zt.open_node("127.0.0.1:0", cluster="orders", node_id="a", tls=tls) as node:
        node.handle("echo", lambda message: message.payload)
        peer = await node.connect(node.address)
        assert await peer.request("echo", b"hello", timeout=1.0) == b"hello"

Everything raised on purpose is below `Error`.
"""

from ztransport import gossip as gossip
from ztransport._errors import ALPNRefused as ALPNRefused
from ztransport._errors import AlreadyAnswered as AlreadyAnswered
from ztransport._errors import CertificateExpired as CertificateExpired
from ztransport._errors import CertificateNotYetValid as CertificateNotYetValid
from ztransport._errors import CertificateRevoked as CertificateRevoked
from ztransport._errors import CertificateVersion as CertificateVersion
from ztransport._errors import ClientCertificateRequired as ClientCertificateRequired
from ztransport._errors import Closed as Closed
from ztransport._errors import ConfigurationError as ConfigurationError
from ztransport._errors import ConnectFailed as ConnectFailed
from ztransport._errors import ConnectionLost as ConnectionLost
from ztransport._errors import DeadlineExceeded as DeadlineExceeded
from ztransport._errors import Error as Error
from ztransport._errors import HandlerFailure as HandlerFailure
from ztransport._errors import HandshakeTimeout as HandshakeTimeout
from ztransport._errors import IdentityNotAllowed as IdentityNotAllowed
from ztransport._errors import LimitExceeded as LimitExceeded
from ztransport._errors import NameMismatch as NameMismatch
from ztransport._errors import NoHandler as NoHandler
from ztransport._errors import NotAuthorized as NotAuthorized
from ztransport._errors import NotSupported as NotSupported
from ztransport._errors import Overloaded as Overloaded
from ztransport._errors import PlaintextPeer as PlaintextPeer
from ztransport._errors import ProtocolError as ProtocolError
from ztransport._errors import ProtocolVersionRefused as ProtocolVersionRefused
from ztransport._errors import Reject as Reject
from ztransport._errors import Rejected as Rejected
from ztransport._errors import ShuttingDown as ShuttingDown
from ztransport._errors import TLSError as TLSError
from ztransport._errors import TLSPeer as TLSPeer
from ztransport._errors import UntrustedIssuer as UntrustedIssuer
from ztransport._errors import UsedAfterFork as UsedAfterFork
from ztransport._errors import WouldBlock as WouldBlock
from ztransport._errors import WrongCluster as WrongCluster
from ztransport._errors import WrongKeyUsage as WrongKeyUsage
from ztransport._errors import WrongThread as WrongThread
from ztransport._trio_loop import Node as Node
from ztransport._trio_loop import Peer as Peer
from ztransport._trio_loop import Stream as Stream
from ztransport._trio_loop import Subscription as Subscription
from ztransport._trio_loop import open_node as open_node
from ztransport._ztransport import Message as Message
from ztransport._ztransport import NodeStatistics as NodeStatistics
from ztransport._ztransport import PeerStatistics as PeerStatistics
from ztransport._ztransport import Reply as Reply
from ztransport.broker_info import BrokerInfo as BrokerInfo
from ztransport.broker_info import broker_info as broker_info
from ztransport.cluster import open_cluster as open_cluster
from ztransport.config import ClusterSettings as ClusterSettings
from ztransport.config import Limits as Limits
from ztransport.membership import Cluster as Cluster
from ztransport.membership import ClusterStatistics as ClusterStatistics
from ztransport.membership import KeyRotation as KeyRotation
from ztransport.membership import Member as Member
from ztransport.membership import MemberEvent as MemberEvent
from ztransport.membership import MemberEvents as MemberEvents
from ztransport.membership import RotationProgress as RotationProgress
from ztransport.security import Identity as Identity
from ztransport.security import TLSConfig as TLSConfig
from ztransport.security import TLSSession as TLSSession
from ztransport.zeebe_settings import zeebe_membership as zeebe_membership
from ztransport.zeebe_settings import zeebe_security as zeebe_security
