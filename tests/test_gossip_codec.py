"""The gossip codec by itself: what is encoded comes back, and nothing else is taken."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from ztransport import _errors, gossip

KEY = bytes(range(32))
words = st.integers(0, 2**64 - 1)
sids = st.integers(1, 2**64 - 1)
seqs = st.integers(0, 2**32 - 1)
incarnations = st.integers(0, 2**31 - 1)
octets = st.integers(0, 255)
names = st.text(min_size=1, max_size=60).filter(lambda text: len(text.encode()) <= 255)
ports = st.integers(0, 65_535)
addresses = st.one_of(
    st.builds("{}:{}".format, st.ip_addresses(v=4), ports),
    st.builds("[{}]:{}".format, st.ip_addresses(v=6), ports),
)


def versioned(kind: Any, **fields: Any) -> Any:
    """A member's message whose version is not above its incarnation."""
    pairs = st.tuples(incarnations, incarnations).map(sorted)
    return pairs.flatmap(
        lambda pair: st.builds(
            kind, incarnation=st.just(pair[1]), version=st.just(pair[0]), **fields
        )
    )


summaries = st.builds(
    gossip.Summary, sids, st.sampled_from(["alive", "suspect", "dead", "left"]), incarnations,
    incarnations,
)  # fmt: skip
properties = st.dictionaries(st.text(min_size=1, max_size=20), st.binary(max_size=60), max_size=4)
messages = st.one_of(
    st.builds(gossip.Ping, seqs, words),
    st.builds(gossip.Ack, seqs, words),
    st.builds(gossip.PingRequest, seqs, sids),
    st.builds(gossip.Nack, seqs),
    versioned(
        gossip.Alive, sid=sids, generation=words, reach=octets, installed=octets, ready=octets,
        address=addresses, name=names, properties=properties,
    ),
    st.builds(gossip.Suspect, sids, incarnations, sids, octets),
    st.builds(gossip.Dead, sids, incarnations, sids),
    st.builds(gossip.Left, sids, incarnations),
    versioned(gossip.Refute, sid=sids),
    st.builds(gossip.Digest, st.integers(0, 1), st.binary(min_size=1024, max_size=1024)),
    st.builds(gossip.Part, st.booleans(), st.booleans()),
    st.builds(gossip.Summaries, st.lists(summaries, max_size=5).map(tuple)),
    st.builds(gossip.Want, st.lists(sids, max_size=5).map(tuple)),
    st.builds(gossip.Hello, words, names),
    st.builds(gossip.HelloReply, words, octets, words),
)  # fmt: skip


def is_mapped(message: Any) -> bool:
    """Whether an address is an IPv4 one in IPv6's clothes, which comes back as IPv4."""
    return isinstance(message, gossip.Alive) and "::ffff:" in message.address


@hypothesis.given(st.lists(messages, max_size=4))
def test_messages_come_back(given: list[Any]) -> None:
    hypothesis.assume(not any(is_mapped(message) for message in given))
    assert gossip.decode(gossip.encode(given)) == given


@hypothesis.given(
    st.lists(messages, max_size=2),
    sids,
    st.integers(1, 2**48 - 1),
    words,
    octets,
    st.sampled_from(["sealed", "hello", "hello_reply"]),
    st.sampled_from(["chacha20-poly1305", "aes-256-gcm"]),
    st.sampled_from([KEY, None]),
)
def test_datagrams_come_back(
    given: list[Any], sender: int, counter: int, receiver: int, epoch: int, kind: Any, cipher: Any,
    key: bytes | None,
) -> None:  # fmt: skip
    body = gossip.encode(given)
    shared: dict[str, Any] = {"key": key, "cluster": "c", "receiver": receiver, "cipher": cipher}
    datagram = gossip.seal(body, sender=sender, counter=counter, epoch=epoch, kind=kind, **shared)
    assert len(datagram) == len(body) + gossip.ENVELOPE_BYTES
    opened = gossip.open(datagram, epoch=epoch, **shared)
    assert opened == (kind, epoch, sender, counter, body)


SEALED: dict[str, Any] = {"key": KEY, "cluster": "c", "receiver": 2}


