"""A rehearsal on twins of machines that name a real target: nothing of it is recorded, and no side is mixed up.

One of the twins runs another release of Debian, as the inventory says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Desk, DeskFactory

PRECIOUS = ("vars", "keys", ".rolecall/decided", "targets")


@pytest.fixture(scope="module")
def desk(new_desk: DeskFactory) -> Desk:
    """Two machines that name real targets, of which one is a directory, and the other can be reached by nobody."""
    desk = new_desk()
    services.install(desk.root, "probe")
    desk.write(
        machines={
            "jon": {"deploy": {"targetHost": "dir:targets/jon"}},
            "sara": {"deploy": {"targetHost": "root@sara.invalid"}, "lab": {"release": "trixie"}},
        },
        instances={
            "probe": {
                "module": {"name": "probe", "input": "self"},
                "roles": {"node": {"machines": {"jon": {}, "sara": {}}}},
            }
        },
    )
    desk.rolecall("keys", "create")
    assert "error: every machine names a real target" in desk.rolecall("lab", "up", status=1).stderr
    desk.rolecall("lab", "up", "--all")
    return desk


def files(folders: list[Path]) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_a_rehearsal_leaves_no_trace_in_the_project(desk: Desk) -> None:
    project = [desk.root / name for name in PRECIOUS]
    before = files(project)
    both = "error: jon and sara run in the lab and have a real target, too: dir:targets/jon\n"
    assert both in desk.rolecall("update", "--yes", status=1).stderr

    done = desk.rolecall("update", "--lab", "--yes")
    assert "the lab gets the project's own 2 secrets for jon and sara" in done.stderr
    assert "jon (the lab) updated (generation 1)\nsara (the lab) updated (generation 1)\n" in done.stdout
    assert files(project) == before
    assert list((desk.root / ".rolecall/lab/decided").iterdir()) == []
    again = desk.rolecall("plan", "--lab").stdout  # the vars are still pending
    assert "nothing changes on jon, sara\n0 changes on 0 of 2 machines, 2 vars to generate" in again
    assert desk.on("sara", ". /etc/os-release; echo $VERSION_CODENAME") == "trixie\n"

    rehearsed = desk.on("jon", "cat /etc/motd; cat /run/rolecall/secrets/probe.words/passphrase")
    real = desk.json("update", "jon", "--real", "--yes")["machines"]["jon"]
    assert (real["result"], real["target"]) == ("updated", "dir:targets/jon")
    there = [desk.root / "targets/jon" / path for path in ("etc/motd", "run/rolecall/secrets/probe.words/passphrase")]
    assert "".join(path.read_text() for path in there) == rehearsed  # the same secret
    assert desk.rolecall("plan", "jon", "--lab").stdout == "nothing changes (1 machine)\n"


def test_machines_are_broken_by_command(desk: Desk) -> None:
    desk.rolecall("lab", "kill", "jon")
    assert desk.rolecall("lab", "status").stdout == "jon   off\nsara  running\n"
    refused = desk.rolecall("lab", "kill", "jon", "jo", status=1).stderr
    assert "error: jon is off\nhint: run `rolecall lab start jon` first\n" in refused
    assert "error: the lab has no machine 'jo'\nhint: did you mean 'jon'?" in refused
    assert "error: jon is off" in desk.rolecall("lab", "cut", "jon", status=1).stderr
    assert "jon  up after" in desk.rolecall("lab", "start", "jon").stdout
    assert "error: jon is running already" in desk.rolecall("lab", "start", "jon", status=1).stderr
    assert desk.rolecall("lab", "cut", "sara").stdout == "sara  unplugged\n"
    assert desk.json("lab", "status") == {"machines": {"jon": True, "sara": True}, "unplugged": ["sara"]}
    assert desk.on("jon", "ping -c1 -W1 sara >/dev/null", status=1) == ""
    assert desk.rolecall("lab", "plug", "sara").stdout == "sara  running\n"
    desk.on("jon", "ping -c1 -W5 sara >/dev/null")
    boot = desk.on("sara", "cat /proc/sys/kernel/random/boot_id")
    assert "sara  up after" in desk.rolecall("lab", "reboot", "sara").stdout
    assert desk.on("sara", "cat /proc/sys/kernel/random/boot_id") != boot
    desk.rolecall("lab", "kill", "sara", "jon")
    assert [*desk.json("lab", "up")["machines"]] == ["jon", "sara"]
