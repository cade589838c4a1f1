"""Rotation without a gap: the new value is accepted beside the old one, then used, then the old one is dropped."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rolecall import pipeline
from rolecall import vars as v
from rolecall.cli import rolecall
from rolecall.cli.common import Invocation
from rolecall.errors import Faults
from rolecall.model.generators import NotDeclaredError
from rolecall.model.recipes import Recipe, Replacement
from rolecall.model.vars import StoredVar, VarFile, VarKey, current, slot, step_of
from rolecall.model.world import Host, View, World
from rolecall.service import Function, Passphrase
from rolecall.service.contract import Service
from rolecall.service.member import Member
from rolecall.vars import layout, store
from rolecall.vars.make import making
from rolecall_agent import staging

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from rolecall.project import Project

WORD, NOTE = VarKey("jon", "web.word"), VarKey("jon", "web.note")
READING = Function(lambda context: {"note": context.inputs["word"]["passphrase"]}, (VarFile("note", secret=False),))
RECIPES = [
    Recipe(WORD, Passphrase(), "web.server", accepted=True),
    Recipe(NOTE, READING, "web.server", inputs=(("word", WORD),)),
]
INVENTORY = """
[machines.jon]
deploy.targetHost = "dir:targets/jon"
[machines.store]
deploy.targetHost = "dir:targets/store"
[instances.backup]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store = {}
"""
SSH = VarKey("jon", "backup.ssh")
KEYS = "targets/store/var/lib/borg/.ssh/authorized_keys"
PRIVATE = "targets/jon/run/rolecall/secrets/backup.ssh/private"


def run(project: Project, advance: Container[VarKey] = (), rotate: Container[VarKey] = ()) -> dict[VarKey, StoredVar]:
    with making(project, RECIPES, Replacement(rotate, advance)) as work:
        after = work.make(RECIPES, lambda *_: ())
    assert after == v.stored(project, after)
    return after


def promoted(project: Project, advance: Container[VarKey] = ()) -> dict[VarKey, StoredVar]:
    v.promote(project, run(project, advance))
    return v.stored_all(project)


def test_the_steps_of_a_rotation(project: Project) -> None:
    before = promoted(project)
    first = promoted(project, {WORD})
    assert (step_of(first[WORD]), current(first[WORD]), first[NOTE]) == (1, before[WORD], before[NOTE])
    new = slot(first[WORD], ".next/")
    assert v.decrypt(project, [(WORD, "passphrase")]) != v.decrypt(project, [(WORD, ".next/passphrase")])
    second = promoted(project, {WORD})
    assert (step_of(second[WORD]), current(second[WORD])) == (2, new)  # the very value, the version says
    assert slot(second[WORD], ".old/") == before[WORD]
    [value] = v.decrypt(project, [(WORD, "passphrase")]).values()
    assert second[NOTE]["note"].public == value.decode() != first[NOTE]["note"].public
    third = promoted(project, {WORD})
    assert third == {WORD: new, NOTE: second[NOTE]}
    assert v.with_wrong_recipients(project) == []
    assert run(project) == third


def test_a_step_changes_nothing_stored_until_it_is_promoted(project: Project) -> None:
    for steps in range(4):
        before = promoted(project, {WORD} if steps else ())
        run(project, {WORD})
        assert v.stored_all(project) == before
        v.discard(project)
        assert run(project) == before


class Mortal:
    """Counts the calls that change files, and raises KeyboardInterrupt in the n-th."""

    def __init__(self, lives: int, patch: pytest.MonkeyPatch) -> None:
        self.lives = lives
        for module, name in ((os, "rename"), (os, "mkdir"), (os, "unlink"), (os, "open"), (shutil, "copytree")):
            patch.setattr(module, name, partial(self.call, getattr(module, name)))

    def call(self, real: Callable[..., Any], *words: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever it is
        self.lives -= 1
        if self.lives < 0:
            raise KeyboardInterrupt
        return real(*words, **more)


@pytest.mark.slow
def test_a_step_that_is_killed_anywhere_is_done_or_not_started(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(project)
    for step in (1, 2, 0):
        before = v.stored_all(project)[WORD]
        snapshot = project.root.with_name(f"before {step}")
        shutil.copytree(project.root, snapshot)
        for lives in count():
            shutil.rmtree(project.root)
            shutil.copytree(snapshot, project.root)
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                mortal = Mortal(lives, patch)
                v.promote(project, run(project, {WORD}))
            with store.locked(project):
                pass  # the next writer recovers
            now = v.stored_all(project)[WORD]
            assert now == before or step_of(now) == step
            secrets = [(WORD, name) for name in now]
            assert len(v.decrypt(project, secrets)) == len(now)
            v.promote(project, run(project, {WORD} if now == before else ()))
            assert step_of(v.stored_all(project)[WORD]) == step
            if mortal.lives >= 0:
                break
        assert lives > 20


def test_at_once_ends_a_rotation(project: Project) -> None:
    promoted(project)
    before = promoted(project, {WORD})
    v.promote(project, run(project, rotate={WORD}))
    after = v.stored_all(project)[WORD]
    assert step_of(after) == 0
    assert after["passphrase"] not in before[WORD].values()


def test_the_value_in_use_is_what_get_prints(project: Project) -> None:
    (project.root / "inventory.toml").write_text("")
    promoted(project)
    promoted(project, {WORD})
    [value] = v.decrypt(project, [(WORD, "passphrase")]).values()
    assert call(project, "vars", "get", "--yes", "jon/web.word") == value.decode()
    assert call(project, "vars", "get", "--yes", "jon/web.word/.next/passphrase") != value.decode()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_each_value_that_is_listed_can_be_read(project: Project, step: int) -> None:
    (project.root / "inventory.toml").write_text("")
    for _ in range(step):
        promoted(project, {WORD})
    run(project, {WORD})
    workspace = pipeline.Workspace(project)
    rows = pipeline.stored_values(workspace)
    assert any(row.pending for row in rows)
    for row in rows:
        pending = [row.key] if row.pending else ()
        folder = layout.file_folder(project.pending if row.pending else project.vars, row.key, row.file)
        assert layout.version(folder) == row.version
        if row.secret:
            [value] = v.decrypt(project, [(row.key, row.file)], pending=pending).values()
        else:
            value = layout.read_bytes(f"{folder}/value")
        assert pipeline.read_value(workspace, row) == value
        assert pipeline.find_value(workspace, str(row)).file == row.file


def test_secrets_of_a_rotation_are_listed_checked_and_re_encrypted(project: Project) -> None:
    promoted(project)
    promoted(project, {WORD})
    assert [str(each) for each in v.sealed(project)] == ["jon/web.word/passphrase", "jon/web.word/.next/passphrase"]
    values = v.decrypt(project, [(WORD, ".next/passphrase")])
    v.add_admin(project, "sara", "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa")
    assert len(v.with_wrong_recipients(project)) == 2
    v.fix(project)
    assert v.with_wrong_recipients(project) == []
    assert v.decrypt(project, [(WORD, ".next/passphrase")]) == values


def test_only_vars_declared_as_accepted_have_several_values(project: Project) -> None:
    role = Service("x", description="X.").role("r", description="R.")
    plain, word = role.var("plain", Passphrase()), role.var("word", Passphrase(), accepted=True)
    promoted(project)
    stored = promoted(project, {WORD})[WORD]
    world = World({}, {"jon": Host("jon")}, {VarKey("jon", "web.plain"): stored, VarKey("jon", "web.word"): stored})
    me: Member[Any] = Member(View(world), "web", "r", "jon", None)
    assert [each.secret.version for each in me.accepted(word)] == [
        stored["passphrase"].version,
        stored[".next/passphrase"].version,
    ]
    assert me[word].secret.path == "/run/rolecall/secrets/web.word/passphrase"
    assert me.accepted(word)[1].secret.path == "/run/rolecall/secrets/web.word/.next/passphrase"
    with pytest.raises(NotDeclaredError, match="not declared as accepted"):
        me.accepted(plain)


MOVES = st.lists(st.sampled_from(["advance", "at once", "update", "discard", "run"]), max_size=12)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MOVES)
def test_no_order_of_steps_leaves_a_gap(project: Project, moves: list[str]) -> None:
    """In steps, what is used after an update was accepted before it, and what was used before is accepted after it."""
    for folder in (project.vars, project.pending):
        shutil.rmtree(folder, ignore_errors=True)
    promoted(project)
    at_once = False
    for move in moves:
        before = v.stored_all(project)
        match move:
            case "advance" | "at once":
                waits = bool(v.pending(project))
                run(project, **{"advance" if move == "advance" else "rotate": {WORD}})
                at_once = move == "at once" or (at_once and waits)
            case "discard":
                v.discard(project)
                at_once = False
            case "update":
                v.promote(project, run(project))
                after = v.stored_all(project)
                if not at_once:
                    assert current(after[WORD])["passphrase"] in before[WORD].values()
                    assert current(before[WORD])["passphrase"] in after[WORD].values()
                at_once = False
            case _:
                run(project)
        if move != "update":
            assert v.stored_all(project) == before
        for var in (v.stored_all(project), v.pending(project)):
            for key, files in var.items():
                secrets = [(key, name) for name, file in files.items() if file.secret]
                assert len(v.decrypt(project, secrets, pending=v.pending(project))) == len(secrets)
    [word] = v.decrypt(project, [(WORD, "passphrase")]).values()
    assert v.stored_all(project)[NOTE]["note"].public == word.decode()  # what is made from it is of the one in use


# The whole way, on machines that are directories.


@pytest.fixture
def desk(project: Project) -> Project:
    (project.root / "inventory.toml").write_text(INVENTORY)
    call(project, "update", "--yes")
    return project


def call(project: Project, *words: str, status: int = 0) -> str:
    """Return what a command prints, or the faults that it ends with."""
    done = CliRunner().invoke(rolecall, ["-C", str(project.root), *words], obj=Invocation())
    assert done.exit_code == status, done.output
    if isinstance(done.exception, Faults):
        return str(done.exception)
    return done.stdout if "--json" in words else done.output


def state(project: Project) -> tuple[str, list[str]]:
    """Return the private key that the client uses, and the public keys that the server accepts."""
    lines = (project.root / KEYS).read_text().splitlines()
    return (project.root / PRIVATE).read_text(), [line.split()[-2] for line in lines]  # before the comment


@pytest.mark.slow
def test_one_command_does_all_three_updates(desk: Project) -> None:
    private, [public] = state(desk)
    output = json.loads(call(desk, "vars", "rotate", "jon/backup.ssh", "--update", "--yes", "--json"))
    assert [(each["var"], each["step"]) for each in output["vars"]] == [("jon/backup.ssh", step) for step in (1, 2, 3)]
    touched = [
        [name for name, outcome in sorted(report["machines"].items()) if outcome["result"] == "updated"]
        for report in output["updates"]
    ]
    assert touched == [["store"], ["jon"], ["store"]]
    after, [new] = state(desk)
    assert (after != private, new != public) == (True, True)
    assert call(desk, "plan") == "nothing changes (2 machines)\n"


@pytest.mark.slow
def test_each_step_waits_for_the_machines(desk: Project) -> None:
    private, [public] = state(desk)
    call(desk, "vars", "rotate", "jon/backup.ssh")
    waits = call(desk, "vars", "rotate", "jon/backup.ssh", status=1)
    assert "error: a new value of jon/backup.ssh is already pending" in waits
    assert "a new value is accepted beside it" in call(desk, "plan")
    call(desk, "update", "--yes")
    assert state(desk)[0] == private
    assert public in state(desk)[1]
    assert "step 1 of 3 is done" in call(desk, "plan")
    (desk.root / KEYS).write_text("")  # drift
    late = call(desk, "vars", "rotate", "jon/backup.ssh", status=1)
    assert "a rotation continues when all machines are up to date, and store is not" in late
    call(desk, "update", "--yes")
    assert "step 2 of 3" in call(desk, "vars", "rotate", "jon/backup.ssh")
    # Interrupted here; later one command completes it, and starts no other rotation.
    output = json.loads(call(desk, "vars", "rotate", "jon/backup.ssh", "--update", "--yes", "--json"))
    assert [each["step"] for each in output["vars"]] == [3]
    assert len(state(desk)[1]) == 1
    assert state(desk)[0] != private


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2])
def test_a_value_that_is_known_does_not_stay_because_its_rotation_was_begun(desk: Project, steps: int) -> None:
    for _ in range(steps):
        call(desk, "vars", "rotate", "jon/backup.ssh")
        call(desk, "update", "--yes")
    known = {state(desk)[0], *state(desk)[1]}
    warned = call(desk, "vars", "rotate", "--known-to", "jon")
    assert "the rotation of jon/backup.ssh was begun before, so its new value may be known too" in warned
    call(desk, "vars", "discard")
    output = json.loads(call(desk, "vars", "rotate", "--known-to", "jon", "--update", "--yes", "--json"))
    assert [each["step"] for each in output["vars"]] == [*range(steps + 1, 4), 1, 2, 3]
    private, public = state(desk)
    assert known.isdisjoint({private, *public})
    assert len(public) == 1


@pytest.mark.slow
def test_an_update_that_fails_ends_it(desk: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "failing_already", lambda *_: [])  # the commands begin to fail only then
    record = desk.root / "targets/jon/var/lib/rolecall/system.json"
    call(desk, "vars", "rotate", "jon/backup.ssh")
    call(desk, "update", "--yes")
    before = state(desk)
    fail = json.loads(record.read_text())
    record.write_text(json.dumps({**fail, "fail": {"commands": ["/etc/rolecall/backup/backup"]}}))
    output = json.loads(call(desk, "vars", "rotate", "jon/backup.ssh", "--update", "--yes", "--json", status=1))
    assert [report["done"] for report in output["updates"]] == [False]
    assert state(desk) == before
    record.write_text(json.dumps(fail))
    late = call(desk, "vars", "rotate", "jon/backup.ssh", status=1)  # promoted, but the machine has it not
    assert "and jon is not" in late
    call(desk, "update", "--yes")
    call(desk, "vars", "rotate", "jon/backup.ssh", "--update", "--yes")
    assert step_of(v.stored_all(desk)[SSH]) == 0


@pytest.mark.slow
def test_at_once_is_one_update(desk: Project) -> None:
    output = json.loads(call(desk, "vars", "rotate", "jon/backup.ssh", "--at-once", "--update", "--yes", "--json"))
    assert output["vars"] == [{"var": "jon/backup.ssh", "step": 0}]
    assert len(output["updates"]) == 1


def test_a_var_that_peers_cannot_accept_twice_is_replaced_at_once(desk: Project) -> None:
    output = json.loads(call(desk, "vars", "rotate", "jon/backup.repokey", "--force", "--json"))
    assert output == {"vars": [{"var": "jon/backup.repokey", "step": 0}], "updates": []}
