"""asyncio's own loop with length framing."""

from bench.contenders.asyncio_protocol import ProtocolContender

CONTENDER = ProtocolContender("asyncio")
