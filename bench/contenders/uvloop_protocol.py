"""uvloop with length framing."""

import uvloop

from bench.contenders.asyncio_protocol import ProtocolContender

CONTENDER = ProtocolContender("uvloop", uvloop.new_event_loop)
