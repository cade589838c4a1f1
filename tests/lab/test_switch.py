"""All or nothing on real machines: failures, kills, power losses and concurrent runs."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from services.probe import HOLD_CHECK, HOLD_SWITCH

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from conftest import Desk

SERVICE, MODULE = "probe", "probe"
MACHINES = ("jon", "sara")
UNIT = "rolecall-probe.daemon.service"

# What must be as it was: files, the generations, what runs.
STATE = f"""
systemctl is-enabled {UNIT} rolecall-boot.service; systemctl is-active {UNIT}
systemctl list-units --no-legend --failed; systemctl list-unit-files --no-legend 'rolecall*'
readlink /var/lib/rolecall/current; ls /var/lib/rolecall/generations /var/lib/rolecall/blobs /var/lib/rolecall/sealed
getent passwd probe; ls /var/lib/rolecall/journal.json
"""


def until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def declare(desk: Desk, text: str = "start", **settings_of: dict[str, Any]) -> None:
    """Write an inventory of two nodes with this text and these settings."""
    named = {machine: {"settings": settings_of.get(machine, {})} for machine in MACHINES}
    role = {"settings": {"text": text}, "machines": named}
    probe = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    desk.write(machines={machine: {} for machine in MACHINES}, instances={"probe": probe})


def state(desk: Desk) -> dict[str, tuple[object, ...]]:
    """Return everything that an undone switch must not have changed."""
    # A file that was put back is another inode, at another time; so are the folders that it went through.
    paths = ("/etc", "/srv", "/run/rolecall", "/var/lib/rolecall/original")

    def one(machine: str) -> tuple[object, ...]:
        return desk.look(machine, *paths, but=("inode", "mtime")), desk.on(machine, STATE, status=None)

    with ThreadPoolExecutor() as pool:
        return dict(zip(MACHINES, pool.map(one, MACHINES), strict=True))


def texts(desk: Desk) -> list[str]:
    """Return the text that each machine has, with the state of its unit."""
    script = f"cat /etc/motd; systemctl is-active {UNIT}; ls /srv/probe"
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda machine: desk.on(machine, script, status=None), MACHINES))


def new(text: str) -> list[str]:
    return [f"{text} on {machine}\nactive\n{text}\n" for machine in MACHINES]


@pytest.fixture(scope="module")
def office(office: Desk) -> Desk:
    office.rolecall("update", "--yes")
    return office


@pytest.fixture
def desk(office: Desk) -> Iterator[Desk]:
    """Two machines, updated to "one", on which nothing waits."""
    declare(office, "one")
    office.rolecall("update", "--yes")
    assert texts(office) == new("one")
    yield office
    office.end()
    for machine in MACHINES:
        office.on(machine, f"rm -f {HOLD_SWITCH} {HOLD_CHECK}")


def begin_held(desk: Desk, hold: str, *machines: str) -> subprocess.Popen[str]:
    """Start an update to "two", and yield when it waits on some machines."""
    for machine in machines:
        desk.on(machine, f"rm -f {hold}.by; touch {hold}")
    declare(desk, "two")
    update = desk.begin("update", "--yes")
    for machine in machines:
        desk.on(machine, f"timeout 60 sh -c 'until [ -s {hold}.by ]; do sleep 0.05; done'")
    return update


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (["/bin/sh", "-c", "echo this is why >&2; exit 1"], "this is why"),
        (["/bin/sh", "-c", "sleep 0.2; echo this is why >&2; exit 1"], "this is why"),
        (["/nowhere/program"], "/nowhere/program"),
    ],
    ids=["fails", "fails-late", "missing"],
)
def test_a_failing_unit_undoes_the_whole_run(desk: Desk, program: list[str], said: str) -> None:
    before = state(desk)
    declare(desk, "two", sara={"program": program})
    failed = desk.rolecall("update", "--yes", status=1)
    assert state(desk) == before
    assert UNIT in failed.stdout
    assert said in failed.stdout
    assert "failed; every machine is as it was before" in failed.stdout
    assert "updated" not in failed.stdout
    assert texts(desk) == new("one")
    declare(desk, "one")
    assert desk.rolecall("plan").stdout == "nothing changes (2 machines)\n"


def test_a_failed_first_switch_leaves_nothing(office: Desk) -> None:
    office.write(machines={machine: {} for machine in MACHINES})
    office.rolecall("update", "--yes")
    assert office.on("sara", "ls -d /etc/rolecall /run/rolecall /srv/probe 2>/dev/null; true") == ""
    before = state(office)
    declare(office, "two", sara={"program": ["/bin/false"]})
    report = office.json("update", "--yes", status=1)
    assert state(office) == before
    assert {outcome["result"] for outcome in report["machines"].values()} == {"restored"}


def test_an_agent_killed_during_a_switch_is_recovered_by_the_same_run(desk: Desk) -> None:
    before = state(desk)
    update = begin_held(desk, HOLD_SWITCH, "jon")
    assert texts(desk)[0] != new("one")[0]  # it is in the middle indeed
    desk.on("jon", f"kill -9 $(cat {HOLD_SWITCH}.by); rm {HOLD_SWITCH}")
    output, _ = update.communicate(timeout=60)
    assert update.returncode == 1, output
    assert "jon (the lab) restored" in output
    assert "sara (the lab) restored" in output
    assert "failed; every machine is as it was before" in output
    assert state(desk) == before
    assert "2 machines updated" in desk.rolecall("update", "--yes").stdout
    assert texts(desk) == new("two")


def kill_both_sides(desk: Desk) -> None:
    """Kill the controller and the agents during an update, on machines whose systemd cannot undo it."""
    update = begin_held(desk, HOLD_SWITCH, *MACHINES)
    for machine in MACHINES:
        desk.on(machine, "rm /var/lib/rolecall/agent/boot")
    update.kill()
    update.communicate()
    for machine in MACHINES:
        desk.on(machine, f"kill -9 $(cat {HOLD_SWITCH}.by) || true; rm {HOLD_SWITCH}")


def test_a_switch_without_controller_and_agents_is_recovered_by_the_next_run(desk: Desk) -> None:
    kill_both_sides(desk)
    assert texts(desk)[0] != new("one")[0]
    again = desk.rolecall("update", "--yes")
    assert "(the lab, an interrupted update was undone)" in again.stdout
    assert "2 machines updated" in again.stdout
    assert texts(desk) == new("two")


def test_a_plan_recovers_an_interrupted_switch(desk: Desk) -> None:
    before = state(desk)
    kill_both_sides(desk)
    declare(desk, "one")
    plan = desk.json("plan")
    assert {machine["recovered"] for machine in plan["machines"].values()} == {"undone"}
    assert state(desk) == before
    assert desk.rolecall("plan").stdout == "nothing changes (2 machines)\n"


@pytest.mark.parametrize("hold", [HOLD_SWITCH, HOLD_CHECK])
def test_agents_undo_the_switch_of_a_killed_controller(desk: Desk, hold: str) -> None:
    before = state(desk)
    update = begin_held(desk, hold, *MACHINES)
    for machine in MACHINES:
        journal = json.loads(desk.on(machine, "cat /var/lib/rolecall/journal.json"))
        assert journal["provisional"] is (hold == HOLD_CHECK)
    assert texts(desk)[0] != new("one")[0]
    update.kill()
    update.communicate()
    for machine in MACHINES:
        desk.on(
            machine, f"rm {hold}; timeout 30 sh -c 'while [ -e /var/lib/rolecall/journal.json ]; do sleep 0.1; done'"
        )
    assert state(desk) == before
    assert texts(desk) == new("one")
    assert "2 machines updated" in desk.rolecall("update", "--yes").stdout


def test_the_second_of_two_runs_is_refused(desk: Desk) -> None:
    update = begin_held(desk, HOLD_SWITCH, "jon")
    refused = desk.rolecall("update", "--yes", status=1)
    assert re.search(r"jon .*: the machine is locked by run \S+ of root@\S+ since 20.* UTC", refused.stdout)
    assert "failed; every machine is as it was before" in refused.stdout
    desk.on("jon", f"rm {HOLD_SWITCH}")
    output, _ = update.communicate(timeout=60)
    assert update.returncode == 0, output
    assert texts(desk) == new("two")
    assert desk.rolecall("plan").stdout == "nothing changes (2 machines)\n"


def test_a_boot_restores_files_below_run(desk: Desk) -> None:
    secret = desk.look("jon", "/run/rolecall", but=("inode", "mtime"))
    desk.lab.reboot("jon")
    assert desk.look("jon", "/run/rolecall", but=("inode", "mtime")) == secret
    assert desk.on("jon", "systemctl is-system-running --wait; systemctl is-active rolecall-boot.service") == (
        "running\nactive\n"
    )
    assert texts(desk) == new("one")
    assert desk.rolecall("plan").stdout == "nothing changes (2 machines)\n"


def test_a_switch_interrupted_by_power_loss_is_undone_at_boot(desk: Desk) -> None:
    before = state(desk)
    update = begin_held(desk, HOLD_SWITCH, "jon")
    desk.lab.kill("jon")
    desk.lab.start("jon")
    desk.lab.wait(["jon"])
    desk.on("jon", "systemctl is-system-running --wait")
    assert state(desk)["jon"] == before["jon"]
    output, _ = update.communicate(timeout=120)
    assert update.returncode == 1, output
    assert "jon (the lab) restored" in output
    assert state(desk) == before
    assert "2 machines updated" in desk.rolecall("update", "--yes").stdout
    assert texts(desk) == new("two")
