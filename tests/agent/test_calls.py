"""Laws of a switch at every system call: killed there, or failing there, the machine ends in the old or the new state.

Each case counts the calls of an update, then runs it once for each of them. Nothing is sampled.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest
import toy
from agent_world import META, NOTHING, OTHER, RICH, STATE, Killed, copy, machine, make, snapshot, stage, update
from calls import Calls, from_call
from toy import OTHER_PARAMETERS, PARAMETERS, Parameter

from rolecall_agent import resources
from rolecall_agent.errors import Failure
from rolecall_agent.resources import KINDS
from rolecall_agent.switch import commit, decide, switch
from rolecall_agent.systems.recorded import RecordedSystem
from rolecall_agent.undo import recover

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall_agent.configuration import Configuration

pytestmark = pytest.mark.slow

UPDATES = pytest.mark.parametrize(
    ("old", "new"),
    [(NOTHING, RICH), (RICH, OTHER), (RICH, NOTHING), (PARAMETERS, OTHER_PARAMETERS)],
    ids=["first", "change", "undeclare", "an unknown kind"],
)


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown kind, and a machine that boots, and so has the boot unit."""
    monkeypatch.setitem(KINDS, Parameter.kind, Parameter.__name__)
    monkeypatch.setitem(sys.modules, f"{resources.__name__}.{Parameter.kind}", toy)
    monkeypatch.setattr(RecordedSystem, "boots", True)


def ends(root: Path, old: Configuration, new: Configuration, tmp_path: Path) -> tuple[dict[str, object], ...]:
    """Update a machine to the old configuration, and return what it is like with the old one and with the new one."""
    update(make(root), old)
    update(copy(root, tmp_path / "new"), new)
    return snapshot(root), snapshot(tmp_path / "new")


def leftovers(root: Path, *, also_kept: bool = False) -> list[Path]:
    """Return the temporary files that are left; only with ``also_kept`` those in the state directory, too."""
    found = [path for path in root.rglob(".rolecall*") if ".rolecall-" in path.name]
    return [path for path in found if also_kept or not path.is_relative_to(root / STATE)]


def at_call(number: int, error: BaseException) -> Calls:
    """Let this call alone end with an error."""
    return Calls(lambda call: error if call == number else None)


@UPDATES
def test_killed_at_any_call(old: Configuration, new: Configuration, tmp_path: Path) -> None:
    was, will_be = ends(root := tmp_path / "m", old, new, tmp_path)
    settled = set()
    for number in range(10000):
        tried = copy(root, tmp_path / "try")
        try:
            with from_call(number, Killed()):
                update(tried, new)
        except Killed:
            recovered = recover(machine(tried))
            committed = machine(tried).store.current == 2
            assert snapshot(tried) == (will_be if committed else was), f"killed at call {number}"
            assert not leftovers(tried), f"killed at call {number}"
            settled.add(recovered)
            update(tried, new)
            assert not leftovers(tried, also_kept=True), f"killed at call {number}"
        else:
            break
    assert settled == {None, "undone", "committed"}


@UPDATES
def test_killed_at_any_call_of_the_recovery(old: Configuration, new: Configuration, tmp_path: Path) -> None:
    was, will_be = ends(root := tmp_path / "m", old, new, tmp_path)
    it = machine(root)
    stage(it, new)
    switch(it, new, META, nonce="n", confirm=False)
    provisional = copy(root, tmp_path / "provisional")
    committed = copy(root, tmp_path / "committed")
    machine(committed).store.set_current(2)
    for start, end in ((provisional, was), (committed, will_be)):
        for number in range(10000):
            tried = copy(start, tmp_path / "try")
            try:
                with from_call(number, Killed()):
                    recover(machine(tried))
            except Killed:
                recover(machine(tried))
                assert snapshot(tried) == end, f"killed at call {number}"
                assert not leftovers(tried)
            else:
                break
        assert number > 5


@UPDATES
def test_killed_at_any_call_of_decide_and_commit(old: Configuration, new: Configuration, tmp_path: Path) -> None:
    """A machine that knows of the decision goes forward, and one that has not goes back."""
    was, will_be = ends(root := tmp_path / "m", old, new, tmp_path)
    it = machine(root)
    stage(it, new)
    switch(it, new, META, nonce="n", confirm=False)
    undecided = decided = 0
    for number in range(10000):
        tried = copy(root, tmp_path / "try")
        heard = False
        try:
            with from_call(number, Killed()):
                it = machine(tried)
                decide(it)
                heard = True
                commit(it)
        except Killed:
            recovered = recover(machine(tried))
            committed = machine(tried).store.current == 2
            assert snapshot(tried) == (will_be if committed else was)
            assert committed or not heard
            assert recovered in ({None, "committed"} if committed else {"undone"})
            decided += heard
            undecided += not heard
        else:
            break
    assert decided > 5
    assert undecided > 2


@pytest.mark.parametrize("lasting", [True, False])
@UPDATES
def test_failing_at_any_call(old: Configuration, new: Configuration, tmp_path: Path, *, lasting: bool) -> None:
    """A disk that is full or broken for one call, or from then on: once the cause is gone, all is well by itself."""
    was, will_be = ends(root := tmp_path / "m", old, new, tmp_path)
    outcomes = set()
    for number in range(10000):
        tried = copy(root, tmp_path / "try")
        error = OSError(code := (errno.ENOSPC, errno.EIO)[number % 2], os.strerror(code))
        it, switched, decided = machine(tried), False, False
        try:
            with (from_call if lasting else at_call)(number, error) as calls:
                stage(it, new)
                switch(it, new, META, nonce="n", confirm=False)
                switched = True
                decide(it)
                decided = True
                commit(it)
        except Exception as failed:  # noqa: BLE001 - whatever the conversation would answer
            whole = not switched and (not isinstance(failed, Failure) or failed.machine_unchanged)
            if whole:
                assert snapshot(tried) == was, f"call {number} failed, and it says that nothing changed"
            outcomes.add(whole)
        else:
            if calls.count <= number:
                break
        recovered = recover(machine(tried))
        assert recovered in ({None, "committed"} if decided else {None, "undone", "committed"})
        assert snapshot(tried) == (will_be if machine(tried).store.current == 2 else was), f"failed at call {number}"
        update(tried, new)
        assert snapshot(tried) == will_be, f"failed at call {number}"
        assert not leftovers(tried, also_kept=True)
        assert not (tried / STATE / "journal.json").exists()
    assert outcomes == {True, False}
