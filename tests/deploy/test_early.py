"""Sessions that begin before the inventory is evaluated."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
from speaking import speaking

from rolecall import pipeline
from rolecall.deploy import early as module
from rolecall.deploy.early import EarlySessions
from rolecall.deploy.session import Session
from rolecall.errors import Faults
from rolecall_agent import archive

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.deploy.target import Target

NOTING = 'echo $$ >> "$0"; exec "$@"'  # writes its process id to a file, and becomes the agent


def noting(folder: Path, *program: str) -> tuple[Target, Path]:
    """Return a target, and the file with the process ids of its sessions."""
    pids = folder / "pids"
    program = program or tuple(archive.command(str(folder / "eve"), sys.executable))
    return speaking(["sh", "-c", NOTING, str(pids), *program]), pids


def started(pids: Path) -> list[int]:
    while not (pids.exists() and pids.read_text()):
        time.sleep(0.01)
    return [int(line) for line in pids.read_text().splitlines()]


@pytest.mark.slow
def test_what_has_begun_is_taken_once(tmp_path: Path) -> None:
    target, pids = noting(tmp_path)
    with EarlySessions([target]) as early:
        with early.take(target) as session:
            assert started(pids) == [session.connection.process.pid]  # type: ignore[union-attr]
            assert session.open(None)["machine"] == "eve"
        with early.take(target) as session:
            assert session.open(None)["machine"] == "eve"
    assert len(started(pids)) == 2


def test_what_nobody_takes_ends_at_once(tmp_path: Path) -> None:
    target, pids = noting(tmp_path, "sleep", "1000")
    with EarlySessions([target]):
        [pid] = started(pids)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_is_missing_is_reported_when_it_is_needed(tmp_path: Path) -> None:
    target = speaking([str(tmp_path / "ssh")])
    with EarlySessions([target]) as early, pytest.raises(FileNotFoundError):
        early.take(target)
    with EarlySessions([target]):
        pass


INVENTORY = """
machines.jon.deploy.targetHost = "root@jon"
machines.sara.deploy.targetHost = "dir:sara"
machines."-oProxyCommand=x".deploy.targetHost = "root@x"
machines.odd = 3
machines.lost = {}
"""


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the machines with which a session begins."""
    begun: list[str] = []

    def begin(target: Target, *, early: bool) -> Session:
        assert early
        begun.append(target.machine)
        return Session(speaking(["sleep", "1000"], target.machine))

    monkeypatch.setattr(module, "Session", begin)
    return begun


def plan(folder: Path, choice: pipeline.Choice = pipeline.Choice(), parallel: int = 4) -> None:  # noqa: B008 - frozen
    (folder / "inventory.toml").write_text(INVENTORY)
    with pytest.raises(Faults), pipeline.planning(pipeline.open(folder), choice, parallel=parallel):
        pass


@pytest.mark.parametrize(
    ("only", "excluded", "parallel", "machines"),
    [
        ((), (), 4, ["jon"]),
        (("sara",), (), 4, []),
        (("jon",), (), 1, ["jon"]),
        (("j*",), (), 1, ["jon"]),
        ((), ("jon",), 4, []),
        ((), ("lo*", "odd"), 2, ["jon"]),
        ((), (), 2, []),
    ],
    ids=["all", "another one", "one", "a pattern", "all but one", "few enough", "too many"],
)
def test_they_begin_before_the_inventory_is_checked(
    tmp_path: Path,
    begun: list[str],
    only: tuple[str, ...],
    excluded: tuple[str, ...],
    parallel: int,
    machines: list[str],
) -> None:
    plan(tmp_path, pipeline.Choice(only, excluded=excluded), parallel)
    assert begun == machines
