"""Certificates that are made to be slow to judge, shown to our listener and to our dialer."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import socket
import ssl
import statistics
import string
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import ztransport as zt
from bench.abuse.cases import Case, Row
from bench.abuse.handshakes import dial_error
from bench.abuse.raw import ALPN, HOST, Ended, Raw, dial
from bench.abuse.stage import cpu_s

NAMES = 10_000
NAMES_MS_MAX = 50.0
REFUSAL_CPU_MS_MAX = 100.0
TRIES = 10
LONG_CHAIN_BYTES = 100_000
MAZE = 150
"""As many certificates as fit into a handshake message, 64 KiB."""


@dataclass(frozen=True, slots=True)
class Shown:
    """PEM files of a chain and of its key."""

    chain: Path
    key: Path


def names(case: Case) -> None:
    """C6: 10,000 names, of which the last fits, or none."""
    short = ("".join(four) for four in itertools.product(string.ascii_lowercase, repeat=4))
    many = list(itertools.islice(short, NAMES))
    listed = _issue(case, "names", many)
    shown = [_show_to_listener(case, listed, refused=False) for _ in range(TRIES)]
    wall, cpu = (statistics.median(one[place] for one in shown) for place in (0, 1))
    case.bars.at_most("listener", wall, NAMES_MS_MAX, "ms")
    case.bars.at_most("its CPU", cpu, NAMES_MS_MAX, "ms")
    _dial(case, "names", listed, zt.NameMismatch, NAMES_MS_MAX)


def chains(case: Case) -> None:
    """C7: a chain longer than a handshake message, and one with paths without number."""
    stranger = case.stage.leaf.chain_pem
    der_bytes = len(ssl.PEM_cert_to_DER_cert(stranger[: stranger.index(b"-----END") + 25].decode()))
    long = _issue(case, "long", [HOST])
    with long.chain.open("ab") as chain:
        chain.write(stranger * (LONG_CHAIN_BYTES // der_bytes))
    for name, shown, error in (
        ("100 kB", long, zt.TLSError),
        ("maze", _maze(case, anchor_name="maze"), zt.TLSError),
        ("maze below the authority's name", _maze(case, _subject(case)), zt.TLSError),
    ):
        cpu = [_show_to_listener(case, shown, refused=True)[1] for _ in range(TRIES)]
        case.bars.at_most(f"{name}: listener", max(cpu), REFUSAL_CPU_MS_MAX, "CPU-ms")
        _dial(case, name, shown, error, REFUSAL_CPU_MS_MAX)


def _issue(case: Case, name: str, names: list[str]) -> Shown:
    chain, key = case.stage.authority.issue(names).write(case.stage.directory, name)
    return Shown(chain, key)


def _subject(case: Case) -> str:
    authority = x509.load_pem_x509_certificate(case.stage.authority.certificate_pem)
    (name,) = authority.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(name.value)


def _maze(case: Case, anchor_name: str) -> Shown:
    """Authorities of one name, so that each could have issued each, and nobody is trusted."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, anchor_name)])
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(MAZE)]
    members = [_member(name, key, signer) for key, signer in itertools.pairwise(keys)]
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf = _member(name, leaf_key, keys[-1], x509.Name([]))
    folder = case.stage.directory
    shown = Shown(folder / "maze.chain.pem", folder / "maze.key.pem")
    pem = (one.public_bytes(serialization.Encoding.PEM) for one in [leaf, *members])
    shown.chain.write_bytes(b"".join(pem))
    shown.key.write_bytes(
        leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return shown


def _member(
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    subject: x509.Name | None = None,
) -> x509.Certificate:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    serial = x509.random_serial_number()
    mine = issuer if subject is None else subject
    builder = x509.CertificateBuilder(issuer, mine, key.public_key(), serial, now - day, now + day)
    constraints = x509.BasicConstraints(ca=subject is None, path_length=None)
    return builder.add_extension(constraints, critical=True).sign(signer, hashes.SHA256())


def _show_to_listener(case: Case, shown: Shown, *, refused: bool) -> tuple[float, float]:
    """Wall ms until our listener has judged, and the CPU ms that took its process."""
    context = case.server.mutual.context()
    assert context is not None  # this target has TLS
    context.load_cert_chain(shown.chain, shown.key)
    cpu_before, begin = cpu_s(case.server), time.perf_counter()
    with Raw(dial(case.server.mutual), context) as raw:
        try:
            raw.handshake()
            raw.greet(case.server.mutual.cluster)
            was_refused = False
        except (Ended, ConnectionError):
            was_refused = True
    wall = time.perf_counter() - begin
    if was_refused != refused:
        case.bars.check(f"{shown.chain.name} refused: {was_refused}", met=False)
    return wall * 1e3, (cpu_s(case.server) - cpu_before) * 1e3


def _dial(case: Case, name: str, shown: Shown, expected: type[zt.Error], bar_ms: float) -> None:
    """What our dialer, whose thread is this one, makes of a listener that shows this."""
    with _listening(shown) as address:
        trust, cpu = zt.TLSConfig(trust=(case.tls.trust or "",)), []
        for _ in range(TRIES):
            begin = time.thread_time()
            error = trio.run(dial_error, trust, address)
            cpu.append((time.thread_time() - begin) * 1e3)
    is_expected = issubclass(error, expected)
    case.bars.check(f"{name}: dialer raises {error.__name__}", is_expected)
    case.bars.at_most(f"{name}: dialer", statistics.median(cpu), bar_ms, "CPU-ms")


@contextlib.contextmanager
def _listening(shown: Shown) -> Iterator[str]:
    """Handshake with whoever comes, and end the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.chain, shown.key)
    context.set_alpn_protocols([ALPN])
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=_shake_all, args=(listener, context))
        thread.start()
        try:
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _shake_all(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock, contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as tls:
            tls.recv(1)


ROWS = (
    Row(
        "C1",
        "not valid yet, expired, by one second; a clock that jumps a day",
        "refused",
        None,
        (
            "c1_validity_ends_and_begins_to_the_second",
            "c1_a_clock_that_jumps_a_day_takes_certificates_along",
        ),
    ),
    Row(
        "C2",
        "a certificate that expires while its connection lives",
        "ended or kept, as the policy says",
        None,
        (
            "c2_a_connection_ends_with_the_peers_certificate_without_failing_a_call",
            "c2_a_connection_outlives_the_peers_certificate_unless_told_otherwise",
        ),
    ),
    Row(
        "C3",
        "files swapped as it runs; files that are no use (under load: make rolling)",
        "the new pair counts for the next handshake, a bad one keeps the old",
        None,
        (
            "test_c3_files_that_are_swapped_count_for_the_next_handshake",
            "test_c3_files_that_cannot_be_used_keep_the_old_ones",
        ),
    ),
    Row(
        "C4",
        "an authority added, then another removed; a ticket from before",
        "refused, never resumed",
        None,
        (
            "c4_a_removed_authority_cannot_be_resumed",
            "test_c4_an_authority_is_added_and_taken_away",
        ),
    ),
    Row(
        "C5",
        "revoked leaf or intermediate; a list expired, missing, foreign, without right, of a point",
        "refused",
        None,
        (
            "c5_a_revoked_leaf_is_refused_and_told_so",
            "c5_a_new_list_ends_the_connections_of_the_revoked_and_no_others",
            "test_c5_a_new_list_ends_the_connections_of_the_revoked",
            "c5_a_revoked_intermediate_takes_its_leaves_along",
            "c5_a_list_that_has_run_out_covers_nobody",
            "c5_a_leaf_that_no_list_covers_is_refused",
            "c5_lists_are_checked_when_loaded",
            "c5_lists_of_several_distribution_points_cover_who_names_them",
            "test_c5_an_authority_without_the_right_to_revoke_is_not_heard",
        ),
    ),
    Row(
        "C6",
        f"{NAMES:,} names in a certificate",
        "≤ 50 ms, both directions",
        names,
        (
            "c6_names_match_whole_and_wildcards_one_label",
            "c6_addresses_match_as_addresses_and_common_names_never",
            "c6_an_empty_list_of_names_names_nobody",
            "c6_ten_thousand_names_are_looked_through",
            "c6_a_host_that_is_not_ascii_cannot_be_dialled",
        ),
    ),
    Row(
        "C7",
        "100 kB of chain, paths without number",
        "refused ≤ 100 CPU-ms",
        chains,
        (
            "c7_a_leaf_that_vouches_for_itself_is_untrusted",
            "c7_a_missing_intermediate_is_an_untrusted_issuer",
            "c7_a_missing_issuer_is_refused_and_strangers_in_the_chain_are_ignored",
            "c7_a_chain_of_100_kilobytes_is_refused",
            "c7_a_maze_of_namesakes_is_refused",
            "each_bad_listener_certificate_has_its_type_on_both_sides",
            "each_bad_dialer_certificate_has_its_type_on_both_sides",
        ),
    ),
    Row(
        "C8",
        "a leaf for the other role, for any, for none; an authority as leaf; foreign names",
        "refused",
        None,
        (
            "c8_strict_wants_both_usages_and_standard_does_not",
            "c8_any_usage_is_not_this_usage",
            "c8_an_authority_is_no_leaf",
            "c8_an_authority_for_some_names_issues_no_others",
            "test_c8_a_certificate_for_the_other_role",
        ),
    ),
    Row(
        "C9",
        "RSA 1024, 2052, exponent 3, SHA-1, DSA, P-192, Ed448",
        "refused in the handshake",
        None,
        (
            "c9_weak_keys_are_refused_in_the_handshake",
            "c9_signatures_with_sha_1_are_refused_in_the_handshake",
            "c9_sound_keys_of_every_kind_are_accepted",
            "test_c9_weak_keys_are_refused",
            "test_c9_a_sha1_signature_is_refused",
        ),
    ),
    Row(
        "C10",
        "no certificate, a false proof, an identity that is not let in",
        "three reasons",
        None,
        (
            "c10_no_certificate_no_proof_and_no_leave_are_three_reasons",
            "test_c10_an_identity_that_is_not_allowed",
            "test_c10_nobody_is_on_no_list",
        ),
    ),
    Row(
        "C11",
        "SPIFFE: no id, two, another domain, the root, a signing certificate",
        "refused",
        None,
        (
            "c11_spiffe_wants_one_id_of_its_own_trust_domain",
            "c11_spiffe_refuses_signing_certificates_and_needs_a_domain",
            "test_c11_spiffe",
        ),
    ),
)
