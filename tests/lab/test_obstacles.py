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
    desk.on("jon", f"python3 -I -S -X utf8 {state}/agent/boot boot")


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
