"""Real machines that reboot within a run. `ROLECALL_MACHINES` sets how many."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from services.reboots import BOOTED, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk

SERVICE, MODULE = "reboots", "app"
MACHINES = tuple(f"m{number}" for number in range(1, int(os.environ.get("ROLECALL_MACHINES", "4")) + 1))
LAST = MACHINES[-1]
LOOK = f"cat /etc/app.conf {BOOTED}; ls /run/credentials/rolecall 2>/dev/null; systemctl is-system-running"
BOOT = "cat /proc/sys/kernel/random/boot_id; ! test -e /var/lib/rolecall/journal.json"


def declare(desk: Desk, *, seconds: int = 60, **settings: object) -> None:
    role = {"settings": settings, "tags": ["all"]}
    app = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    machines = {machine: {"deploy": {"rebootSeconds": seconds}} for machine in MACHINES}
    desk.write(machines=machines, instances={"app": app})


def everywhere(desk: Desk, script: str) -> dict[str, str]:
    with ThreadPoolExecutor() as pool:
        return dict(zip(MACHINES, pool.map(lambda machine: desk.on(machine, script), MACHINES), strict=True))


def wait_until_whole(desk: Desk) -> None:
    desk.lab.wait(MACHINES)
    script = "systemctl is-system-running --wait; while test -e /var/lib/rolecall/journal.json; do sleep 0.1; done"
    everywhere(desk, f"timeout 60 sh -c '{script}'")


def looks(desk: Desk) -> set[str]:
    return set(everywhere(desk, LOOK).values())


@pytest.fixture(scope="module")
def first(office: Desk) -> Desk:
    done = office.rolecall("update", "--yes", "--reboot", "never")
    assert "a reboot is pending: the text of the app" in done.stdout
    return office


@pytest.fixture
def desk(first: Desk) -> Iterator[Desk]:
    yield first
    first.on(LAST, f"rm -f {REFUSED}")


def test_all_reboot_and_the_new_state_counts(desk: Desk) -> None:
    before = everywhere(desk, BOOT)
    declare(desk, text="two")
    assert "reboot the machine: the text of the app (because of file /etc/app.conf)" in desk.rolecall("plan").stdout
    done = desk.rolecall("update", "--yes")
    assert f"{len(MACHINES)} machines updated" in done.stdout
    after = everywhere(desk, BOOT)
    assert all(before[machine] != after[machine] for machine in MACHINES)
    [look] = looks(desk)
    assert look.startswith("twotwo")
    assert look.endswith("running\n")
    assert desk.rolecall("plan").stdout == f"nothing changes ({len(MACHINES)} machines)\n"


def test_all_are_as_before_when_one_fails_its_check_afterwards(desk: Desk) -> None:
    wait_until_whole(desk)
    [before] = looks(desk)
    desk.on(LAST, f"touch {REFUSED}")
    boots = everywhere(desk, BOOT)
    declare(desk, text="three")
    failed = desk.rolecall("update", "--yes", status=1)
    assert "the check 'app.node: is accepted' failed" in failed.stdout + failed.stderr
    assert "every machine is as it was before" in failed.stdout + failed.stderr
    assert looks(desk) == {before}
    assert all(boots[machine] != boot for machine, boot in everywhere(desk, BOOT).items())


def test_one_that_does_not_come_back_in_time_goes_back_by_itself(desk: Desk) -> None:
    [before] = looks(desk)
    declare(desk, seconds=15, lockOut=True, text="four")
    failed = desk.rolecall("update", "--yes", status=1)
    late = r"m1 .* restored .*: (not back within 15 s after its reboot|.*: nobody returned within 15 s after)"
    assert re.search(late, failed.stdout), failed.stdout + failed.stderr
    wait_until_whole(desk)
    assert looks(desk) == {before}


def test_one_whose_power_is_lost_after_the_reboot_goes_back(desk: Desk) -> None:
    [before] = looks(desk)
    declare(desk, text="five")
    desk.on(LAST, f"touch {REFUSED}")
    update = desk.begin("update", "--yes")
    assert update.stdout
    for line in update.stdout:
        if f"{LAST}: back after" in line:
            break
    desk.lab.kill(LAST)
    desk.lab.start(LAST)
    printed, _ = update.communicate(timeout=180)
    wait_until_whole(desk)
    assert looks(desk) == {before}, printed
