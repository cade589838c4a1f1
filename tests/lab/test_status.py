"""The status and the history of real machines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from services.reports import READY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk

SERVICE, MODULE = "reports", "app"
MACHINES = ("jon", "sara")


def declare(desk: Desk, *, sara: str = "", **settings: object) -> None:
    node: dict[str, Any] = {"settings": settings, "tags": ["all"]}
    if sara:
        node["machines"] = {"sara": {"settings": {"text": sara}}}
    app = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": node}}
    desk.write(machines={machine: {} for machine in MACHINES}, instances={"app": app})


@pytest.fixture
def desk(office: Desk) -> Iterator[Desk]:
    """Two machines that are well."""
    for machine in MACHINES:
        office.on(machine, f"touch {READY}")
    declare(office)
    office.rolecall("update", "--yes")
    yield office
    for machine in MACHINES:
        office.on(machine, f"systemctl reset-failed; rm -f {READY}", status=None)


def reports(machine: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {report["name"]: (report["level"], report["text"]) for report in machine["reports"]}


def test_all_that_is_wrong_shows_and_nothing_changes(desk: Desk) -> None:
    found = desk.json("status")
    assert found["well"], found
    assert reports(found["machines"]["jon"]) == {"is ready": ("ok", ""), "who": ("ok", "nobody")}
    assert {each["declared"] for each in found["machines"].values()} == {"same"}
    desk.on("jon", f"rm {READY}; echo two >/etc/app.conf; systemd-run --unit=broken --wait false", status=None)
    before = desk.look("jon", "/etc", "/var/lib/rolecall", "/usr/local")
    found = desk.json("status", status=1)
    assert desk.look("jon", "/etc", "/var/lib/rolecall", "/usr/local") == before
    jon, sara = (found["machines"][name] for name in MACHINES)
    assert sara["well"]
    assert [each["key"] for each in jon["drift"]] == ["file:/etc/app.conf"]
    assert jon["failed_units"] == ["broken.service"]
    assert reports(jon)["is ready"] == ("error", "not ready")
    assert jon["reboot"] is None  # it has the kernel of its host
    assert not found["machines"]["jon"]["interrupted"]
    desk.on("jon", f"touch {READY}; systemctl reset-failed broken; touch /run/reboot-required")
    desk.rolecall("update", "--yes")
    assert desk.json("status")["machines"]["jon"]["reboot"] == ["/run/reboot-required exists"]
    desk.on("jon", "rm /run/reboot-required")


def test_an_update_that_was_undone_is_in_the_history_of_both(desk: Desk) -> None:
    declare(desk, text="two", sara="unready")
    desk.rolecall("update", "--yes", status=1)
    last = desk.json("log", "-n", "1")["runs"][0]
    results = {each["machine"]: (each["result"], each["message"]) for each in last["machines"]}
    reason = "the check 'app.node: is ready' failed"
    assert results == {"sara": ("failed", reason), "jon": ("undone", f"sara: {reason}")}


def test_a_check_that_failed_before_the_update_does_not_undo_it(desk: Desk) -> None:
    desk.on("sara", f"rm {READY}")
    declare(desk, text="two")
    note = "the check 'app.node: is ready' failed before this run, and still fails"
    assert f"updated (generation 2): {note}" in desk.rolecall("update", "--yes").stdout
    last = desk.json("log", "-n", "1")["runs"][0]
    assert {each["machine"]: each["message"] for each in last["machines"]} == {"sara": note, "jon": ""}


def test_a_machine_that_is_off_is_skipped_and_brought_up_to_date_by_the_next_run(desk: Desk) -> None:
    desk.lab.kill("jon")
    declare(desk, text="two")
    assert "`--offline skip`" in desk.rolecall("update", "--yes", status=1).stdout
    assert "1 machine updated, jon skipped" in desk.rolecall("update", "--yes", "--offline", "skip").stdout
    assert desk.on("sara", "cat /etc/app.conf") == "two"
    desk.lab.start("jon")
    assert "1 machine updated (" in desk.rolecall("update", "--yes", "--offline", "wait=1m", "--skip-check", "*").stdout
    assert desk.on("jon", "cat /etc/app.conf") == "two"


def test_a_command_that_takes_too_long_ends_with_its_children(desk: Desk) -> None:
    desk.on("jon", f"echo 4711 >{READY}")  # seconds that the check sleeps, after it has started a child
    began = desk.on("jon", "date +%s")
    found = desk.json("status", "jon", status=1)
    assert int(desk.on("jon", "date +%s")) - int(began) < 20
    assert "took longer than 3 seconds" in reports(found["machines"]["jon"])["is ready"][1]
    assert desk.on("jon", "pgrep -f 'sleep 4711'", status=1) == ""
    desk.on("jon", f": >{READY}")


def test_a_machine_that_is_off_hides_no_other(desk: Desk) -> None:
    desk.lab.kill("sara")
    done = desk.rolecall("status", status=1)
    assert re.search(r"^sara +the lab +no answer ", done.stdout, re.MULTILINE)
    assert re.search(r"^jon +the lab +[0-9]+ ", done.stdout, re.MULTILINE)
    assert "unreachable: " in done.stdout
    log = desk.json("log", status=1)
    assert log["runs"]
    assert list(log["problems"]) == ["sara"]
    desk.lab.start("sara")
    desk.lab.wait(["sara"])
    found = desk.json("status", "sara", status=1)["machines"]["sara"]  # what is below /run is gone
    assert (found["problem"], reports(found)["is ready"]) == ("", ("error", "not ready"))
