"""ztransport under uvloop."""

import uvloop

from bench.contenders.zt_asyncio import AsyncioFace
from bench.contenders.zt_face import FaceContender

CONTENDER = FaceContender(AsyncioFace("ztransport uvloop", uvloop.new_event_loop))
