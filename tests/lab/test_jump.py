"""Machines behind one jump host that drops connections while too many are not authenticated yet (MaxStartups)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from conftest import Desk, DeskFactory

MACHINES = [f"m{number:02}" for number in range(12)]

# Each login takes so many seconds, so that those which begin together are under way together.
SLOW = "AuthorizedKeysCommand /usr/bin/sleep 0.4\nAuthorizedKeysCommandUser nobody\n"


def declare(desk: Desk, text: str) -> None:
    role = {"settings": {"files": {"/etc/note": text}}, "machines": {name: {} for name in MACHINES}}
    raw = {"module": {"input": "self"}, "roles": {"node": role}}
    desk.write(machines={name: {} for name in ("jump", *MACHINES)}, instances={"raw": raw})


@pytest.fixture(scope="module")
def desk(new_desk: DeskFactory) -> Desk:
    """Twelve machines, of which the command reaches each by the jump host, and the tests directly."""
    desk = new_desk()
    services.install(desk.root, "raw")
    declare(desk, "one")
    desk.rolecall("lab", "up")
    folder = desk.root / ".rolecall/lab"
    config = (folder / "ssh_config").read_text()
    desk.lab.ssh_config = folder / "ssh_config_without_jump"
    desk.lab.ssh_config.write_text(config)
    for name, record in json.loads((folder / "machines.json").read_text()).items():
        direct = f"HostName 127.0.0.1\n  Port {record['port']}\n"
        if name != "jump":
            # As ProxyJump, which does not quote the path of the configuration.
            jump = f"ProxyCommand ssh -F '{folder}/ssh_config' -W [%h]:%p jump"
            config = config.replace(direct, f"HostName {record['address']}\n  {jump}\n")
    (folder / "ssh_config").write_text(config)
    return desk


@pytest.mark.parametrize("limit", ["10:100:10", "3:100:3", "2:60:100"])
def test_machines_behind_a_busy_jump_host(desk: Desk, limit: str) -> None:
    desk.on("jump", "sed -i /MaxStartups/d /etc/ssh/sshd_config.d/*")
    desk.on("jump", 'printf "%b" "$1" >/etc/ssh/sshd_config.d/slow.conf', SLOW + f"MaxStartups {limit}\n")
    desk.on("jump", "journalctl --rotate --vacuum-time 1s; systemctl restart ssh")
    declare(desk, limit)
    done = desk.rolecall("update", "--yes", "--parallel", "12")
    assert "12 machines updated" in done.stdout
    assert {desk.on(name, "cat /etc/note") for name in MACHINES} == {limit}
    assert "nothing changes" in desk.rolecall("plan").stdout
    assert "again" not in done.stderr
    dropped = "drop connection" in desk.on("jump", "journalctl -u ssh --no-pager")
    assert dropped == (limit != "10:100:10")
