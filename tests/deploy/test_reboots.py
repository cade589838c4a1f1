"""Machines that reboot within a run: one fails, and all are as before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fleets import DECIDED, META, NAMES, contents, everywhere, no_secrets, results, target

from rolecall.deploy.fleet import Fleet
from rolecall.deploy.machine import MachineUpdate
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.resources import File, Reboot
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rolecall.model.plan import RebootMode, Report


def wanted(folder: Path, content: str) -> list[MachineUpdate]:
    """Return updates of all machines; those of anna and ben in one wave. Only carl does not need a reboot."""
    greeting = File("/etc/greeting", content)
    checks = (Check("peers", ("peers", content), peers=True), Check("local", ("local", content)))
    reboots = [Reboot("the greeting", when_changed=[greeting])]
    return [
        MachineUpdate(
            [target(folder, name, apart=False)],
            int(name == "carl"),
            Configuration.of(name, [greeting, *(reboots if name != "carl" else ())], checks),
            {},
        )
        for name in NAMES
    ]


def run(updates: Iterable[MachineUpdate], folder: Path, reboot: RebootMode = "planned") -> tuple[Report, list[str]]:
    steps: list[str] = []
    with Fleet(updates, lambda machine, text: steps.append(f"{machine}: {text}")) as fleet:
        fleet.look()
        return fleet.apply({**META, "run": f"run-{len(steps)}"}, no_secrets, folder / DECIDED, reboot), steps


def boots(folder: Path) -> dict[str, int]:
    return {name: json.loads(_record(folder, name).read_text()).get("boots", 1) for name in NAMES}


def _record(folder: Path, name: str) -> Path:
    return folder / name / "var/lib/rolecall/system.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    report, _ = run(wanted(tmp_path, "one"), tmp_path, "never")
    assert results(report) == everywhere("updated")
    assert {outcome.message for outcome in report.outcomes} == {"", "a reboot is pending: the greeting"}
    assert boots(tmp_path) == {"anna": 1, "ben": 1, "carl": 1}
    return tmp_path


def test_those_that_need_it_reboot_before_the_next_wave(folder: Path) -> None:
    report, steps = run(wanted(folder, "two"), folder)
    assert results(report) == everywhere("updated")
    assert contents(folder) == everywhere("two")
    assert boots(folder) == {"anna": 2, "ben": 2, "carl": 1}
    first = steps.index("carl: file /etc/greeting")
    assert {"anna: back after 0 s", "ben: back after 0 s", "anna: reboot: the greeting"} <= {*steps[:first]}


@pytest.mark.parametrize("check", ["peers", "local"])
def test_all_are_as_before_if_one_fails_afterwards(folder: Path, check: str) -> None:
    _record(folder, "ben").write_text(
        json.dumps({**json.loads(_record(folder, "ben").read_text()), "fail": {"commands": [check]}})
    )
    report, _ = run(wanted(folder, "two"), folder)
    assert results(report) == {**everywhere("restored"), **({"carl": "untouched"} if check == "local" else {})}
    assert contents(folder) == everywhere("one")
    assert f"the check '{check}' failed" in report.outcomes[1].message
    assert boots(folder) == {"anna": 3, "ben": 3, "carl": 1}


def test_one_that_does_not_come_back_in_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedSystem, "reboot", lambda _: None)
    updates = [replace(update, reboot_seconds=1) for update in wanted(folder, "two")]
    report, _ = run(updates, folder)
    assert contents(folder) == everywhere("one")
    assert report.outcomes[0].message == "not back within 1 s after its reboot: the machine has not rebooted yet"
    assert results(report) == {"anna": "restored", "ben": "restored", "carl": "untouched"}
