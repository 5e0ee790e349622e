"""Rows about membership: random bytes, forgeries at line rate, and members that stand still."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from bench.abuse.cases import Case, Row
from bench.abuse.member import CLUSTER
from bench.abuse.spoofing import Spoofer, dropped_by_kernel
from bench.abuse.stage import Child, cpu_s
from ztransport import gossip

HOST = "127.0.0.1"
LENGTHS_MAX = 65_507
FLOOD_S = 30.0
STILL_S = 10.0
SEEN_S_MAX = 60.0
POLL_S = 0.1
FORGERIES = 4_096
DATAGRAM_BYTES = 1_200
# Enough for a receive buffer of 300 MiB.
OVERFLOW_ROUNDS_MAX = 64
# What a whole drop may cost the process, the kernel's part of receiving included.
DROP_US_MAX = 10.0
HEADER_BYTES = 18


class Members:
    """Three members that know each other, and a socket that a first greeting was sent to."""

    def __init__(self, case: Case) -> None:
        self.attacker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.attacker.bind((HOST, 0))
        trap = f"{HOST}:{self.attacker.getsockname()[1]}"
        self.children = [case.stage.member("a", [trap])]
        # Its id stands in the clear: whoever hears the network knows it.
        self.sid = int.from_bytes(self.attacker.recv(2_048)[4:12], "little")
        for name in ("b", "c"):
            self.children.append(case.stage.member(name, [self.children[0].address]))
        wait(lambda: all(len(facts(child)["members"]) == 3 for child in self.children))

    def target(self, index: int) -> tuple[str, int]:
        """Where a member takes datagrams."""
        host, _, port = self.children[index].address.rpartition(":")
        return host, int(port)

    def answers(self) -> int:
        """Datagrams that came back to the attacker, greetings of the first member left out."""
        self.attacker.setblocking(False)
        count = 0
        while True:
            try:
                kind = self.attacker.recv(2_048)[1] & 0x0F
            except BlockingIOError:
                return count
            count += kind != 1


def facts(child: Child) -> dict[str, Any]:
    """What a member says now."""
    said: dict[str, Any] = child.ask("facts")
    return said


def wait(true: Callable[[], bool]) -> float:
    """Wait until something is so, at most a minute; the seconds it took."""
    begin = time.monotonic()
    while not true():
        if time.monotonic() - begin > SEEN_S_MAX:
            raise TimeoutError(f"not within {SEEN_S_MAX:.0f} s")
        time.sleep(POLL_S)
    return time.monotonic() - begin


def ended(child: Child) -> dict[str, int]:
    """Members that this one took for dead or gone."""
    seen: dict[str, int] = facts(child)["seen"]
    return {what: n for what, n in seen.items() if what.startswith(("failed", "left"))}


def random_bytes(case: Case) -> None:
    """U1: random bytes of every length, as far as UDP has them."""
    members, chance = Members(case), random.Random(case.seed)
    victim, before = members.children[1], facts(members.children[1])
    noise, cpu = chance.randbytes(LENGTHS_MAX + FORGERIES), cpu_s(victim)
    for length in range(LENGTHS_MAX + 1):
        start = chance.randrange(FORGERIES)
        members.attacker.sendto(noise[start : start + length], members.target(1))
    spent, after = cpu_s(victim) - cpu, facts(victim)
    count = sum(after["dropped"].values()) - sum(before["dropped"].values())
    case.bars.note(f"{count:,} of {LENGTHS_MAX + 1:,} reached the socket and were dropped")
    case.bars.at_most("a drop with its receive", 1e6 * spent / max(count, 1), DROP_US_MAX, "µs CPU")
    _unharmed(case, members)


def forgeries(case: Case) -> None:
    """U2: well-formed datagrams in a member's name under another key, as fast as one core sends.

    Every other one also has another member's address as its source.
    """
    members, chance = Members(case), random.Random(case.seed)
    victim, owner = members.children[1:]
    before, owned = facts(victim), facts(owner)
    made = [_forgery(members.sid, number, chance) for number in range(FORGERIES)]
    cpu = cpu_s(victim)
    sent = _flood(case, members, made)
    spent, after = cpu_s(victim) - cpu, facts(victim)
    forged = after["dropped"].get("forged", 0) - before["dropped"].get("forged", 0)
    strange = after["dropped"].get("unknown_sender", 0)
    case.bars.note(f"{sent / FLOOD_S:,.0f} sent per s, {(forged + strange) / FLOOD_S:,.0f} dropped")
    case.bars.check(f"{forged:,} forged in a member's name", forged > 0)
    cost = 1e6 * spent / max(forged + strange, 1)
    case.bars.at_most("a drop with its receive", cost, DROP_US_MAX, "µs CPU")
    answered = sum(facts(owner)["dropped"].values()) - sum(owned["dropped"].values())
    case.bars.exactly("strange datagrams at the member whose address was taken", answered, 0)
    _unharmed(case, members)


def _flood(case: Case, members: Members, made: list[bytes]) -> int:
    """Send them again and again for a while; how many that were."""
    victim = members.target(1)
    sends: list[tuple[Callable[[bytes], object], list[bytes]]] = [
        (lambda datagram: members.attacker.sendto(datagram, victim), made)
    ]
    try:
        spoofer = Spoofer(members.target(2), victim)
        sends.append((spoofer.send, [spoofer.packet(datagram) for datagram in made]))
    except PermissionError:
        case.bars.note("no raw socket without CAP_NET_RAW: from the attacker's address alone")
    end, sent = time.monotonic() + FLOOD_S, 0
    while time.monotonic() < end:
        for send, packets in sends:
            for packet in packets:
                send(packet)
            sent += len(packets)
    return sent


def _forgery(sid: int, number: int, chance: random.Random) -> bytes:
    """A death of the member itself or of another, three in four in the member's name."""
    body = gossip.encode([gossip.Dead(sid, 1, sid), gossip.Left(chance.randrange(1, 2**64), 0)])
    return gossip.seal(
        body,
        key=chance.randbytes(32),
        cluster=CLUSTER,
        sender=sid if number % 4 else chance.randrange(1, 2**64),
        counter=2**40 + number,
        receiver=chance.randrange(2**64),
    )


