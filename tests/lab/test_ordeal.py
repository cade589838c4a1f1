"""Kills, cuts and power losses at random moments: each machine is in the old state or the new one, and says which.

Each round updates all machines while something happens to some of them. `ROLECALL_ROUNDS` sets the number of rounds of
each kind, `ROLECALL_SEED` what the moments are computed from.
"""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from conftest import Desk

SERVICE, MODULE = "probe", "probe"
MACHINES = ("a", "b", "c", "d")
ROUNDS = int(os.environ.get("ROLECALL_ROUNDS", "2"))
SEED = int(os.environ.get("ROLECALL_SEED", "11"))
LONGEST = 2.5  # seconds within which something happens; an update of these machines takes about two

UNIT = "rolecall-probe.daemon.service"
LOOK = f"""cat /etc/probe/* | sort -u; ls /srv/probe; systemctl is-active {UNIT}
systemctl show --value -p Description {UNIT}; stat -c '%U %G %a' /srv/probe /etc/probe/* | sort -u"""
AT_WORK = (
    "test -e /var/lib/rolecall/journal.json || systemctl list-units --plain --no-legend 'rolecall-agent-*' | grep ."
)


def whole(text: str) -> str:
    return f"{10 * text}\n{text}\nactive\nA daemon: {text}\nprobe probe 750\nprobe root 644\n"


@pytest.fixture(scope="module")
def desk(office: Desk) -> Desk:
    office.rolecall("update", "--yes")
    return office


def declare(desk: Desk, text: str = "start") -> None:
    settings = {"text": text, "copies": 10, "checkSeconds": 0.3}
    role = {"settings": settings, "machines": {machine: {} for machine in MACHINES}}
    probe = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    desk.write(machines={machine: {} for machine in MACHINES}, instances={"probe": probe})


def kill_controller(desk: Desk, update: subprocess.Popen[str], chance: random.Random) -> None:  # noqa: ARG001 - as the others
    time.sleep(chance.uniform(0, LONGEST))
    update.kill()


def kill_agents(desk: Desk, update: subprocess.Popen[str], chance: random.Random) -> None:  # noqa: ARG001
    each(lambda machine, moment: _after(moment, lambda: desk.on(machine, KILL, status=None)), chance)


def cut_links(desk: Desk, update: subprocess.Popen[str], chance: random.Random) -> None:
    each(lambda machine, moment: _after(moment, lambda: desk.lab.cut(machine)), chance)
    update.wait(180)
    for machine in MACHINES:
        desk.lab.plug(machine)
    desk.lab.wait(MACHINES)


def lose_power(desk: Desk, update: subprocess.Popen[str], chance: random.Random) -> None:  # noqa: ARG001
    def lose(machine: str, moment: float) -> None:
        time.sleep(moment)
        desk.lab.kill(machine)
        desk.lab.start(machine)
        desk.lab.wait([machine])

    each(lose, chance)


KILL = "systemctl kill --signal=KILL 'rolecall-agent-*'"


def each(act: Callable[[str, float], object], chance: random.Random) -> None:
    """Do something on each machine, at a moment of its own."""
    moments = [chance.uniform(0, LONGEST) for _ in MACHINES]
    with ThreadPoolExecutor() as pool:
        list(pool.map(act, MACHINES, moments))


def _after(seconds: float, act: Callable[[], object]) -> None:
    time.sleep(seconds)
    act()


@pytest.mark.parametrize("happens", [kill_controller, kill_agents, lose_power, cut_links], ids=lambda it: it.__name__)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_round(desk: Desk, happens: Callable[..., None], number: int) -> None:
    chance = random.Random(f"{SEED} {happens.__name__} {number}")  # noqa: S311 - not for a secret
    before = desk.on("a", "ls /srv/probe").strip()
    text = f"{happens.__name__}{number}"
    declare(desk, text)
    update = desk.begin("update", "--yes")
    happens(desk, update, chance)
    printed, _ = update.communicate(timeout=180)
    for machine in MACHINES:
        desk.on(machine, f"timeout 60 sh -c 'while {AT_WORK.replace(chr(39), chr(34))}; do sleep 0.1; done'")
    with ThreadPoolExecutor() as pool:
        states = dict(zip(MACHINES, pool.map(lambda machine: desk.on(machine, LOOK), MACHINES), strict=True))
    assert set(states.values()) <= {whole(before), whole(text)}, printed
    forward = {machine for machine in MACHINES if states[machine] == whole(text)}
    plan = desk.rolecall("plan")
    if forward and forward != set(MACHINES):
        assert "was decided, but not completed on" in plan.stdout + plan.stderr
    if "every machine is as it was before" in printed:
        assert not forward, printed
    if f"{len(MACHINES)} machines updated" in printed:
        assert len(forward) == len(MACHINES), printed
    desk.rolecall("update", "--yes")
    assert desk.on("b", LOOK) == whole(text)
    assert desk.rolecall("plan").stdout == f"nothing changes ({len(MACHINES)} machines)\n"
