"""What a record says of the machine and of the programs, so that it can be measured again."""

from __future__ import annotations

import ast
import json
import shutil
import struct
import subprocess
import tomllib
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from tests.bench_runs import manifest
from ztransport import _ztransport as extension
from ztransport.bench import environment, fairness, interface, machine, proxies
from ztransport.bench.record import open_run

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "bench/records/standard-2026-11-29"


def schema() -> dict[str, object]:
    """The shipped schema of a manifest, which demands all it describes of an environment."""
    text = resources.files("ztransport.bench").joinpath("schemas/manifest.json").read_text()
    found: dict[str, object] = json.loads(text)
    strict = found["properties"]["environment"]  # type: ignore[index]
    strict["required"] = list(strict["properties"])
    inner = strict["properties"]["machine"]
    inner["required"] = list(inner["properties"])
    return found


def test_the_extension_names_the_versions_of_the_lock_file() -> None:
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    built = extension.built_with()
    for name in ("rustls", "aws-lc-rs", "aws-lc-sys"):
        locked = [one["version"] for one in lock["package"] if one["name"] == name]
        assert [built[name]] == locked, f"built with another {name}: make build"


def test_what_is_collected_is_what_the_schema_describes() -> None:
    made = manifest() | {"environment": environment.collect()}
    jsonschema.Draft202012Validator(schema()).validate(made)


def test_a_record_from_before_is_read_as_it_is(tmp_path: Path) -> None:
    shutil.copytree(KEPT, tmp_path, dirs_exist_ok=True)
    old = json.loads((KEPT / "manifest.json").read_text(encoding="utf-8"))
    del old["tls"], old["environment"]["built_with"], old["environment"]["idle"]
    (tmp_path / "manifest.json").write_text(json.dumps(old), encoding="utf-8")
    assert open_run(tmp_path).manifest == old


def test_the_relay_names_the_library_it_ends_tls_with() -> None:
    built = extension.built_with()
    told = proxies.KINDS["relay"].find().tls_library
    assert told == f"rustls {built['rustls']} (aws-lc-rs {built['aws-lc-rs']})"


def test_the_roles_wait_as_the_record_says() -> None:
    told = environment.idle_strategies()
    assert set(told.values()) <= {"sleep", "adaptive", "spin"}
    for role in ("broker", "gateway"):
        source = ast.parse((ROOT / f"python/ztransport/{role}.py").read_text(encoding="utf-8"))
        opened = [one for one in ast.walk(source) if isinstance(one, ast.Call)]
        given = {word.arg for call in opened for word in call.keywords}
        assert "idle" not in given, f"{role} chooses its own: say which in idle_strategies"


def test_other_workloads_have_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.collect()["sha256"]
    monkeypatch.setattr(environment, "DATA", ("schemas/window.json",))
    assert set(environment.collect()["sha256"].values()).isdisjoint(before.values())  # type: ignore[attr-defined]


def test_the_certificate_is_told_as_it_is_shown(tmp_path: Path) -> None:
    told = fairness.certificate(fairness.issue(tmp_path))
    assert (told["key"], told["signature"]) == ("ECDSA secp256r1", "ecdsa_secp256r1_sha256")
    assert told["chain_certificates"] == 2  # the leaf and its authority
    assert 300 < int(str(told["chain_bytes"])) < 2_000


def test_the_interface_is_asked_of_the_kernel() -> None:
    offloads = interface.offloads(machine.LOOPBACK)
    assert offloads is not None
    assert offloads.keys() == interface.OFFLOADS.keys()
    assert interface.offloads("nowhere0") is None
    assert interface.queueing("nowhere0") is None


@pytest.mark.skipif(shutil.which("ip") is None, reason="no ip(8) to compare with")
def test_the_queueing_is_what_ip_says() -> None:
    said = subprocess.run(["ip", "link", "show", "lo"], capture_output=True, text=True, check=True)
    words = said.stdout.split()
    assert interface.queueing("lo") == words[words.index("qdisc") + 1]


def test_attributes_are_read_at_multiples_of_four() -> None:
    name = struct.pack("=HH3sx", 7, 3, b"lo\0")
    kind = struct.pack("=HH8s", 12, interface.IFLA_QDISC, b"noqueue\0")
    assert dict(interface._attributes(name + kind)) == {3: b"lo\0", 6: b"noqueue\0"}
    assert dict(interface._attributes(name + b"\0\0\0\0" + kind)) == {3: b"lo\0"}
