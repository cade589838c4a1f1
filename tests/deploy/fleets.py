"""Runs over three recorded machines."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

from speaking import speaking

from rolecall.deploy.connection import Connection
from rolecall.deploy.fleet import Fleet
from rolecall.deploy.machine import MachineUpdate
from rolecall.deploy.resuming import Resuming
from rolecall.deploy.session import Session
from rolecall.deploy.target import Target
from rolecall_agent import archive
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.resources import File, Unit

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rolecall.model.plan import Report
    from rolecall_agent import protocol
    from rolecall_agent.content import Secret

META: protocol.Meta = {"run": "r1", "user": "me", "commit": "", "at": "2026-01-01T00:00:00+00:00", "back": None}
RUNS = itertools.count()
SERVICE = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
DECIDED = ".rolecall/decided"
NAMES = ("anna", "ben", "carl")


def no_secrets(_: str, __: Sequence[Secret]) -> Mapping[str, bytes]:
    return {}


def wanted(folder: Path, content: str, *, apart: bool = False) -> list[MachineUpdate]:
    """Return updates of all machines, each in a wave of its own, in the order of their names.

    With ``apart``, each agent is a process of its own, which can be killed.
    """
    name = f"{content}.service"  # another one each time, so that a failing start does not keep from going back
    resources = (File("/etc/greeting", content), Unit(name, SERVICE, enabled=True, started=True))
    checks = (Check("peers", ("true",), peers=True),)
    return [
        MachineUpdate([target(folder, name, apart=apart)], wave, Configuration.of(name, resources, checks), {})
        for wave, name in enumerate(NAMES)
    ]


def target(folder: Path, name: str, *, apart: bool) -> Target:
    root = folder / name
    return speaking(archive.command(str(root), sys.executable), name) if apart else Target(name, name, root=root)


class Sessions(dict[str, Session]):
    """The first session of a run with each machine."""

    def begin(self, target: Target) -> Session:
        self[target.machine] = session = Session(target)
        return session


def process(session: Session) -> subprocess.Popen[bytes]:
    """Return the process of a session's connection."""
    resuming = session.connection
    connection = resuming.connection if isinstance(resuming, Resuming) else resuming
    assert isinstance(connection, Connection)
    return connection.process


def update(
    folder: Path, content: str, act: Callable[[Sessions, str, str], None] | None = None, *, apart: bool = False
) -> Report:
    sessions = Sessions()

    def progress(machine: str, text: str) -> None:
        if act:
            act(sessions, machine, text)

    with Fleet(wanted(folder, content, apart=apart), progress, connect=sessions.begin) as fleet:
        fleet.look()
        return fleet.apply({**META, "run": f"{content}-{next(RUNS)}"}, no_secrets, folder / DECIDED)


def results(report: Report) -> dict[str, str]:
    return {outcome.machine: outcome.result for outcome in report.outcomes}


def contents(folder: Path) -> dict[str, str]:
    paths = {name: folder / name / "etc/greeting" for name in NAMES}
    return {name: path.read_text() if path.exists() else "" for name, path in paths.items()}


def everywhere(value: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, value)
