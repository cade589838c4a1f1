"""Ctrl-C, at any point of a command: one line, exit status 130, and nothing half done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from .conftest import Run

INVENTORY = """
machines = { jon = { deploy.targetHost = "dir:targets/jon" }, store = { deploy.targetHost = "dir:targets/store" } }

[instances.backup]
module.name = "borgbackup"
roles.server.machines.store.settings.address = "store.example"
roles.client.machines.jon = {}
"""
# Raises KeyboardInterrupt where the text says, then runs the program.
PROGRAM = """
import sys, rolecall.cli, rolecall.cli.output
from rolecall.__main__ import main
def interrupt(*_, **__):
    raise KeyboardInterrupt
class Finder:
    def find_spec(*_):
        sys.meta_path.remove(Finder)
        raise KeyboardInterrupt
{where}
sys.argv = ["rolecall", "check"]
main()
"""


@pytest.mark.parametrize(
    "where",
    [
        "sys.meta_path.insert(0, Finder)",  # at the first import of the command
        "del sys.modules['rolecall.cli']; sys.meta_path.insert(0, Finder)",  # at that of the command line
        "rolecall.cli.tell = interrupt",  # while it reports a fault
    ],
)
def test_it_ends_a_command_with_one_line(where: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROGRAM.format(where=where)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "aborted")


class Interrupt:
    """Raises KeyboardInterrupt in the n-th call of a function of ours, or counts the calls."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "/src/rolecall/" in frame.f_code.co_filename:
            self.calls += 1
            if self.calls == self.at:
                raise KeyboardInterrupt

    def __enter__(self) -> Self:
        sys.settrace(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)


POINTS = 8  # at which each command is interrupted, evenly spread


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "check",
        "vars generate",
        "vars rotate jon/backup.ssh",
        "update --yes",
        "inventory set machines.jon.description x",
        "machines add sara",
        "machines rename jon jim",
    ],
)
def test_wherever_it_comes_the_project_stays_whole(
    command: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command.split()
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    (project / "inventory.json").write_text(json.dumps(tomllib.loads(INVENTORY)))
    assert run("keys", "create", "me")[0] == 0
    if words[0] == "vars":
        assert run("vars", "generate")[0] == 0
    shutil.copytree(project, tmp_path / "before")

    def restore() -> None:
        shutil.rmtree(project)
        shutil.copytree(tmp_path / "before", project)
        monkeypatch.chdir(project)

    run(*words)  # fills caches, which a later call finds
    restore()
    with Interrupt() as counted:
        assert run(*words)[0] == 0
    whole = [(folder / "inventory.json").read_text() for folder in (tmp_path / "before", project)]
    for point in range(POINTS):
        restore()
        with Interrupt(at=1 + point * counted.calls // POINTS):
            assert run(*words)[0] == 130
        assert (project / "inventory.json").read_text() in whole
        run(*words)
        assert [run(*each)[0] for each in (("check",), ("vars", "check"))] == [0, 0]
        if words[0] == "update":
            assert run("plan", "--exit-code")[0] == 0
        assert not (project / ".rolecall/making").exists()