@hypothesis.given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_datagram_is_refused(at: int, flip: int) -> None:
    body = gossip.encode([gossip.Suspect(5, 1, 6, 0)])
    datagram = bytearray(gossip.seal(body, sender=1, counter=1, **SEALED))
    datagram[at % len(datagram)] ^= flip
    with pytest.raises(_errors.ProtocolError):
        gossip.open(bytes(datagram), **SEALED)


@pytest.mark.parametrize(
    "other",
    [{"key": bytes(32)}, {"key": None}, {"cluster": "d"}, {"receiver": 3}, {"epoch": 1},
     {"cipher": "aes-256-gcm"}],
)  # fmt: skip
def test_a_datagram_opens_only_where_it_was_meant_to(other: dict[str, Any]) -> None:
    datagram = gossip.seal(b"", sender=1, counter=1, **SEALED)
    assert gossip.open(datagram, **SEALED).body == b""
    with pytest.raises(_errors.ProtocolError):
        gossip.open(datagram, **{**SEALED, **other})


@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_are_a_body_or_a_typed_error(body: bytes) -> None:
    try:
        found = gossip.decode(body)
    except _errors.ProtocolError:
        return
    again = gossip.decode(gossip.encode(found))
    assert again == found


def test_unknown_messages_are_left_out() -> None:
    known = gossip.encode([gossip.Nack(1)])
    assert gossip.decode(b"\x28\x02ab" + known + b"\x7f\x00") == [gossip.Nack(1)]


@pytest.mark.parametrize(
    "message",
    [
        gossip.Nack(2**32),
        "ping",
        gossip.Left(0, 1),
        gossip.Left(1, 2**31),
        gossip.Refute(1, 1, 2),
        gossip.Digest(0, b"short"),
        gossip.Digest(2, bytes(1024)),
        gossip.Hello(1, ""),
        gossip.Hello(1, "n" * 256),
        gossip.Alive(1, 1, 0, 0, 1, 0, 0, "localhost:1", "n"),
        gossip.Alive(1, 1, 0, 0, 1, 0, 0, "127.0.0.1:1", "n", {"k": bytes(766)}),
        gossip.Summaries((gossip.Summary(1, "asleep", 0, 0),)),  # type: ignore[arg-type]
    ],
)
def test_a_field_out_of_its_range_is_refused(message: Any) -> None:
    with pytest.raises(_errors.ConfigurationError):
        gossip.encode([message])


def test_a_refusal_names_its_class_once() -> None:
    for message in (gossip.Ping(-1, 2), gossip.Hello(1, "n" * 256)):
        with pytest.raises(_errors.ConfigurationError) as raised:
            gossip.encode([message])
        assert "Error" not in str(raised.value)


def test_a_body_has_its_limit() -> None:
    digest = gossip.Digest(0, bytes(1024))
    assert len(gossip.encode([digest] * 8)) < gossip.DATAGRAM_BYTES_MAX - gossip.ENVELOPE_BYTES
    with pytest.raises(_errors.LimitExceeded):
        gossip.encode([digest] * 9)
    room = gossip.DATAGRAM_BYTES_MAX - gossip.ENVELOPE_BYTES
    assert len(gossip.seal(bytes(room), sender=1, counter=1, **SEALED)) == room + 34
    with pytest.raises(_errors.LimitExceeded):
        gossip.seal(bytes(room + 1), sender=1, counter=1, **SEALED)


@pytest.mark.parametrize(
    "wrong",
    [{"sender": 0}, {"counter": 0}, {"counter": 2**48}, {"kind": "loud"}, {"cipher": "rot13"},
     {"key": b"short"}, {"key": "text"}, {"sender": -1}, {"sender": 2**64}, {"receiver": 2**64},
     {"epoch": 256}],
)  # fmt: skip
def test_what_cannot_be_sealed_is_refused(wrong: dict[str, Any]) -> None:
    chosen: dict[str, Any] = {**SEALED, "sender": 1, "counter": 1, **wrong}
    with pytest.raises(_errors.ConfigurationError):
        gossip.seal(b"", **chosen)


def test_fifty_suspicions_fit_a_datagram() -> None:
    suspicions = [gossip.Suspect(sid, 1, 7, 0) for sid in range(1, 59)]
    assert len(gossip.encode(suspicions)) + gossip.ENVELOPE_BYTES <= 1_200