def _unharmed(case: Case, members: Members) -> None:
    """Everybody is there, nobody was taken for dead, and nothing was answered."""
    case.bars.exactly("replies", members.answers(), 0)
    for child in members.children:
        case.bars.check(f"{child.title} lost {ended(child) or 0}", not ended(child))
    wait(lambda: all(len(facts(child)["members"]) == 3 for child in members.children))
    case.bars.note("3 members in every view")


def standing_still(case: Case) -> None:
    """U7: one process is stopped, then the loop of another stands still, 10 s each.

    The stopped one's socket is filled until the kernel has no room for more.
    """
    members = Members(case)
    a, b, c = members.children
    b.send(signal.SIGSTOP)
    dropped = _overflow(members)
    case.bars.check(f"{dropped:,} datagrams to the stopped one found no room", dropped > 0)
    time.sleep(STILL_S)
    b.send(signal.SIGCONT)
    back = wait(lambda: all(len(facts(child)["members"]) == 3 for child in (a, b, c)))
    case.bars.at_most("all views whole again after SIGCONT", back, STILL_S, "s")
    for child in (a, c):
        others = {what: n for what, n in ended(child).items() if what != "failed b"}
        case.bars.check(f"{child.title} lost beside the stopped one {others or 0}", not others)
    case.bars.check(f"the stopped one lost {ended(b) or 0}", not ended(b))
    case.bars.note(f"it refuted {facts(b)['refutations']} times")
    lost = [dict(ended(child)) for child in (a, b)]
    stalled = c.ask({"stall": STILL_S})
    case.bars.check(f"health after a stalled loop {stalled['health']}", stalled["health"] > 0)
    case.bars.check("nobody lost the stalled one", [ended(a), ended(b)] == lost)
    case.bars.check(f"it lost {ended(c) or 0}", "failed a" not in ended(c))


