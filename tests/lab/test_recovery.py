"""Undos on real machines: services that are down, undos that fail, and what `machines recover` does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.needs_ready import READY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk

SERVICE, MODULE = "needs_ready", "app"
MACHINES = ("jon", "sara")


def declare(desk: Desk, *machines: str, **settings: object) -> None:
    role = {"settings": settings, "machines": {machine: {} for machine in machines}}
    app = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    desk.write(machines={machine: {} for machine in MACHINES}, instances={"app": app} if machines else {})


@pytest.fixture
def desk(office: Desk) -> Iterator[Desk]:
    """Two machines; `app` is declared and runs on jon."""
    for machine in MACHINES:
        office.on(machine, f"touch {READY}")
    declare(office, "jon")
    office.rolecall("update", "--yes")
    assert office.on("jon", "systemctl is-active app.service; cat /etc/app.conf") == "active\none"
    yield office
    for machine in MACHINES:
        office.on(machine, f"touch {READY}; systemctl reset-failed", status=None)


def break_app(desk: Desk) -> None:
    desk.on("jon", f"rm {READY}; systemctl kill -s KILL app.service; sleep 0.3; ! systemctl is-active app.service")


def test_a_service_that_is_down_does_not_stop_an_update_of_something_else(desk: Desk) -> None:
    break_app(desk)
    declare(desk, "jon", other="two")
    assert "start app.service" in desk.rolecall("plan").stdout
    done = desk.rolecall("update", "--yes")
    assert "app.service was down before, and is still" in done.stdout + done.stderr
    assert desk.on("jon", "cat /etc/other.conf") == "two"


def test_an_undo_does_not_start_what_was_down(desk: Desk) -> None:
    break_app(desk)
    declare(desk, "jon", text="two")
    done = desk.rolecall("update", "--yes", status=1)
    assert "restored" in done.stdout + done.stderr
    assert desk.on("jon", "cat /etc/app.conf; ls /var/lib/rolecall/journal.json", status=2).startswith("one")
    desk.on("jon", f"touch {READY}")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/app.conf; systemctl is-active app.service") == "twoactive\n"


def test_a_service_that_moves_and_fails_comes_back(desk: Desk) -> None:
    declare(desk, "sara", fails=True)
    done = desk.rolecall("update", "--yes", status=1)
    assert "every machine is as it was before" in done.stdout + done.stderr
    assert desk.on("jon", "systemctl is-active app.service; cat /etc/app.conf") == "active\none"
    assert desk.on("sara", "ls /etc/app.conf /etc/systemd/system/app.service", status=2)
    declare(desk, "sara")
    desk.rolecall("update", "--yes")
    assert desk.on("sara", "systemctl is-active app.service") == "active\n"


def test_what_cannot_be_undone_is_named_and_settled_later(desk: Desk) -> None:
    """The service ran before the update, and starts neither with the new text nor with the old one."""
    desk.on("jon", f"rm {READY}")  # it runs on
    declare(desk, "jon", text="two", other="two")
    done = desk.rolecall("update", "--yes", status=1)
    assert "unit:app.service" in done.stdout + done.stderr
    assert "every machine is as it was before" not in done.stdout + done.stderr
    assert desk.on("jon", "cat /etc/app.conf /etc/other.conf") == "oneone"
    shown = desk.json("machines", "recover", "jon")
    assert [each["key"] for each in shown["interrupted"]["damage"]] == ["unit:app.service"]
    desk.rolecall("plan", status=1)
    # Until systemd has tried, too; the next try would come after five minutes.
    trying = "systemctl list-units --plain --no-legend 'rolecall-agent-*' | grep -q ."
    waiting = "systemctl show --property SubState rolecall-recover.service | grep -q auto-restart"
    desk.on("jon", f'timeout 30 sh -c "while {trying} || ! {waiting}; do sleep 0.1; done"')
    desk.on("jon", f"touch {READY}")
    assert desk.rolecall("machines", "recover", "jon", "--retry").stdout == "undone: jon is as it was before\n"
    assert desk.on("jon", "systemctl is-active app.service") == "active\n"
    assert desk.json("machines", "recover", "jon") == {"interrupted": None, "settled": ""}
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/app.conf /etc/other.conf") == "twotwo"


def test_what_cannot_be_undone_is_tried_again_by_systemd(desk: Desk) -> None:
    desk.on("jon", f"rm {READY}")
    declare(desk, "jon", text="two")
    desk.rolecall("update", "--yes", status=1)
    state = "systemctl show --property SubState,RestartUSec rolecall-recover.service"
    desk.on("jon", f"timeout 30 sh -c 'until {state} | grep -q auto-restart; do sleep 0.1; done'")
    assert "RestartUSec=5min" in desk.on("jon", state)
    desk.on("jon", f"touch {READY}; systemctl restart rolecall-recover.service")  # `start` would wait for 5 minutes
    over = "test ! -e /var/lib/rolecall/journal.json && systemctl is-active app.service"
    desk.on("jon", f"timeout 30 sh -c 'until {over}; do sleep 0.1; done'")
    assert desk.on("jon", "cat /etc/app.conf") == "one"
    desk.on("jon", "timeout 30 sh -c 'while systemctl cat rolecall-recover.service; do sleep 0.1; done'")
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/app.conf") == "two"


@pytest.mark.parametrize("way", [("--give-up", "unit:app.service"), ("--accept",)])
def test_a_person_settles_it(desk: Desk, way: tuple[str, ...]) -> None:
    desk.on("jon", f"rm {READY}")
    declare(desk, "jon", text="two")
    desk.rolecall("update", "--yes", status=1)
    desk.rolecall("machines", "recover", "jon", *way)
    declare(desk)  # undeclared: what does not run need not run
    desk.rolecall("update", "--yes")
    gone = "ls /etc/app.conf /etc/systemd/system/app.service /var/lib/rolecall/journal.json"
    assert desk.on("jon", gone, status=2).count("No such file") == 3


def test_a_read_only_file_system_is_no_dead_end(desk: Desk) -> None:
    desk.on("jon", "mkdir -p /srv/x && mount --bind /etc /etc && mount -o remount,ro,bind /etc")
    try:
        declare(desk, "jon", other="two")
        desk.rolecall("update", "--yes", status=1)
    finally:
        desk.on("jon", "umount /etc")
    assert desk.on("jon", "cat /etc/other.conf") == "one"
    desk.rolecall("update", "--yes")
    assert desk.on("jon", "cat /etc/other.conf") == "two"
