"""Functions that make the vars of a run and write them as pending: all of them or none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rolecall.vars import soundness, store
from rolecall.vars.decide import NOTHING
from rolecall.vars.maker import Maker, sealed_file
from rolecall.vars.order import in_order, unique
from rolecall.vars.prompts import Answers
from rolecall.vars.secret_stores import chosen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolecall.model.recipes import Recipe, Replacement
    from rolecall.model.vars import StoredVar, VarFile, VarKey
    from rolecall.project import Project


def missing(project: Project, recipes: Sequence[Recipe]) -> list[VarKey]:
    """Return the vars that a run would make, inputs before what reads them.

    Raises:
        Faults: When recipes contradict each other, need one another in a circle, or do not fit what is stored.
    """
    return Maker(project, in_order(recipes)).missing


def make(project: Project, recipes: Sequence[Recipe]) -> dict[VarKey, StoredVar]:
    """Make the vars that are missing, and write them as pending: all of them, or none.

    Args:
        project: The project.
        recipes: Recipes that read no exports.

    Returns:
        The vars of all recipes, whether stored, pending or new.

    Raises:
        Faults: As `making` and `Maker.make`.
    """
    ordered = in_order(recipes)
    with making(project, ordered) as maker:
        return maker.make(ordered, lambda *_: ())


@contextmanager
def making(project: Project, recipes: Iterable[Recipe], replacement: Replacement = NOTHING) -> Iterator[Maker]:
    """Make vars step by step; they become pending when the block ends without an error, else nothing is written.

    Args:
        project: The project.
        recipes: The recipe of every var that the block uses.
        replacement: What the run is to replace.

    Raises:
        Faults: When recipes contradict each other or do not fit what is stored.
    """
    all_recipes = list(unique(recipes).values())
    maker = Maker(project, all_recipes, replacement)
    if not maker.missing:
        yield maker
        return
    generated = [recipe for recipe in all_recipes if maker.actions[recipe.key].generates]
    answers = Answers(project, generated)  # before the lock, for which others may wait
    with store.locked(project):
        maker = Maker(project, all_recipes, replacement, answers)  # again: another writer may have been first
        yield maker
        store.write_pending(project, maker.made, maker.recipients)


def drafts(
    project: Project, values: Mapping[VarKey, Mapping[VarFile, tuple[str, bytes]]], bound: Mapping[VarKey, str]
) -> dict[VarKey, store.Draft]:
    """Return vars that no recipe asks for now, ready to be written.

    Args:
        project: The project.
        values: By file: its version, "" for a new one, and its value.
        bound: What is lost with each var.

    Raises:
        Faults: When a secret is among them and no admin key exists.
    """
    secret_store = chosen(project)
    return {
        key: store.Draft(
            {file: sealed_file(secret_store, key, file, value, version) for file, (version, value) in files.items()},
            notes={"binds": bound[key]},
        )
        for key, files in values.items()
    }


def store_drafts(project: Project, drafts: Mapping[VarKey, store.Draft]) -> None:
    """Store vars that no recipe asks for now, without waiting for an update: all of them or none.

    Raises:
        Faults: When a name is invalid, or no admin key exists.
    """
    if not drafts:
        return
    secret = any(file.secret for draft in drafts.values() for file in draft.files)
    recipients = chosen(project).recipients() if secret else ()
    with store.locked(project):
        store.write_pending(project, drafts, recipients)
    store.promote(project, soundness.read(project.pending, drafts))
