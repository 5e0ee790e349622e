"""aiofastnet's transports on uvloop with length framing."""

import aiofastnet
import uvloop

from bench.contenders.asyncio_protocol import ProtocolContender

CONTENDER = ProtocolContender("aiofastnet+uvloop", aiofastnet.loop_factory(uvloop.new_event_loop))
