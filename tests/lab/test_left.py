"""A machine leaves the inventory, its vars are pruned, and it comes back: its backups can still be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import DeskFactory

MACHINES = {"jon": {"state": {"documents": {"folders": ["/srv/documents"]}}}, "store": {}}
INSTANCES = {
    "backup": {
        "module": {"name": "borgbackup"},
        "roles": {"client": {"machines": {"jon": {}}}, "server": {"machines": {"store": {}}}},
    }
}
KEY = "jon/backup.repokey/passphrase"


def test_a_machine_that_comes_back_reads_its_backups(new_desk: DeskFactory) -> None:
    desk = new_desk()
    desk.write(machines=MACHINES, instances=INSTANCES)
    desk.rolecall("keys", "create", "me")
    desk.rolecall("lab", "up")
    desk.rolecall("update", "--yes")
    desk.on("jon", "mkdir -p /srv/documents; echo precious >/srv/documents/letter")
    desk.rolecall("backups", "create", "jon")
    passphrase = desk.rolecall("vars", "get", "--yes", KEY).stdout

    told = desk.rolecall("machines", "remove", "jon").stdout
    assert "kept jon/backup.repokey: the repositories are encrypted with it\n" in told
    desk.rolecall("vars", "prune", "--yes")
    assert [row["file"] for row in desk.json("vars", "list")["vars"]] == ["passphrase"]
    desk.on("jon", "rm /srv/documents/letter")

    desk.write(machines=MACHINES, instances=INSTANCES)
    desk.rolecall("update", "--yes")
    assert desk.rolecall("vars", "get", "--yes", KEY).stdout == passphrase
    assert "jon-" in desk.rolecall("backups", "list", "jon").stdout
    desk.rolecall("backups", "restore", "jon", "--yes")
    assert desk.on("jon", "cat /srv/documents/letter") == "precious\n"
