"""What differs between two definitions of one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import services
from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.evaluate.differences import difference
from rolecall.service import Action, AuthorizedKey, Check, Directory, File, Package, Secret, Unit, User, parts
from services.same_key import KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

SECRET = Secret("one.key", "private", "v1")


def restricted(machine: str) -> AuthorizedKey:
    return AuthorizedKey("borg", KEY, ["borg", "serve", "--restrict-to-path", f"/var/lib/borgbackup/backup/{machine}"])


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (File("/x", "a"), File("/x", "b"), "content line 1 'a' and 'b'"),
        (File("/x", "a\nb\nc\n"), File("/x", "a\nB\nc\n"), "content line 2 'b' and 'B'"),
        (File("/x", "a\n"), File("/x", "a\nb\n"), "content line 2 nothing and 'b'"),
        (File("/x", "a\n"), File("/x", "a"), "content in its line breaks"),
        (File("/x", "x {\n}\n"), File("/x", "x {\n}"), "content in its line breaks"),
        (File("/x", "x\r\ny"), File("/x", "x\ny"), "content in its line breaks"),
        (File("/x", b"\xff\xfe"), File("/x", "abc"), "content of 2 and 3 bytes"),
        (File("/x", "a", mode=0o600), File("/x", "a"), "mode 0600 and 0644"),
        (
            File("/x", "a", owner="one", mode=0o640),
            File("/x", "b"),
            "content line 1 'a' and 'b', owner 'one' and 'root', mode 0640 and 0644",
        ),
        (
            File("/x", parts("PASS=", SECRET), mode=0o600),
            File("/x", "PASS=x", mode=0o600),
            "content line 1 'PASS={one.key/private}' and 'PASS=x'",
        ),
        (
            File("/x", SECRET),
            File("/x", Secret("one.key", "private", "v2")),
            "content with secrets of different members",
        ),
        (
            File("/x", "x" * 90 + "end"),
            File("/x", "x" * 90 + "END" + "y" * 90),
            "content line 1 '…xxxxxxxxxxxxxxxend' and '…xxxxxxxxxxxxxxxENDyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…'",
        ),
        (
            restricted("jon"),
            restricted("sara"),
            "command[3] '/var/lib/borgbackup/backup/jon' and '/var/lib/borgbackup/backup/sara'",
        ),
        (AuthorizedKey("a", KEY), AuthorizedKey("a", KEY, ["x"]), "command[0] nothing and 'x'"),
        (Directory("/x", group="a"), Directory("/x", group="b"), "group 'a' and 'b'"),
        (
            User("a", groups=("x",), home="/srv"),
            User("a", groups=("y",)),
            "home '/srv' and '/nonexistent'",
        ),
        (Package("a", {"arch": "b"}), Package("a"), "names {'arch': 'b'} and {}"),
        (
            Unit("a.service", "x\n"),
            Unit("a.service", "y\n", started=True),
            "text line 1 'x' and 'y', started False and True",
        ),
        (Action("a", ("x", "y")), Action("a", ("x", "z")), "argv[1] 'y' and 'z'"),
        (Check("a", ("x",)), Check("a", ("x",), peers=True, timeout=5), "peers False and True, timeout 30 and 5"),
    ],
)
def test_the_fields_that_differ_with_both_values(one: Any, other: Any, words: str) -> None:  # noqa: ANN401 - any resource
    assert difference(one, other) == words


def test_two_machines_with_one_key_are_told_by_what_they_would_get(make_project: MakeProject) -> None:
    inventory = """
[machines]
jon = {}
sara = {}
store = {}
[instances.backup]
module = { name = "mine", input = "self" }
roles.server.machines.store = {}
roles.client.machines = { jon = {}, sara = {} }
"""
    project = make_project(inventory, mine=services.code("same_key"))
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()
    assert str(caught.value).replace(f"{project.root}/", "") == (
        f"error: two conflicting definitions of authorized-key:borg:{KEY.split()[1]} on store from backup.server: "
        "command[3] '/srv/jon' and '/srv/sara'\n"
        "  at inventory.toml:6:12 instances.backup\n"
        "hint: give each machine a key, a name and settings of its own; "
        "if they have these, it is a fault of the service"
    )
