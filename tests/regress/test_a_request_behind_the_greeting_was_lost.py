"""A request in the same write as the greeting was taken and never handed out."""

from __future__ import annotations

import pytest
import trio

import ztransport as zt
from bench.abuse import wire
from bench.abuse.raw import Raw, Target, dial

CLUSTER = "tests"


def _ask_with_the_greeting(target: Target) -> bytes:
    with Raw(dial(target), None) as raw:
        opening = wire.PREFACE + wire.hello(CLUSTER) + wire.subject(1, "echo")
        raw.send(opening + wire.request(1, wire.request_id(1, 0), b"first"))
        answer = raw.expect(wire.REPLY).body
        raw.say_goodbye()
        raw.end()
        return answer


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_request_behind_the_greeting_is_answered(is_async: bool) -> None:
    async def echo(message: zt.Message) -> bytes:
        return message.payload

    async with zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="server", tls=None) as node:
        node.handle("echo", echo if is_async else lambda message: message.payload)
        assert node.address is not None
        target = Target(node.address, CLUSTER)
        assert await trio.to_thread.run_sync(_ask_with_the_greeting, target) == b"first"
