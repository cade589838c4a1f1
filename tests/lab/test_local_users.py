"""Local users who get in the way of an update: nothing of root's changes, and other machines can be updated."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from services.local_user import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk

SERVICE, MODULE = "local_user", "app"
MACHINES = ("jon", "sara")


def declare(desk: Desk, **settings: object) -> None:
    role = {"settings": settings, "machines": {machine: {} for machine in MACHINES}}
    app = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    desk.write(machines={machine: {} for machine in MACHINES}, instances={"app": app})


def as_app(desk: Desk, script: str) -> None:
    """Run a script on jon as the user, in their home."""
    desk.on("jon", 'cd /srv/app && setpriv --reuid app --regid app --clear-groups sh -ec "$1"', script)


@pytest.fixture
def desk(office: Desk) -> Iterator[Desk]:
    """Two machines with a user "app", who owns their home."""
    declare(office)
    office.rolecall("update", "--yes")
    office.on("jon", "chown app: /srv/app")
    yield office
    office.on("jon", "cd /srv/app && rm -rf .ssh logs old link .rolecall-*")


def refused_on_jon_alone(desk: Desk, why: str) -> None:
    """Refuse an update of everything before anything changes, and update the other machine on request."""
    said = desk.rolecall("update", "--yes", status=1).stdout
    assert why in said
    assert "every machine is as it was before" in said
    assert desk.on("jon", "cat /etc/aa; ls /var/lib/rolecall/journal.json", status=2).startswith("one")
    assert desk.on("sara", "cat /etc/aa") == "one"
    desk.rolecall("update", "sara", "--yes")
    assert desk.on("sara", "cat /etc/aa") == "two"


def test_folders_at_the_names_of_temporary_files_of_earlier_versions(desk: Desk) -> None:
    name = f".rolecall-new-{hashlib.sha256(b'conf').hexdigest()[:16]}"
    as_app(desk, f"mkdir {name} && touch {name}/kept")
    declare(desk, text="two")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", f"cat /etc/aa /srv/app/conf /etc/zz; ls /srv/app/{name}") == "twotwotwokept\n"


def test_a_list_of_keys_of_200_gigabytes(desk: Desk) -> None:
    as_app(desk, "mkdir -m 700 .ssh && truncate -s 200G .ssh/authorized_keys")
    declare(desk, text="two", key=True)
    refused_on_jon_alone(desk, "/srv/app/.ssh/authorized_keys")
    as_app(desk, "truncate -s 0 .ssh/authorized_keys")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /srv/app/.ssh/authorized_keys").strip().endswith(KEY)


def test_another_name_of_a_file_of_root_where_a_folder_is_declared(desk: Desk) -> None:
    """Users may give another name to a file that they can write."""
    desk.on("jon", "install -m 0666 /dev/null /srv/rootlog")
    as_app(desk, "ln /srv/rootlog logs")
    declare(desk, text="two", folder=True)
    refused_on_jon_alone(desk, "/srv/app/logs is a file, not a directory")
    assert desk.on("jon", "stat -c '%U %G %a' /srv/rootlog") == "root root 666\n"


def test_a_link_of_root_that_the_user_moves(desk: Desk) -> None:
    before = desk.on("jon", "ln -s /root/.ssh /srv/app/link; cat /root/.ssh/authorized_keys")
    as_app(desk, "mv link .ssh")
    declare(desk, text="two", key=True)
    refused_on_jon_alone(desk, "/srv/app/.ssh")
    assert desk.on("jon", "cat /root/.ssh/authorized_keys") == before


def test_a_file_that_is_a_mount_point(desk: Desk) -> None:
    """As /etc/hosts often is in containers."""
    desk.on("jon", "touch /srv/bound && mount --bind /srv/bound /etc/zz")
    try:
        declare(desk, text="two")
        refused_on_jon_alone(desk, "/etc/zz is a mount point")
    finally:
        desk.on("jon", "umount /etc/zz")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/zz") == "two"
