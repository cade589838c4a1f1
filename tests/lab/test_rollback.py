"""Saved plans and going back, on real machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Desk

SERVICE, MODULE = "page", "page"
MACHINES = ("jon", "sara")
PLACES = ("/srv", "/etc/password")
TIMES = ("mtime", "inode")


def declare(desk: Desk, text: str = "one") -> None:
    server = {"settings": {"text": text}, "tags": ["all"]}
    page = {"module": {"name": MODULE, "input": "self"}, "roles": {"server": server}}
    desk.write(machines={machine: {} for machine in MACHINES}, instances={"page": page})


def test_a_saved_plan_is_carried_out_as_it_is_or_not_at_all(office: Desk) -> None:
    desk = office
    desk.rolecall("update", "--yes")
    declare(desk, "two")
    file = str(desk.root / "a.plan")
    desk.rolecall("plan", "--out", file)
    desk.on("jon", "echo by hand >/srv/page")
    refused = desk.rolecall("update", file, "--yes", status=1)
    assert "error: jon itself has changed since the plan was saved" in refused.stderr
    assert desk.on("jon", "cat /srv/page") == "by hand\n"
    assert desk.on("sara", "cat /srv/page") == "one\n"
    plan = desk.rolecall("plan", "jon").stdout
    assert "-by hand\n      +two\n" in plan
    desk.on("jon", "echo one >/srv/page")
    desk.rolecall("update", file, "--yes")
    assert [desk.on(machine, "cat /srv/page") for machine in MACHINES] == ["two\n", "two\n"]


def test_a_run_is_taken_back_on_all_its_machines(office: Desk) -> None:
    desk = office
    declare(desk, "three")
    desk.rolecall("update", "--yes")
    before = {machine: desk.look(machine, *PLACES, but=TIMES) for machine in MACHINES}
    declare(desk, "four")
    desk.rolecall("update", "--yes")
    report = desk.json("rollback", "--yes")
    assert {name: each["result"] for name, each in report["machines"].items()} == dict.fromkeys(MACHINES, "updated")
    assert {machine: desk.look(machine, *PLACES, but=TIMES) for machine in MACHINES} == before
    back = {each["machine"]: each["back"] for each in desk.json("log", "-n", "1")["runs"][0]["machines"]}
    assert back == {name: each["generation"] - 2 for name, each in report["machines"].items()}
    warnings = [each["message"] for each in desk.json("plan")["warnings"]]
    assert [message.split(" (")[0] for message in warnings] == [
        f"{machine} went back to generation {back[machine]}" for machine in MACHINES
    ]


def test_a_machine_goes_back_to_nothing_and_keeps_no_secret(office: Desk) -> None:
    desk = office
    password = desk.on("sara", "cat /etc/password")
    desk.rolecall("vars", "rotate", "sara/page.password", "--yes")
    desk.rolecall("update", "--yes")
    assert desk.on("sara", "cat /etc/password") != password
    shown = desk.rolecall("rollback", "sara", "--to", "1", "--yes")
    assert "generation 1 was made with sara/page.password, replaced or removed since" in shown.stderr
    assert desk.on("sara", "cat /etc/password") != password
    desk.rolecall("rollback", "sara", "--to", "0", "--yes")
    assert desk.look("sara", "/srv/page", "/etc/password") == {}
