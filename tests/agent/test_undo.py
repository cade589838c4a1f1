"""Laws of a switch: undeclaring undoes it, and a kill at any point leaves the old or the new state, never a mixture."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path

import pytest
from agent_world import (
    META,
    NOTHING,
    OTHER,
    RICH,
    STATE,
    Killed,
    MortalOs,
    broken,
    configurations,
    copy,
    machine,
    make,
    snapshot,
    stage,
    update,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rolecall_agent import comparison, tree
from rolecall_agent.configuration import Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.machine import Machine
from rolecall_agent.resources import AuthorizedKey, File, User
from rolecall_agent.store import Store
from rolecall_agent.switch import switch
from rolecall_agent.undo import recover

pytestmark = pytest.mark.slow

KEY = "ssh-ed25519 KEY2"
QUICK = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@QUICK
@given(st.lists(configurations(), min_size=1, max_size=3))
def test_undeclaring_everything_restores_the_machine(them: list[Configuration]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder))
        before = snapshot(root)
        for target in them:
            update(root, target)
            it = machine(root)
            assert comparison.drift(it.system, it.store, target) == []
            assert comparison.compare(it.system, it.store, target, target).changes == []
        update(root, NOTHING)
        assert snapshot(root) == before
        assert list((root / STATE / "original").iterdir()) == [root / STATE / "original/index.json"]


@QUICK
@given(configurations(), configurations(), st.integers(0, 120), st.integers(0, 60))
def test_a_machine_killed_twice_is_old_or_new(old: Configuration, new: Configuration, first: int, second: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder, "m"))
        update(root, old)
        was = snapshot(root)
        other = copy(root, Path(folder, "other"))
        update(other, new)
        will_be = snapshot(other)
        with contextlib.suppress(Killed):
            update(root, new, lives=first)
        try:
            recovered = recover(machine(root, lives=second))
        except Killed:
            recovered = recover(machine(root))
        assert recovered in {None, "undone", "committed"}
        now = snapshot(root)
        assert now == (will_be if machine(root).store.current == 2 else was)
        if recovered:
            assert now == (will_be if recovered == "committed" else was)
        assert update(root, new) is None
        assert snapshot(root) == will_be


@pytest.mark.parametrize(("old", "new"), [(NOTHING, RICH), (RICH, OTHER), (RICH, NOTHING)])
def test_a_machine_killed_at_any_step_is_old_or_new(old: Configuration, new: Configuration, tmp_path: Path) -> None:
    root = make(tmp_path / "m")
    update(root, old)
    was = snapshot(root)
    update(copy(root, tmp_path / "new"), new)
    will_be = snapshot(tmp_path / "new")
    assert was != will_be
    ends = []
    for lives in range(1000):
        copy(root, tmp_path / "try")
        try:
            update(tmp_path / "try", new, lives)
        except Killed:
            recovered = recover(machine(tmp_path / "try"))
            committed = machine(tmp_path / "try").store.current == 2
            assert snapshot(tmp_path / "try") == (will_be if committed else was), f"killed before change {lives}"
            assert recovered in ({None, "committed"} if committed else {None, "undone"})
            assert not list((tmp_path / "try").rglob(".rolecall-*"))
            ends.append(recovered)
        else:
            break
    assert {None, "undone", "committed"} == set(ends)


@pytest.mark.parametrize(("old", "new"), [(NOTHING, RICH), (RICH, OTHER), (RICH, NOTHING)])
def test_a_machine_whose_undo_fails_recovers_once_the_cause_is_gone(
    old: Configuration, new: Configuration, tmp_path: Path
) -> None:
    root = make(tmp_path / "m")
    update(root, old)
    was = snapshot(root)
    update(copy(root, tmp_path / "new"), new)
    will_be = snapshot(tmp_path / "new")
    failed = 0
    for good in range(1000):
        failing = copy(root, tmp_path / "try")
        it = Machine(system := broken(failing, good), Store(system), lambda *_: None)
        try:
            stage(it, new)
            switch(it, new, META, nonce="n", confirm=False)
        except Exception as error:  # noqa: BLE001 - whatever the conversation would answer
            failed += isinstance(error, Failure) and not error.machine_unchanged
            machine(failing).store.prune()  # as at the end of a conversation, on a disk that works again
        else:
            break
        assert recover(machine(failing)) in {None, "undone"}
        assert snapshot(failing) == was, f"failed at change {good}"
        assert update(failing, new) is None
        assert snapshot(failing) == will_be, f"failed at change {good}"
    assert failed > 3


def test_a_kill_at_any_system_call_leaves_nothing_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a switch that creates parent folders, a home and links to files of root."""
    new = Configuration.of("m", [User("u1", home="/home/u1"), File("/opt/x/y", "1\n"), AuthorizedKey("root", KEY)])
    root = make(tmp_path / "m")
    (root / "root/.ssh/authorized_keys").rename(root / "etc/keys")
    (root / "root/.ssh/authorized_keys").symlink_to("../../etc/keys")
    was = snapshot(root)
    found = False
    for lives in itertools.count():
        copy(root, tmp_path / "try")
        try:
            with monkeypatch.context() as context:
                context.setattr(tree, "os", MortalOs(lives))
                update(tmp_path / "try", new)
        except Killed:
            it = machine(tmp_path / "try")
            it.store.prepare()
            found = found or bool(list((tmp_path / "try/home").rglob(".rolecall-*")))
            assert recover(it) in {None, "undone", "committed"}
            it.store.prune()  # as at the end of the next conversation
            assert not list((tmp_path / "try").rglob(".rolecall-*")), f"killed before call {lives}"
            assert it.store.current or snapshot(tmp_path / "try") == was, f"killed before call {lives}"
        else:
            break
    assert found


def test_an_agent_killed_before_its_journal_does_not_block_the_next(tmp_path: Path) -> None:
    root = make(tmp_path)
    for lives in range(12):
        with contextlib.suppress(Killed):
            update(root, RICH, lives)
    for number in range(1, 14):
        update(root, OTHER if number % 2 else RICH)
    assert len(list((root / STATE / "generations").iterdir())) == 10


def test_resources_restored_by_an_undo_are_still_managed(tmp_path: Path) -> None:
    root = make(tmp_path)
    before = snapshot(root)
    update(root, RICH)
    was = snapshot(root)
    it = machine(root)
    switch(it, NOTHING, META, nonce="n", confirm=False)
    assert snapshot(root) != was
    recover(it)
    assert snapshot(root) == was
    update(root, NOTHING)
    assert snapshot(root) == before
