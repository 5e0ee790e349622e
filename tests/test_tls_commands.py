"""`ztransport certs` and `ztransport tls check`: what they make, find, say and exit with."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from typer.testing import CliRunner, Result

import ztransport as zt
from tests.openssl import needs_openssl, shell
from ztransport import cli
from ztransport.certs import Authority, create_authority

TIMEOUT_S = 60


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def problems(result: Result) -> dict[str, set[str]]:
    """Severities by problem, out of the JSON."""
    found: dict[str, set[str]] = {}
    for one in json.loads(result.stdout):
        assert set(one) == {"severity", "subject", "problem", "remedy"}
        assert one["severity"] == "info" or one["remedy"], one
        found.setdefault(one["severity"], set()).add(one["problem"])
    return found


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with an authority and the nodes a and b."""
    folder = tmp_path / "pki"
    result = run("certs", "init", folder, "a=127.0.0.1,localhost", "b=127.0.0.1")
    assert result.exit_code == 0, result.output
    return folder


def config(folder: Path, node: str) -> zt.TLSConfig:
    return zt.TLSConfig(
        certificate_chain_path=folder / f"{node}.chain.pem",
        private_key_path=folder / f"{node}.key.pem",
        trust=(folder / "ca.pem",),
        client_auth="required",
        profile="strict",
    )


async def test_the_walk_through_in_one_line(made: Path) -> None:
    run("certs", "issue", made, "c", "127.0.0.1", "spiffe://cluster/c")
    async with (
        zt.open_node("127.0.0.1:0", cluster="c", node_id="a", tls=config(made, "a")) as server,
        zt.open_node(None, cluster="c", node_id="c", tls=config(made, "c")) as client,
    ):
        server.handle("who", lambda message: ",".join(message.peer.identity.uri).encode())
        peer = await client.connect(server.address or "")
        assert await peer.request("who", b"") == b"spiffe://cluster/c"


def test_keys_are_private_and_an_authority_is_never_replaced(made: Path) -> None:
    for key in ("ca.key", "a.key.pem", "b.key.pem"):
        assert (made / key).stat().st_mode & 0o777 == 0o600
    before = (made / "ca.key").read_bytes()
    result = run("certs", "init", made)
    assert isinstance(result.exception, zt.ConfigurationError)
    assert (made / "ca.key").read_bytes() == before


@pytest.mark.parametrize("node", ["../out", "", "a/b"])
def test_a_node_writes_nowhere_else(made: Path, node: str) -> None:
    assert isinstance(run("certs", "issue", made, node, "x").exception, zt.ConfigurationError)
    assert run("certs", "issue", made / "none", "a", "x").exception is not None


def test_show_says_what_decides(made: Path) -> None:
    result = run("certs", "show", made / "a.chain.pem", "--json")
    leaf, authority = json.loads(result.stdout)
    assert leaf["names"] == "127.0.0.1, localhost"
    assert leaf["usages"] == "serverAuth, clientAuth"
    assert (leaf["authority"], authority["authority"]) == ("no", "yes")
    assert "CN=cluster.local" in run("certs", "show", made / "ca.pem").stdout
    assert run("certs", "show", made / "a.key.pem").exception is not None


@pytest.mark.parametrize("profile", ["standard", "strict", "zeebe"])
def test_what_init_makes_is_in_order(made: Path, profile: str) -> None:
    trust: list[str | Path] = ["--trust", made / "ca.pem", "--profile", profile]
    result = run("tls", "check", made / "a.chain.pem", made / "a.key.pem", *trust, "--json")
    assert result.exit_code == 0, result.output
    assert set(problems(result)) == {"info"}


def test_every_problem_is_found_at_once(authority: Authority, tmp_path: Path) -> None:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    leaf = authority.issue(["a"], not_before=now - 3 * day, not_after=now - day, usages=["client"])
    chain, key = leaf.write(tmp_path, "node")
    chain.write_bytes(chain.read_bytes().split(b"-----END CERTIFICATE-----\n")[0])
    chain.write_bytes(chain.read_bytes() + b"-----END CERTIFICATE-----\n")
    key.chmod(0o644)
    result = run("tls", "check", chain, key, tmp_path / "gone.pem", "--json")
    assert result.exit_code == 1
    found = problems(result)
    errors, warnings = " ".join(found["error"]), " ".join(found["warning"])
    for words in ("has expired at", "can be read", "No such file"):
        assert words in errors
    for words in ("cannot be used to listen", "lacks the issuer"):
        assert words in warnings
    said = run("tls", "check", chain, key).stdout
    assert "error   " in said
    assert "chmod 600" in said


