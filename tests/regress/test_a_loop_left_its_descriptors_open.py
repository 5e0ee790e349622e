"""Every loop that ended left its engine's poller and timer behind, until no descriptor was free."""

from __future__ import annotations

import gc
from pathlib import Path

from tests.test_api_faces import Face, every_face, pair

DESCRIPTORS = Path("/proc/self/fd")


@every_face
def test_a_loop_that_ends_closes_its_descriptors(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("echo", lambda message: message.payload)
            assert await peer.request("echo", b"x") == b"x"

    def left_open() -> int:
        face.run(main)
        gc.collect()
        return len(list(DESCRIPTORS.iterdir()))

    assert left_open() == left_open()
