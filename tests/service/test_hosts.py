"""Hosts as URLs and files of known hosts have them."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from rolecall.service import host_and_port, known_hosts

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3DN2DvDkZ6Y1ooS7Jp5zVtyEsPhnvTCnNGwlfvBbkO"


@pytest.mark.parametrize(
    ("address", "port", "url", "known"),
    [
        ("store", 22, "store", "store"),
        ("store", 2222, "store:2222", "[store]:2222"),
        ("10.0.0.1", 22, "10.0.0.1", "10.0.0.1"),
        ("fe80::1", 22, "[fe80::1]", "fe80::1"),
        ("fe80::1", 2222, "[fe80::1]:2222", "[fe80::1]:2222"),
    ],
)
def test_hosts_are_written_as_ssh_reads_them(tmp_path: Path, address: str, port: int, url: str, known: str) -> None:
    assert host_and_port(address, port) == url
    lines = known_hosts(address, port, (KEY, KEY))
    assert lines == f"{known} {KEY}\n" * 2
    if shutil.which("ssh-keygen"):
        (tmp_path / "known").write_text(lines)
        name = address if port == 22 else f"[{address}]:{port}"
        assert not subprocess.run(["ssh-keygen", "-F", name, "-f", str(tmp_path / "known")], check=False).returncode


def test_the_default_port_is_that_of_the_scheme() -> None:
    assert (host_and_port("a", 443, default=443), host_and_port("a", 22, default=443)) == ("a", "a:22")
    assert known_hosts("a", 22, ()) == ""