def test_the_engine_has_the_last_word(made: Path) -> None:
    result = run("tls", "check", made / "a.chain.pem", made / "b.key.pem", "--json")
    assert result.exit_code == 1
    assert "is not the key of the first certificate" in " ".join(problems(result)["error"])


@needs_openssl
def test_an_encrypted_key_is_checked_with_its_password(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("openssl pkcs8 -topk8 -in a.key.pem -out sealed.pem -passout pass:secret", made)
    monkeypatch.setenv("ZT_TEST_PASSWORD", "secret")
    files: list[str | Path] = ["tls", "check", made / "a.chain.pem", made / "sealed.pem"]
    assert run(*files, "--password", "env:ZT_TEST_PASSWORD").exit_code == 0
    assert run(*files).exit_code == 1
    assert isinstance(run(*files, "--password", "secret").exception, zt.ConfigurationError)


async def checked(address: str, *options: str | Path) -> Result:
    return await trio.to_thread.run_sync(lambda: run("tls", "check", address, *options, "--json"))


async def test_a_listener_is_dialled(made: Path) -> None:
    tls = zt.TLSConfig(
        certificate_chain_path=made / "a.chain.pem", private_key_path=made / "a.key.pem"
    )
    async with zt.open_node("127.0.0.1:0", cluster="c", node_id="a", tls=tls) as node:
        address = node.address or ""
        good = await checked(address, "--trust", made / "ca.pem")
        assert (good.exit_code, set(problems(good))) == (0, {"info"})
        (made / "other.pem").write_bytes(create_authority("other").certificate_pem)
        bad = await checked(address, "--trust", made / "other.pem")
        assert bad.exit_code == 1
        assert "UntrustedIssuer" in " ".join(problems(bad)["error"])
        misnamed = await checked(address.replace("127.0.0.1", "127.0.0.2"), "--trust", "system")
        assert misnamed.exit_code == 1
    gone = await checked(address, "--trust", made / "ca.pem")
    assert "ConnectFailed" in " ".join(problems(gone)["error"])


async def test_a_listener_that_takes_both_is_found(made: Path) -> None:
    settings = {"cluster": "c", "node_id": "a", "accept": "permissive"}
    async with zt.open_node("127.0.0.1:0", tls=config(made, "a"), **settings) as node:  # type: ignore[arg-type]
        result = await checked(node.address or "", "--trust", made / "ca.pem")
    assert result.exit_code == 0
    assert "takes plaintext as well as TLS" in problems(result)["warning"]


async def test_a_listener_that_wants_a_certificate_is_no_error(made: Path) -> None:
    async with zt.open_node("127.0.0.1:0", cluster="c", node_id="a", tls=config(made, "a")) as node:
        result = await checked(node.address or "", "--trust", made / "ca.pem")
    assert result.exit_code == 0
    assert "a certificate is required" in " ".join(problems(result)["warning"])


def test_the_command_is_installed_and_mistakes_are_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from ztransport.cli import main; main()"]
    arguments = ["certs", "show", str(tmp_path / "none.pem")]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == cli.MISTAKE
    assert done.stderr.count("\n") == 1


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Blocked())
from ztransport.cli import main
main()
"""
MEASURING = {"aiofastnet", "jinja2", "jsonschema", "matplotlib", "numpy", "uvloop", "yaml"}


def without(blocked: set[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command where some modules are not installed."""
    command = [sys.executable, "-c", BLOCKED.format(blocked=blocked), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_certificates_need_no_extras_of_the_measurements(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    for arguments in (
        ("certs", "init", pki, "a=127.0.0.1"),
        ("certs", "issue", pki, "b", "127.0.0.1"),
        ("certs", "show", pki / "b.chain.pem"),
        ("tls", "check", pki / "b.chain.pem", pki / "b.key.pem"),
    ):
        done = without(MEASURING, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments


@pytest.mark.parametrize(("module", "extras"), [("typer", "cli"), ("cryptography", "certs,cli")])
def test_a_missing_extra_is_named(module: str, extras: str) -> None:
    done = without({module}, "certs", "init", "pki")
    assert done.returncode == cli.MISTAKE
    assert done.stderr.count("\n") == 1
    assert f"pip install 'ztransport[{extras}]'" in done.stderr
