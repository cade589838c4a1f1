from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.recipes import Recipe
from rolecall.model.vars import VarFile, VarKey
from rolecall.project import Project
from rolecall.vars import create_identity, layout, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolecall.model.generators import Context

MARKER = b"MARKER-OF-A-SECRET"


@dataclass(frozen=True)
class Marked:
    """Makes a public and a secret file."""

    pause: float = 0
    files: tuple[VarFile, ...] = (VarFile("private"), VarFile("public", secret=False))

    def generate(self, context: Context) -> Mapping[str, bytes]:
        time.sleep(self.pause)
        return {"private": MARKER + str(context.key).encode(), "public": str(context.key).encode()}

    def view(self, files: Mapping[str, object]) -> Mapping[str, object]:
        return files


KEYS = [VarKey("jon", "b.x"), VarKey("jon", "b.y"), VarKey("sara", "b.x"), VarKey("", "ca")]
RECIPES = [Recipe(key, Marked(), "b.client") for key in KEYS]


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed before its step-th change or read of the file system."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside the test runner's threads
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = step
    watched = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link"}

    def count(event: str, _: object) -> None:
        nonlocal left
        if event in watched:
            left -= 1
            if left < 0:
                os._exit(9)

    try:
        sys.addaudithook(count)
        work()
        os._exit(0)
    finally:
        os._exit(1)


@contextmanager
def fresh() -> Iterator[Project]:
    """A project for each example of a property test."""
    folder = Path(tempfile.mkdtemp())
    try:
        project = Project(folder)
        create_identity(project, "me")
        yield project
    finally:
        shutil.rmtree(folder)


def assert_whole(project: Project, found: Mapping[VarKey, object]) -> None:
    """Assert that each var exists once, with all its files and its own value."""
    for key in found:
        places = [base for base in (project.vars, project.pending) if Path(layout.var_folder(base, key)).exists()]
        assert len(places) == 1
        assert v.decrypt(project, [(key, "private")]) == {(key, "private"): MARKER + str(key).encode()}


@pytest.mark.slow
@settings(max_examples=12)
@given(step=st.integers(0, 90), again=st.integers(0, 60))
def test_making_is_all_or_nothing_whenever_it_is_killed(step: int, again: int) -> None:
    with fresh() as project:
        first = v.make(project, RECIPES[:1])
        killed_at(step, lambda: v.make(project, RECIPES))
        killed_at(again, lambda: v.make(project, RECIPES))
        left = [path for path in project.local.rglob("*") if path.is_file()]
        assert not any(MARKER in path.read_bytes() for path in left)
        with store.locked(project):
            pass  # whoever writes next clears up
        found = v.pending(project)
        assert set(found) in ({KEYS[0]}, set(KEYS))
        assert_whole(project, found)
        made = v.make(project, RECIPES)
        assert {**made, **found, **first} == made
        assert not (project.local / "making").exists()
        assert not (project.local / "made").exists()


@pytest.mark.slow
@settings(max_examples=12)
@given(steps=st.lists(st.integers(0, 45), min_size=1, max_size=3), chosen=st.sets(st.sampled_from(KEYS)))
def test_promoting_loses_and_doubles_nothing_whenever_it_is_killed(steps: list[int], chosen: set[VarKey]) -> None:
    with fresh() as project:
        made = v.make(project, RECIPES)
        shown = {key: made[key] for key in chosen}
        for step in steps:
            killed_at(step, lambda: v.promote(project, shown))
            assert v.stored(project, KEYS) == made
        v.promote(project, shown)
        v.promote(project, shown)
        assert v.stored_all(project) == shown
        assert v.pending(project) == {key: made[key] for key in KEYS if key not in chosen}
        assert_whole(project, made)


@pytest.mark.slow
@settings(max_examples=8)
@given(step=st.integers(0, 60), keep=st.sets(st.sampled_from(KEYS)))
def test_removal_is_all_or_nothing_whenever_it_is_killed(step: int, keep: set[VarKey]) -> None:
    with fresh() as project:
        made = v.make(project, RECIPES)
        v.promote(project, {key: made[key] for key in KEYS[:2]})
        killed_at(step, lambda: (v.prune(project, keep), v.discard(project, keep)))
        assert_whole(project, v.stored(project, KEYS))
        v.prune(project, keep)
        v.discard(project, keep)
        assert v.stored(project, KEYS) == {key: made[key] for key in KEYS if key in keep}
        assert not (project.local / "removed").exists()


