"""Machines that run in the lab and name a real target, too: commands ask which is meant. tests/lab has the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from rolecall.cli import common
from rolecall.deploy.target import Lab
from rolecall.pipeline import Workspace
from rolecall.pipeline.reaching import reach
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run

    Side = common.Literal["", "lab", "real"]

MACHINES = """
[machines.jon]
deploy.targetHost = "root@127.0.0.1:1"
[machines.store]
deploy.targetHost = "dir:targets/store"
[machines.lone]
[machines.late]
deploy.targetHost = "dir:targets/late"
[instances.backup]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store.settings.address = "store.example"
"""
BOTH = "error: jon runs in the lab and has a real target, too: ssh root@127.0.0.1:1\n"
SAY = "hint: choose one with `--lab` or `--real`\n"


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, frozenset[str]]:
    """A project whose lab has all machines but one."""
    (tmp_path / "inventory.toml").write_text(MACHINES)
    found = (tmp_path / "config", tmp_path / "known", frozenset({"jon", "store", "lone"}))
    found[0].write_text("Host *\n  HostName 127.0.0.1\n  Port 1\n")
    monkeypatch.setattr(common, "_lab", lambda _: found)
    return found


@pytest.mark.parametrize(
    "command",
    [
        "plan jon",
        "update --yes jon",
        "ssh jon",
        "run jon -- true",
        "log jon",
        "network jon",
        "machines recover jon",
        "machines purge jon",
        "machines purge jon --yes",
        "backups list jon",
        "backups create jon",
        "backups restore jon --yes",
    ],
)
def test_a_command_refuses_what_it_could_reach_in_both(command: str, run: Run) -> None:
    assert run("keys", "create", "me")[0] == 0
    assert run("vars", "generate")[0] == 0
    assert run(*command.split()) == (1, "", BOTH + SAY)


def test_all_machines_are_named(run: Run) -> None:
    both = "error: jon and store run in the lab and have a real target, too: ssh root@127.0.0.1:1\n"
    assert run("network") == (1, "", both + SAY)


@pytest.mark.parametrize(
    ("side", "machine", "text"),
    [
        ("", "lone", "the lab"),
        ("", "late", "dir:targets/late"),
        ("lab", "jon", "the lab"),
        ("lab", "store", "the lab"),
        ("lab", "lone", "the lab"),
        ("real", "jon", "ssh root@127.0.0.1:1"),
        ("real", "store", "dir:targets/store"),
        ("real", "lone", "the lab"),  # it has no other place
    ],
)
def test_what_is_reached(
    side: Side, machine: str, text: str, tmp_path: Path, lab: tuple[Path, Path, frozenset[str]]
) -> None:
    find: Callable[[], Lab] = lambda: Lab(*lab)  # noqa: E731 - as the command line has it
    assert reach(Workspace(Project(tmp_path), find, side=side), machine).text == text


def test_the_list_shows_both(run: Run) -> None:
    _, out, _ = run("machines", "list")
    assert [re.split(" {2,}", line)[1] for line in out.splitlines()] == [
        "ssh root@127.0.0.1:1, or the lab",
        "dir:targets/late",
        "the lab",
        "dir:targets/store, or the lab",
    ]


def test_what_is_wrong_with_a_choice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, err = run("ssh", "--lab", "late")
    assert (status, err.splitlines()[::2]) == (
        1,
        ["error: machine 'late' is not in the lab", "hint: boot it: `rolecall lab up --all`"],
    )
    assert "--lab and --real exclude each other" in run("plan", "--lab", "--real")[2]
    monkeypatch.setattr(common, "_lab", lambda _: None)
    assert run("plan", "--lab") == (1, "", "error: the lab is down\nhint: boot it: `rolecall lab up --all`\n")
    status, _, err = run("ssh", "lone")
    assert (status, err.splitlines()[0]) == (1, "error: machine 'lone' has no target")


def test_a_machine_that_the_lab_lacks_has_no_target(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.lone]\n[machines.new]\n")
    status, _, err = run("ssh", "new")
    assert (status, err.splitlines()[0]) == (1, "error: machine 'new' has no target, and is not in the lab")
    assert "or boot it in the lab: `rolecall lab up`" in err


def test_options_of_ssh_stand_before_the_machine(run: Run, tmp_path: Path) -> None:
    status, _, err = run("ssh", "late", "true", "--lab")
    assert (status, err) == (1, f"error: cannot log in to late: its target is the directory {tmp_path}/targets/late\n")


@pytest.mark.parametrize("words", [("ls", "-f", "--lab"), ("--", "ls", "-f", "--lab")])
def test_the_words_of_a_command_are_left_alone(
    words: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("os.execvp", lambda _, argv: ran.append(argv))
    assert run("ssh", "--real", "jon", *words)[0] == 0
    assert "'ls -f --lab'" in ran[0][-1]


def test_pins_are_those_of_real_machines(run: Run) -> None:
    assert "jon presents no host keys at 127.0.0.1 port 1" in run("machines", "pin", "jon", "--yes")[2]
    assert "machine 'lone' has no target" in run("machines", "pin", "lone", "--yes")[2]
