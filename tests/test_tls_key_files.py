"""The files that keys come from: rights, links, pipes, sizes, each with its path and reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import ztransport as zt
from tests.test_tls_keys import Pair, p256, write

__all__ = ["p256"]


def from_file(own: Pair, path: Path, **choices: Any) -> zt.TLSConfig:
    return zt.TLSConfig(certificate_chain=own.chain, private_key_path=path, **choices)


def file_refusal(own: Pair, path: Path, **choices: Any) -> str:
    with pytest.raises(zt.ConfigurationError) as raised:
        from_file(own, path, **choices).load()
    said = str(raised.value)
    assert said.startswith(f"{path}: ")
    return said


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_key_others_can_read_is_refused(p256: Pair, tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, p256.pem(), mode)
    assert "chmod 600" in file_refusal(p256, path)


def test_a_key_its_group_can_read_is_for_all_but_the_strict(p256: Pair, tmp_path: Path) -> None:
    path = write(tmp_path, p256.pem(), 0o640)
    from_file(p256, path).load()
    strict = from_file(p256, path, profile="strict", trust=(p256.chain,))
    with pytest.raises(zt.ConfigurationError, match="its group"):
        strict.load()


def test_the_compatibility_profile_warns_of_a_readable_key(
    p256: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, p256.pem(), 0o644)
    from_file(p256, path, profile="zeebe").load()
    assert f"{path}: can be read" in caplog.text


def test_links_lead_to_the_file_they_name(p256: Pair, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(write(tmp_path, p256.pem()))
    from_file(p256, link).load()


def test_what_is_no_file_is_named(p256: Pair, tmp_path: Path) -> None:
    pipe, dangling = tmp_path / "pipe", tmp_path / "dangling"
    os.mkfifo(pipe)
    dangling.symlink_to(tmp_path / "gone")
    assert "not a regular file" in file_refusal(p256, pipe)
    assert "directory" in file_refusal(p256, tmp_path)
    assert "No such file" in file_refusal(p256, dangling)
    assert "is empty" in file_refusal(p256, write(tmp_path, b""))


def test_a_file_of_100_megabytes_is_not_read(p256: Pair, tmp_path: Path) -> None:
    path = write(tmp_path, p256.pem())
    os.truncate(path, 100 << 20)
    assert "larger than" in file_refusal(p256, path)
