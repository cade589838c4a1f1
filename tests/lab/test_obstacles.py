"""Real machines with something in the way of an update, a command that leaves a daemon, damaged state, a deleted
owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Desk

SERVICE, MODULE = "obstacle", "app"


def declare(desk: Desk, *, declared: bool = True, **settings: object) -> None:
    role = {"settings": settings, "machines": {"jon": {}}}
    app = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    desk.write(machines={"jon": {}}, instances={"app": app} if declared else {})


@pytest.fixture(scope="module")
def desk(office: Desk) -> Desk:
    office.rolecall("update", "--yes")
    return office


@pytest.mark.parametrize(
    ("spoil", "mend", "problem"),
    [
        ("touch /srv/x /etc/bound; mount --bind /srv/x /etc/bound", "umount /etc/bound", "is a mount point"),
        ("mkdir /etc/bound", "rmdir /etc/bound", "is a directory, not a file"),
        ("mkfifo /etc/bound", "rm /etc/bound", "is a special file, not a file"),
    ],
)
def test_a_plan_is_refused_and_the_machine_not_touched(desk: Desk, spoil: str, mend: str, problem: str) -> None:
    """As /etc/hosts in a container, over which something is mounted."""
    desk.on("jon", f"rm -rf /etc/bound; {spoil}")
    declare(desk, path="/etc/bound")
    done = desk.rolecall("update", "--yes", status=1)
    assert f"file:/etc/bound: /etc/bound {problem}" in done.stdout + done.stderr
    assert desk.on("jon", "cat /etc/app.conf; readlink /var/lib/rolecall/current").startswith("one")
    desk.on("jon", mend)
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/bound") == "one"
    declare(desk)
    desk.rolecall("update", "--yes")


# What a person may set on a file: an attribute, a capability, and an access control list as acl(5) is stored.
MARK = """
import os, struct, sys
path, note, reader = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
entries = [(1, 6, -1), (2, 4, reader), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
os.setxattr(path, "user.note", note)
os.setxattr(path, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
os.setxattr(path, "system.posix_acl_access", acl)
"""


def test_attributes_that_a_person_has_set_are_kept_and_the_earlier_ones_restored(desk: Desk) -> None:
    path = "/etc/persons"

    def attributes() -> object:
        return desk.look("jon", path)[path]["attributes"]

    def mark(note: str, reader: str) -> object:
        desk.on("jon", 'python3 -c "$@"', MARK, path, note, reader)
        return attributes()

    desk.on("jon", f"echo theirs >{path}")
    mark("before", "1")
    before = desk.look("jon", path, but=("inode",))
    declare(desk, path=path)
    desk.rolecall("update", "--yes")
    during = mark("during", "2")
    assert during != before[path]["attributes"]
    assert desk.rolecall("plan").stdout == "nothing changes (1 machine)\n"
    declare(desk, path=path, text="two")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", f"cat {path}") == "two"
    assert attributes() == during
    desk.on("jon", f"chmod 600 {path}")
    assert "mode 0600, not 0644" in desk.rolecall("plan").stdout
    desk.rolecall("update", "--yes")
    assert attributes() == during
    declare(desk)
    desk.rolecall("update", "--yes")
    assert desk.look("jon", path, but=("inode",)) == before


def test_an_update_does_not_wait_for_what_an_action_leaves(desk: Desk) -> None:
    declare(desk, daemon=True)
    desk.rolecall("update", "--yes")  # an action may take 600 seconds, and what it leaves lives for 1000
    declare(desk)
    desk.rolecall("update", "--yes")


def test_damaged_state_is_named_mended_or_given_up(desk: Desk) -> None:
    state = "/var/lib/rolecall"
    desk.on("jon", f"for blob in {state}/blobs/*; do echo damaged >$blob; done; rm /etc/app.conf")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/app.conf") == "one"
    desk.on("jon", f"echo '{{' >{state}/original/index.json")
    for words in (("plan",), ("update", "--yes")):
        done = desk.rolecall(*words, status=1)
        assert f"{state}/original/index.json is damaged: its content is not JSON" in done.stdout + done.stderr
    assert "jon" in desk.rolecall("machines", "recover", "jon", "--accept").stdout
    declare(desk, text="two")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/app.conf") == "two"
    desk.on("jon", f"python3 -I -S -B -X utf8 {state}/agent/boot boot")


def test_an_original_whose_owner_was_deleted_keeps_its_ids(desk: Desk) -> None:
    desk.on("jon", "groupadd -g 4343 crew; useradd -M -u 4242 -g crew bob")
    desk.on("jon", "echo his >/etc/bobs; chown bob:crew /etc/bobs")
    declare(desk, path="/etc/bobs")
    desk.rolecall("update", "--yes")
    desk.on("jon", "userdel bob; groupdel crew")
    declare(desk)
    planned = desk.rolecall("plan").stdout
    assert "its owner will be 4242:4343, since bob:crew no longer exists" in planned
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/bobs; stat -c %u:%g /etc/bobs") == "his\n4242:4343\n"
