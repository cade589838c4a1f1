"""Logins by one door wait for one another; those by others do not."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from speaking import speaking

from rolecall.deploy import doors as module
from rolecall.deploy.doors import AT_ONCE, Doors
from rolecall.deploy.early import EarlySessions
from rolecall.deploy.session import Session
from rolecall.deploy.target import Target

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
Host web-*
  ProxyJump op@gate:23,other
Host nested
  ProxyJump web-1
Host proxied-*
  ProxyCommand ssh -W [%h]:%p gate
Host gate
  HostName 10.0.0.1
Host loop
  ProxyJump loop
"""


def behind(door: str) -> Target:
    """Return a target with a door of this name."""
    return Target(door, door)


def most_at_once(doors: Doors, targets: list[Target]) -> Counter[str]:
    """Log in to all targets; return by machine how many logins there were at once, at most."""
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()
    lock = threading.Lock()

    def log_in(target: Target) -> None:
        leave = doors.enter(target)
        with lock:
            inside[target.machine] += 1
            most[target.machine] = max(most[target.machine], inside[target.machine])
        time.sleep(0.005)
        with lock:
            inside[target.machine] -= 1
        leave()

    with ThreadPoolExecutor(len(targets)) as pool:
        list(pool.map(log_in, targets))
    return most


def test_only_a_few_log_in_by_one_door_at_once() -> None:
    targets = [behind("jump") for _ in range(30)] + [behind("other") for _ in range(30)]
    assert most_at_once(Doors(), targets) == {"jump": AT_ONCE, "other": AT_ONCE}


def test_after_a_refusal_fewer_log_in_by_that_door() -> None:
    doors = Doors()
    for _ in range(AT_ONCE - 3):
        doors.narrow(behind("jump"))
    targets = [behind("jump") for _ in range(12)] + [behind("other") for _ in range(12)]
    assert most_at_once(doors, targets) == {"jump": 3, "other": AT_ONCE}
    for _ in range(AT_ONCE):
        doors.narrow(behind("jump"))
    assert most_at_once(doors, targets)["jump"] == 1


def test_a_login_that_takes_long_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    doors = Doors()
    for _ in range(3 * AT_ONCE):
        doors.enter(behind("jump"))


def test_a_few_machines_have_no_need_to_know_their_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(module, "_first_host", lambda ssh: asked.append(ssh) or str(ssh))
    doors = Doors()
    for number in range(AT_ONCE):
        doors.enter(Target("m", "m", ssh=("--", f"m{number}")))
    assert not asked
    doors.enter(Target("m", "m", ssh=("--", "last")))
    assert len(asked) == AT_ONCE + 1


@pytest.mark.parametrize(
    ("host", "door"),
    [
        ("direct", "direct 22"),
        ("gate", "10.0.0.1 22"),
        ("web-1", "10.0.0.1 23"),
        ("web-2", "10.0.0.1 23"),
        ("nested", "10.0.0.1 23"),
        ("proxied-1", "ssh -W [%h]:%p gate"),
        ("loop", "loop "),
        ("-x", "-x "),
    ],
)
def test_a_door_is_the_first_jump_host_of_ssh_config(tmp_path: Path, host: str, door: str) -> None:
    config = tmp_path / "config"
    config.write_text(CONFIG)
    doors = Doors()
    target = Target("m", "m", ssh=("-F", str(config), "--", host))
    doors.narrow(target)
    [found] = doors._limits  # noqa: SLF001 - there is no other way to see a door
    assert found.startswith(door)


def test_the_door_of_a_machine_in_a_network_is_its_jump_host() -> None:
    doors = Doors()
    jump = Target("jump", "jump", ssh=("--", "192.0.2.1"))
    for target in (jump, Target("m", "m", ssh=("-o", "ProxyCommand=x", "--", "10.0.0.7"), door=jump.ssh)):
        doors.narrow(target)
    assert doors._limits == {  # noqa: SLF001 - as above
        "192.0.2.1 22": AT_ONCE - 2
    }


@pytest.mark.slow
def test_a_login_ends_with_the_first_word_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 60)
    began = time.monotonic()
    sessions = [Session(speaking(["sh", "-c", "sleep 0.1; echo hello; sleep 1000"])) for _ in range(2 * AT_ONCE)]
    assert time.monotonic() - began < 10
    for session in sessions:
        session.abandon()


@pytest.mark.slow
def test_more_early_sessions_than_may_log_in_end_at_once() -> None:
    targets = [speaking(["sleep", "1000"]) for _ in range(2 * AT_ONCE)]
    began = time.monotonic()
    with EarlySessions(targets):
        pass
    assert time.monotonic() - began < module.PATIENCE / 2


def test_a_program_that_is_missing_leaves_the_door() -> None:
    for _ in range(2 * AT_ONCE):
        with pytest.raises(FileNotFoundError):
            Session(speaking(["/nowhere/ssh"]))
