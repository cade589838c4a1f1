"""A real machine gets another name: what is installed is kept, and its peers use the new name."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk, DeskFactory


@pytest.fixture
def desk(new_desk: DeskFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A project that reaches jon by SSH like any other machine, not as one of the lab; its key is in an ssh-agent."""
    with subprocess.Popen(["ssh-agent", "-D"], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout
        monkeypatch.setenv("SSH_AUTH_SOCK", agent.stdout.readline().partition("=")[2].partition(";")[0])
        try:
            yield _installed(new_desk())
        finally:
            agent.terminate()


def _installed(desk: Desk) -> Desk:
    (desk.root / "inventory.toml").write_text("""\
# ours
[machines.jon]
tags = ["backup"]
state.documents.folders = ["/srv/documents"]
[machines.store]
[instances.backup]
module.name = "borgbackup"
roles.client.tags = ["backup"]
roles.server.machines.store = {}
""")
    desk.rolecall("keys", "create", "me")
    desk.rolecall("lab", "up")
    subprocess.run(["ssh-add", "-q", desk.root / ".rolecall/lab/id"], check=True)
    port = re.findall(r"Port (\d+)", (desk.root / ".rolecall/lab/ssh_config").read_text())[0]  # of the first machine
    desk.rolecall("inventory", "set", "machines.jon.deploy.targetHost", f"root@127.0.0.1:{port}")
    desk.rolecall("machines", "pin", "jon", "--yes")
    return desk


def test_a_renamed_machine_keeps_working(desk: Desk) -> None:
    desk.rolecall("update", "--real", "--yes")
    before = desk.look("jon", "/etc/rolecall", "/run/rolecall/secrets", but=("mtime", "inode"))
    desk.rolecall("machines", "rename", "jon", "bob")
    assert (desk.root / "inventory.toml").read_text().startswith("# ours\n[machines.bob]\n")
    plan = desk.json("plan")["machines"]
    assert plan["bob"]["formerly"] == "jon"
    assert plan["bob"]["generation"] == 1
    assert {change["action"] for machine in plan.values() for change in machine["changes"]} == {"change"}
    report = desk.json("update", "--yes")
    assert {name: outcome["result"] for name, outcome in report["machines"].items()} == {
        "bob": "updated",
        "store": "updated",
    }
    assert desk.json("plan")["machines"]["bob"]["same"]
    after = desk.look("jon", "/etc/rolecall", "/run/rolecall/secrets", but=("mtime", "inode"))
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {"/etc/rolecall/backup/backup.json"}  # keys and secrets are those that it had
    desk.on("jon", "mkdir -p /srv/documents; echo hello > /srv/documents/a")
    desk.rolecall("backups", "create", "bob")
    assert [archive["name"].partition("-")[0] for archive in desk.json("backups", "list", "bob")] == ["bob"]


def test_a_renamed_instance_keeps_its_backups(desk: Desk) -> None:
    desk.rolecall("update", "--real", "--yes")
    desk.on("jon", "mkdir -p /srv/documents; echo hello > /srv/documents/a")
    desk.rolecall("backups", "create", "jon", "--real")
    before = desk.json("backups", "list", "jon", "--real")
    desk.rolecall("instances", "rename", "backup", "nightly")
    desk.rolecall("update", "--real", "--yes")
    after = desk.json("backups", "list", "jon", "--real")
    assert [archive["name"] for archive in after] == [archive["name"] for archive in before] != []
    assert desk.on("store", "ls /var/lib/borgbackup") == "backup\n"
    desk.on("jon", "rm /srv/documents/a")
    desk.rolecall("backups", "restore", "jon", "--real", "--yes")
    assert desk.on("jon", "cat /srv/documents/a") == "hello\n"
