"""Real proxies in the path: found, configured for a fair comparison, started and ended.

Fair means TLS 1.3 with the suite, group and certificate every variant uses, no resumption, one
worker, no delayed segments, no access log, and ZT/1 as application protocol where the program can
say so, so that a dialler cannot tell it from a broker.
"""

from ztransport.bench.proxies.kinds import KINDS, found
from ztransport.bench.proxies.model import Kind, Leg, Ports, Tool
from ztransport.bench.proxies.running import Proxy

__all__ = ["KINDS", "Kind", "Leg", "Ports", "Proxy", "Tool", "found"]