def _overflow(members: Members) -> int:
    """Fill the second member's socket; datagrams that found no room."""
    port, noise = members.target(1)[1], bytes(DATAGRAM_BYTES)
    for _ in range(OVERFLOW_ROUNDS_MAX):
        for _ in range(FORGERIES):
            members.attacker.sendto(noise, members.target(1))
        if dropped := dropped_by_kernel(port):
            return dropped
    return 0


ROWS = (
    Row(
        "U1",
        "random datagrams of every length, 0 to 65,507 bytes",
        "all dropped, 0 replies, 0 members lost; <= 10 µs CPU each with the receive (the door alone"
        " <= 150 ns: codec bench)",
        random_bytes,
        ("g_1_u1_random_bytes_of_every_length_are_dropped_without_a_reply",
         "g_1_u1_no_random_datagram_of_any_length_is_answered"),
    ),
    Row(
        "U2",
        "well-formed forgeries in a member's name, half from another's address, at line rate, 30 s",
        "0 replies, 0 false deaths; <= 10 µs CPU each with the receive (the door alone <= 3 µs: "
        "codec bench)",
        forgeries,
        ("g_6_u2_a_forgery_changes_nothing_and_is_not_answered",
         "g_8_u2_a_flood_of_forgeries_buries_nobody"),
    ),
    Row("U3", "replays to anybody, after restart, rotation and reap, to a late joiner",
        "0 state changes", None,
        ("g_6_u3_recorded_traffic_does_nothing_anywhere",
         "g_7_u3_a_late_joiner_takes_nothing_that_was_recorded_before",
         "g_9_u3_what_a_forgotten_member_said_stays_without_effect",
         "g_60_u3_what_was_recorded_before_a_rotation_is_worthless")),
    Row("U4", "reflection: replies before proof, and what a request to ping costs",
        "<= 1.0 in bytes and packets", None,
        ("g_56_u4_a_request_to_ping_costs_no_more_than_it",
         "g_20_u4_a_greeting_costs_one_shorter_reply_at_most",
         "g_20_u4_a_greeting_shorter_than_its_answer_gets_none")),
    Row("U5", "oversize, cut and truncated datagrams, and the longest that is sent",
        "dropped and counted; none sent above 1,200 bytes", None,
        ("test_datagrams_that_are_too_long_are_counted",
         "g_1_u5_cut_and_oversized_datagrams_are_dropped_and_counted",
         "g_1_u5_whatever_there_is_to_tell_no_datagram_is_longer")),
    Row("U6", "stolen key: forged deaths, the last incarnation, a taken name, a clock far ahead",
        "refuted within one period", None,
        ("g_32_u6_the_accused_refutes_with_the_next_incarnation",
         "g_32_u6_a_death_that_was_forged_is_refuted_within_a_period",
         "g_33_u6_a_stolen_name_with_a_clock_far_ahead_is_taken_back",
         "g_36_u6_what_cannot_be_refuted_ends_one_life")),
    Row(
        "U7",
        "SIGSTOP for 10 s with a full socket; a loop that stands still for 10 s",
        "no false death of others; back within 10 s; a stalled loop is poor health and no death",
        standing_still,
        ("test_a_loop_that_stands_still_is_poor_health_and_no_death",
         "g_55_u7_a_member_that_stood_still_buries_nobody",
         "g_55_u7_a_long_sleeper_is_back_and_has_buried_nobody"),
    ),
    Row("U8", "rotation with a laggard", "named; never two members without a common key", None,
        ("test_a_rotation_names_its_laggards_and_ends_when_all_hold_the_key",
         "g_60_u8_a_rotation_ends_when_all_hold_the_key",
         "g_61_u8_a_laggard_is_named_and_not_cut_off",
         "g_60_u8_never_are_two_members_without_a_common_key")),
)  # fmt: skip
