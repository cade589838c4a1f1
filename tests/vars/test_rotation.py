"""Rotated values: pending beside the stored ones, which they replace as a whole, never lost on the way."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.recipes import Recipe, Replacement
from rolecall.model.vars import VarFile, VarKey
from rolecall.service import Function, Passphrase
from rolecall.vars import store
from rolecall.vars.make import making

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from rolecall.model.generators import Context
    from rolecall.model.vars import StoredVar
    from rolecall.project import Project

ROOT, LEAF, OTHER, PEER = (
    VarKey("", "ca"),
    VarKey("jon", "web.tls"),
    VarKey("jon", "web.word"),
    VarKey("sara", "web.all"),
)
SIGNED = Function(
    lambda context: {"certificate": b"signed by " + context.inputs["ca"]["passphrase"][:3]},
    (VarFile("certificate", secret=False),),
)
GATHERED = Function(
    lambda context: {"all": b",".join(values["certificate"] for values in context.peers["tls"].values())},
    (VarFile("all", secret=False),),
)
RECIPES = [
    Recipe(ROOT, Passphrase(), "web.ca"),
    Recipe(LEAF, SIGNED, "web.server", inputs=(("ca", ROOT),)),
    Recipe(OTHER, Passphrase(), "web.server"),
    Recipe(PEER, GATHERED, "web.list", peers={"tls": {"jon": LEAF}}),
]


def run(project: Project, recipes: list[Recipe] = RECIPES, rotate: Container[VarKey] = ()) -> dict[VarKey, StoredVar]:
    with making(project, recipes, Replacement(rotate)) as work:
        return work.make(recipes, lambda *_: ())


@pytest.fixture
def made(project: Project) -> Project:
    v.promote(project, run(project))
    return project


def values(project: Project) -> dict[VarKey, StoredVar]:
    return v.stored_all(project)


def test_a_rotated_var_is_pending_with_all_that_reads_it(made: Project) -> None:
    before = values(made)
    after = run(made, rotate={ROOT})
    assert {key for key in after if after[key] != before[key]} == {ROOT, LEAF, PEER}
    assert values(made) == before
    assert v.pending(made) == {key: after[key] for key in (ROOT, LEAF, PEER)}
    assert v.stored(made, list(before)) == after
    old = v.decrypt(made, [(ROOT, "passphrase")])
    new = v.decrypt(made, [(ROOT, "passphrase")], pending={ROOT})
    assert old != new
    assert after[LEAF]["certificate"].public == f"signed by {new[ROOT, 'passphrase'][:3].decode()}"
    assert run(made) == after  # once is enough
    v.promote(made, after)
    assert values(made) == after
    assert v.pending(made) == {}
    assert v.decrypt(made, [(ROOT, "passphrase")]) == new
    assert not list(made.vars.rglob(".replaces"))
    assert run(made) == after


def test_a_pending_rotation_can_be_repeated_or_dropped(made: Project) -> None:
    before = values(made)
    first, second = run(made, rotate={OTHER}), run(made, rotate={OTHER})
    assert first[OTHER] != second[OTHER]
    assert v.pending(made) == {OTHER: second[OTHER]}
    assert v.discard(made) == [OTHER]
    assert run(made) == values(made) == before


def test_the_rotation_that_was_stored_first_counts(made: Project) -> None:
    mine = run(made, rotate={OTHER})
    theirs = replace(made, root=made.root.parent / "theirs")
    shutil.copytree(made.vars, theirs.vars)
    shutil.copytree(made.keys, theirs.keys)
    v.promote(theirs, run(theirs, rotate={OTHER}))
    shutil.rmtree(made.vars)
    shutil.copytree(theirs.vars, made.vars)
    assert v.pending(made) == {}
    assert run(made) == values(theirs)
    with pytest.raises(Faults, match="no longer what the plan showed"):
        v.promote(made, {OTHER: mine[OTHER]})
    assert v.discard(made, keep=[OTHER]) == [OTHER]


@pytest.mark.parametrize("validation", ["", "x"])
def test_a_var_is_regenerated_when_its_validation_changes(made: Project, validation: str) -> None:
    def recipes(validation: str) -> list[Recipe]:
        return [replace(RECIPES[0], validation=validation), *RECIPES[1:]]

    shutil.rmtree(made.vars)
    v.promote(made, run(made, recipes(validation)))
    before = values(made)
    assert run(made, recipes(validation)) == before
    after = run(made, recipes("y"))
    changed = {ROOT, LEAF, PEER} if validation else set()  # what a var without a note was made for is unknown
    assert {key for key in after if after[key] != before[key]} == changed
    assert run(made, recipes("y")) == after
    v.promote(made, after)
    assert run(made, recipes("y")) == values(made) == after


@pytest.mark.parametrize("secret", [True, False])
def test_a_var_can_extend_its_stored_value(project: Project, *, secret: bool) -> None:
    def extended(context: Context) -> dict[str, bytes]:
        return {"list": context.earlier.get("list", b"") + context.wanted.encode()}

    def recipes(wanted: str) -> list[Recipe]:
        function = Function(extended, (VarFile("list", secret=secret),))
        return [Recipe(ROOT, function, "web.ca", validation=wanted, wanted=wanted, binds="much", extends=True)]

    def value(*, pending: bool = False) -> bytes:
        if secret:
            return v.decrypt(project, [(ROOT, "list")], pending={ROOT} if pending else ())[ROOT, "list"]
        return (v.pending(project) if pending else values(project))[ROOT]["list"].public.encode()

    run(project, recipes("a"))
    v.promote(project, run(project, recipes("b")))
    assert value() == b"ab"  # nothing was stored, so the pending value counted
    shutil.rmtree(project.vars)
    v.promote(project, run(project, recipes("a")))
    assert value() == b"a"
    run(project, recipes("b"))
    assert value(pending=True) == b"ab"
    v.promote(project, run(project, recipes("c")))  # the plan with b was not carried out
    assert value() == b"ac"
    run(project, recipes("d"), rotate={ROOT})
    assert value(pending=True) == b"d"
    assert value() == b"ac"


def test_a_promotion_that_is_killed_loses_nothing(made: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = values(made)
    real = os.rename
    for kill in range(20):
        after = run(made, rotate={ROOT})
        left = kill

        def rename(source: str, target: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            real(source, target)

        monkeypatch.setattr(os, "rename", rename)
        try:
            v.promote(made, {key: after[key] for key in (ROOT, LEAF, PEER)})
        except KeyboardInterrupt:
            killed = True
        else:
            killed = False
        monkeypatch.setattr(os, "rename", real)
        with store.locked(made):
            pass  # the next writer recovers
        now = values(made)
        assert now.keys() == before.keys()
        assert all(now[key] in (before[key], after[key]) for key in now)
        v.promote(made, {key: after[key] for key in (ROOT, LEAF, PEER)})
        assert values(made) == after
        assert v.decrypt(made, [(ROOT, "passphrase")])
        before = after
        if not killed:
            break
    assert kill == 6  # two moves for each of three
    assert not (made.local / "replaced").exists()


def test_a_var_that_the_inventory_does_not_ask_for_is_not_rotated(made: Project) -> None:
    (made.root / "inventory.toml").write_text("[machines.jon]\n")
    with pytest.raises(Faults, match=r"the inventory needs no var 'jon/web\.word'"):
        pipeline.rotate(pipeline.Workspace(made), ["jon/web.word"])


def test_given_values_replace_generated_ones(made: Project) -> None:
    before = values(made)
    with making(made, RECIPES, Replacement(given={ROOT: {"passphrase": b"mine"}})) as work:
        after = work.make(RECIPES, lambda *_: ())
    assert {key for key in after if after[key] != before[key]} == {ROOT, LEAF, PEER}
    assert after[LEAF]["certificate"].public == "signed by min"
    v.promote(made, after)
    assert v.decrypt(made, [(ROOT, "passphrase")]) == {(ROOT, "passphrase"): b"mine"}


def test_files_that_are_not_given_keep_their_values(project: Project) -> None:
    both = Function(lambda _: {"private": b"x", "public": b"y"}, (VarFile("private"), VarFile("public", secret=False)))
    recipe = Recipe(OTHER, both, "web.server")
    given = {OTHER: {"public": b"ssh-ed25519 AAAA"}}
    with pytest.raises(Faults, match=r"the given value of jon/web\.word lacks private"):
        _give(project, recipe, given)
    v.promote(project, run(project, [recipe]))
    private = v.decrypt(project, [(OTHER, "private")])
    _give(project, recipe, given)
    v.promote(project, v.pending(project))
    assert v.stored_all(project)[OTHER]["public"].public == "ssh-ed25519 AAAA"
    assert v.decrypt(project, [(OTHER, "private")]) == private


def _give(project: Project, recipe: Recipe, given: Mapping[VarKey, Mapping[str, bytes]]) -> None:
    with making(project, [recipe], Replacement(given=given)) as work:
        work.make([recipe], lambda *_: ())


def test_a_bound_reader_is_regenerated_only_by_force(made: Project) -> None:
    recipes = [replace(recipe, binds="much is lost" if recipe.key == LEAF else "") for recipe in RECIPES]
    message = (
        r"jon/web\.tls would be regenerated because what it is generated from has changed: much is lost\n"
        r"hint: .*rotate --force jon/web\.tls`"
    )
    with pytest.raises(Faults, match=message):
        run(made, recipes, rotate={ROOT})
    assert v.pending(made) == {}
    with making(made, recipes, Replacement({ROOT}, force=True)) as work:
        work.make(recipes, lambda *_: ())
    assert v.pending(made).keys() == {ROOT, LEAF, PEER}


def test_given_values_replace_a_bound_var_only_by_force(project: Project) -> None:
    _backup(project)
    name, file = "jon/backup.repokey", Path("vars.json")
    text = json.dumps({"vars": {name: {"passphrase": {"text": "mine"}}}}).encode()
    assert pipeline.set_var(pipeline.Workspace(project), name, {"": b"mine"})[0] == VarKey(
        "jon", "backup.repokey"
    )  # nothing is stored yet
    v.discard(project)
    pipeline.generate(pipeline.Workspace(project))
    for give in (
        lambda **options: pipeline.set_var(pipeline.Workspace(project), name, {"": b"mine"}, **options),
        lambda **options: pipeline.import_vars(pipeline.Workspace(project), text, file, **options),
    ):
        with pytest.raises(Faults, match="is not replaced: the repositories are encrypted with it"):
            give()
        assert v.pending(project) == {}
        give(force=True)
        assert len(v.discard(project)) == 1


def _backup(project: Project) -> None:
    (project.root / "inventory.toml").write_text(
        "[machines]\njon = {}\nstore = {}\n[instances.backup.module]\nname = 'borgbackup'\n"
        "[instances.backup.roles]\nclient.machines.jon = {}\nserver.machines.store = {}\n"
    )


def test_generate_leaves_pending_rotations_alone(project: Project) -> None:
    _backup(project)
    assert len(pipeline.generate(pipeline.Workspace(project))) == 2
    before = values(project)
    [rotated] = pipeline.rotate(pipeline.Workspace(project), ["jon/backup.repokey"], force=True)
    shutil.rmtree(project.vars / "per-machine/jon/backup.ssh")
    assert pipeline.generate(pipeline.Workspace(project)) == [VarKey("jon", "backup.ssh")]
    assert values(project)[rotated.key] == before[rotated.key]
    assert v.pending(project).keys() == {rotated.key}


def test_a_given_pending_value_is_replaced_only_by_force(project: Project) -> None:
    _backup(project)
    name, key = "jon/backup.repokey", VarKey("jon", "backup.repokey")
    pipeline.set_var(pipeline.Workspace(project), name, {"": b"mine"})
    given = v.pending(project)[key]
    text = json.dumps({"vars": {name: {"passphrase": {"text": "other"}}}}).encode()
    for give in (
        lambda **options: pipeline.rotate(pipeline.Workspace(project), [name], **options),
        lambda **options: pipeline.import_vars(pipeline.Workspace(project), text, Path("vars.json"), **options),
    ):
        with pytest.raises(Faults, match="is not replaced: the repositories are encrypted with it"):
            give()
        assert v.pending(project)[key] == given
    pipeline.rotate(pipeline.Workspace(project), [name], force=True)
    assert v.pending(project)[key] != given