@pytest.mark.parametrize("mask", [0, 0o077])
def test_modes_and_no_secret_in_plain(project: Project, mask: int) -> None:
    shutil.rmtree(project.local, ignore_errors=True)
    old = os.umask(mask)
    try:
        made = v.make(project, RECIPES)
        v.promote(project, {KEYS[0]: made[KEYS[0]]})
    finally:
        os.umask(old)
    files = [path for path in project.root.rglob("*") if project.keys not in (path, *path.parents)]
    assert sum(path.name == "secret" for path in files) == len(KEYS)
    for path in files:
        private = path.name in ("secret", "vars.lock")
        mode = 0o600 if private else (0o755 if path.is_dir() else 0o644) & ~mask
        assert (path, oct(path.stat().st_mode & 0o777)) == (path, oct(mode))
        assert path.is_dir() or MARKER not in path.read_bytes()


def test_what_the_plan_showed_is_what_is_promoted(project: Project) -> None:
    shown = v.make(project, RECIPES)
    v.discard(project, keep=KEYS[1:])
    message = r"jon/b.x no longer exists\n[^$]*hint: look at a new `rolecall plan`"
    with pytest.raises(Faults, match=message):
        v.promote(project, shown)
    assert v.stored_all(project) == {}
    v.make(project, RECIPES)
    with pytest.raises(Faults, match=r"jon/b.x is no longer what the plan showed"):
        v.promote(project, shown)
    assert v.stored_all(project) == {}


def test_what_a_colleague_stored_counts_and_stays(project: Project) -> None:
    mine = v.make(project, RECIPES)
    shutil.move(project.pending, project.root / "aside")
    theirs = v.make(project, RECIPES[:1])
    v.promote(project, theirs)
    shutil.rmtree(project.pending)
    shutil.move(project.root / "aside", project.pending)
    assert v.stored(project, KEYS) == mine | theirs
    assert KEYS[0] not in v.pending(project)
    with pytest.raises(Faults, match="no longer"):
        v.promote(project, mine)
    assert v.discard(project, keep=KEYS) == [KEYS[0]]
    assert v.stored(project, KEYS) == mine | theirs


def test_a_dry_run_of_prune_changes_nothing(project: Project) -> None:
    made = v.make(project, RECIPES)
    v.promote(project, made)
    assert v.prune(project, KEYS[1:], dry_run=True) == [KEYS[0]]
    assert v.stored_all(project) == made
    (project.vars / "README.md").write_text("mine")
    assert v.prune(project, ()) == sorted(KEYS)
    assert [path.name for path in project.vars.iterdir() if path.is_file()] == ["README.md"]
    assert v.prune(project, ()) == []
    assert v.discard(project) == []


def _make_slowly(root: Path) -> None:
    recipes = [Recipe(key, Marked(pause=0.02), "b.client") for key in KEYS]
    v.make(Project(root), recipes)


def test_two_writers_at_once_do_not_mix(project: Project) -> None:
    fork = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in `killed_at`
        both = [fork.Process(target=_make_slowly, args=(project.root,)) for _ in range(2)]
        for process in both:
            process.start()
    seen = []
    while any(process.is_alive() for process in both):
        seen.append(v.pending(project))
    for process in both:
        process.join()
        assert process.exitcode == 0
    made = v.pending(project)
    assert set(made) == set(KEYS)
    assert_whole(project, made)
    # Whatever was seen on the way has the versions of the end: nothing was made twice.
    assert all(made[key] == var for one in seen for key, var in one.items())


def test_a_writer_does_not_wait_for_ever(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.05)
    with store.locked(project), pytest.raises(Faults, match="another rolecall"), store.locked(project):
        pass


def test_a_disk_error_is_a_fault(project: Project) -> None:
    project.local.write_text("no folder")
    with pytest.raises(Faults, match="vars cannot be written"):
        v.make(project, RECIPES)


def test_empty_folders_and_other_names_are_not_vars(project: Project) -> None:
    (project.vars / "per-machine/jon/b.x").mkdir(parents=True)
    (project.vars / "per-machine/.git/b.x/f").mkdir(parents=True)
    (project.vars / "shared").write_text("")
    assert v.stored_all(project) == {}
