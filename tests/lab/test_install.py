"""A stock machine becomes one of Rolecall's: no pinned host keys, no Python, a user whose login and sudo ask."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import services
from rolecall.deploy import pins
from rolecall.deploy.target import Target, find_target
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import LabFactory
    from rolecall.lab import Lab

PASSWORD = "correct horse"  # noqa: S105 - of a throw-away machine
STOCK = """
apt-get remove -qqy python3 python3-minimal libpython3-stdlib >/dev/null 2>&1
rm /etc/sudoers.d/admin
echo "admin:$1" | chpasswd
printf 'PasswordAuthentication yes\\n' >/etc/ssh/sshd_config.d/00-passwords.conf
systemctl restart ssh
"""


@pytest.fixture(scope="module")
def fresh(lab_factory: LabFactory) -> Lab:
    lab = lab_factory("fresh", "bastion")
    lab.run("fresh", "sh", "-ec", STOCK, "sh", PASSWORD)
    return lab


def records(lab: Lab) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((lab.directory / "machines.json").read_text())
    return found


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The public key of a user whose SSH agent has it."""
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-C", "me", "-f", tmp_path / "mine"], check=True)
    with subprocess.Popen(["ssh-agent", "-D"], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout
        monkeypatch.setenv("SSH_AUTH_SOCK", agent.stdout.readline().partition("=")[2].partition(";")[0])
        monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "identity"))
        try:
            subprocess.run(["ssh-add", "-q", tmp_path / "mine"], check=True)
            yield (tmp_path / "mine.pub").read_text()
        finally:
            agent.terminate()


def on_a_terminal(*argv: str, answers: dict[str, str]) -> tuple[int, str]:
    """Run the command on a terminal, and answer each prompt once; return its exit status and what was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "rolecall", *argv])  # noqa: S606
    shown, left, until = "", dict(answers), time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # the other side is closed
                break
            shown += data.decode(errors="replace")
            for prompt in [each for each in left if each in shown.rpartition("\n")[2]]:
                os.write(terminal, left.pop(prompt).encode() + b"\n")
    os.close(terminal)
    assert not left, shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.replace("\r\n", "\n")


def test_a_stock_machine_is_installed(fresh: Lab, key: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    services.install(root, "raw")
    role = {"settings": {"files": {"/etc/note": "hello"}}, "machines": {"web": {}}}
    raw = {"module": {"input": "self"}, "roles": {"node": role}}
    (root / "inventory.toml").write_text("[machines.web]\n")
    (root / "inventory.json").write_text(json.dumps({"instances": {"raw": raw}}))
    target = f"admin@127.0.0.1:{records(fresh)['fresh']['port']}"
    words = ("-C", str(root), "machines", "install", "web", "--target-host", target)
    answers = {"are they the same?": "y", "'s password:": PASSWORD, "prepare web?": "y"}
    answers |= {"[sudo] password for admin on web": PASSWORD, f"update web (ssh {target})?": "y"}
    status, shown = on_a_terminal(*words, answers=answers)
    assert status == 0, shown
    assert PASSWORD not in shown
    for told in (
        "pinned 1 host key of web",
        f"let the key {pins.fingerprint(' '.join(key.split()[:2]))} (me) log in as admin",
        "install Python with apt-get",
        "set the hostname to web (now fresh)",
        "let admin use sudo without a password",
        "declared web in inventory.json",
        "1 machine updated",
    ):
        assert told in shown, shown
    assert fresh.run("fresh", "cat", "/etc/note", "/etc/hostname").stdout == b"helloweb\n"
    assert fresh.run("fresh", "stat", "-c", "%a", "/home/admin/.ssh/authorized_keys").stdout == b"600\n"

    before = fresh.run("fresh", "sh", "-c", "cat /etc/hosts /home/admin/.ssh/authorized_keys").stdout
    argv = [sys.executable, "-m", "rolecall", *words, "--yes"]
    again = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "nothing changes (1 machine)"), again
    assert "web is prepared already" in again.stderr
    assert fresh.run("fresh", "sh", "-c", "cat /etc/hosts /home/admin/.ssh/authorized_keys").stdout == before

    argv = [sys.executable, "-m", "rolecall", "-C", str(root), "machines", "retire", "web", "--own", "--yes"]
    retired = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert retired.returncode == 0, retired
    assert "purged web\n" in retired.stdout
    assert fresh.run("fresh", "ls", "-d", "/etc/note", "/var/lib/rolecall", check=False).stdout == b""
    assert (root / "keys/known_hosts").read_text() == ""
    assert "web" not in (root / "inventory.toml").read_text() + (root / "inventory.json").read_text()


def test_host_keys_are_read_through_a_jump_host(fresh: Lab, tmp_path: Path) -> None:
    address = records(fresh)["fresh"]["address"]
    config = tmp_path / "config"
    config.write_text(f"Host {address}\n  ProxyCommand ssh -F '{fresh.ssh_config}' -W [%h]:%p bastion\n")
    target = find_target(Project(tmp_path), "web", address, None)
    assert isinstance(target, Target)
    presented = pins.scan(replace(target, ssh=("-F", str(config), *target.ssh)))
    wanted = fresh.run("fresh", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.decode().split()[:2]
    assert presented == [" ".join(wanted)]
