"""Making vars: recipes in the order of their inputs, all of them or none."""

from __future__ import annotations

import graphlib
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.model.vars import Context
from rolecall.vars import store
from rolecall.vars.keys import sealer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rolecall.model.vars import Recipe, StoredVar, VarFile, VarKey
    from rolecall.project import Project


def missing(project: Project, recipes: Sequence[Recipe]) -> list[VarKey]:
    """The vars that are neither stored nor pending, inputs before what needs them.

    Raises:
        Faults: When recipes contradict each other, need one another in a circle, or do not fit what is stored.
    """
    return [recipe.key for recipe in _to_make(project, _in_order(recipes))]


def make(project: Project, recipes: Sequence[Recipe]) -> dict[VarKey, StoredVar]:
    """Makes the vars that are missing and puts them into the pending set: all of them, or none.

    Returns:
        The vars of all recipes, whether stored, pending before, or made now.

    Raises:
        Faults: As `missing`; when a generator fails or does not make exactly its files; when a secret is to be made
            and there is no admin key.
    """
    ordered = _in_order(recipes)
    if _to_make(project, ordered):
        with store.locked(project):
            # Asked again: whoever held the lock may have made them.
            store.write_pending(project, _run(project, _to_make(project, ordered)))
    return store.stored(project, [recipe.key for recipe in ordered])


def _in_order(recipes: Iterable[Recipe]) -> list[Recipe]:
    """One recipe per var, inputs first."""
    unique: dict[VarKey, Recipe] = {}
    faults = []
    for recipe in recipes:
        first = unique.setdefault(recipe.key, recipe)
        if _definition(first) != _definition(recipe):
            faults.append(
                Fault(
                    f"{recipe.key} is defined differently by {first.origin} and {recipe.origin}",
                    hint="a var that several members share must have one generator, one set of inputs and settings",
                )
            )
    if faults:
        raise Faults(faults)
    needs = {key: [needed for _, needed in recipe.inputs] for key, recipe in unique.items()}
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        # graphlib lists each step before the one that needs it.
        steps = [f"{key} ({unique[key].origin})" for key in reversed(error.args[1])]
        raise fault(f"vars need one another in a circle: {' needs '.join(steps)}") from None
    return [unique[key] for key in order if key in unique]


def _definition(recipe: Recipe) -> tuple[object, ...]:
    return recipe.generator, recipe.settings, recipe.inputs


def _to_make(project: Project, ordered: Sequence[Recipe]) -> list[Recipe]:
    """The recipes whose vars are missing; also pending vars that do not fit any more, and what was made from them."""
    keys = [recipe.key for recipe in ordered]
    waiting, kept = store.read(project.pending, keys), store.read(project.vars, keys)
    faults, chosen = [], {}
    for recipe in ordered:
        key, wanted = recipe.key, {file.name: file.secret for file in recipe.generator.files}
        if key in kept:
            if _kinds(kept[key]) != wanted:
                faults.append(_misfit(project, recipe, _kinds(kept[key]), wanted))
        elif (
            key not in waiting or _kinds(waiting[key]) != wanted or any(needed in chosen for _, needed in recipe.inputs)
        ):
            chosen[key] = recipe
    if faults:
        raise Faults(faults)
    return [*chosen.values()]


def _kinds(var: StoredVar) -> dict[str, bool]:
    return {name: file.secret for name, file in var.items()}


def _misfit(project: Project, recipe: Recipe, found: Mapping[str, bool], wanted: Mapping[str, bool]) -> Fault:
    def listed(files: Mapping[str, bool]) -> str:
        named = (f"{name} ({'secret' if secret else 'public'})" for name, secret in sorted(files.items()))
        return ", ".join(named) or "no file"

    folder = Path(store.var_folder(project.vars, recipe.key))
    return Fault(
        f"{recipe.key} holds {listed(found)}, where {recipe.origin} wants {listed(wanted)}",
        Where(folder),
        "bring back what was lost; or delete the folder to have the whole var made anew by `rolecall vars generate`",
    )


def _run(project: Project, recipes: Sequence[Recipe]) -> dict[VarKey, dict[VarFile, bytes]]:
    """What the recipes make, ready to be stored: values stay in memory, and secret ones leave it encrypted."""
    secret = any(file.secret for recipe in recipes for file in recipe.generator.files)
    seal = sealer(project) if secret else bytes
    values: dict[VarKey, Mapping[str, bytes]] = {}
    made = {}
    for recipe in recipes:
        inputs = {name: values[key] if key in values else _kept(project, recipe, key) for name, key in recipe.inputs}
        values[recipe.key] = new = _generate(recipe, Context(recipe.key, recipe.settings, inputs))
        made[recipe.key] = {
            file: seal(new[file.name]) if file.secret else new[file.name] for file in recipe.generator.files
        }
    return made


def _kept(project: Project, recipe: Recipe, key: VarKey) -> dict[str, bytes]:
    """The values of an input that was made earlier."""
    var = store.stored(project, [key]).get(key)
    if var is None:
        raise fault(f"{_named(recipe)} needs {key}, which nobody makes")
    opened = store.decrypt(project, [(key, name) for name, file in var.items() if file.secret])
    return {name: opened[key, name] if file.secret else file.public.encode() for name, file in var.items()}


def _generate(recipe: Recipe, context: Context) -> dict[str, bytes]:
    what = f"{_named(recipe)}, made by {type(recipe.generator).__name__},"
    try:
        values = dict(recipe.generator.generate(context))
    except Faults as error:
        raise Faults(
            Fault(f"{_named(recipe)}: {each.message}", each.where, each.hint) for each in error.faults
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever an author's code raises
        # Its kind and place are told, not its words: those may quote a secret input.
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = Where(Path(trace.tb_frame.f_code.co_filename), line=trace.tb_lineno) if trace else None
        raise fault(f"{what} failed with {type(error).__name__}", where=where) from None
    wanted = {file.name for file in recipe.generator.files}
    if lacking := sorted(wanted - values.keys()):
        raise fault(f"{what} lacks {', '.join(lacking)}")
    if surplus := sorted(values.keys() - wanted):
        raise fault(f"{what} has {', '.join(surplus)} too many")
    for file in recipe.generator.files:
        if not isinstance(values[file.name], bytes):
            raise fault(f"{what} has no bytes in {file.name}")
        if not file.secret:
            try:
                values[file.name].decode()
            except UnicodeDecodeError:
                raise fault(f"{what} has a public {file.name} that is not UTF-8 text") from None
    return values


def _named(recipe: Recipe) -> str:
    return f"{recipe.key} (for {recipe.origin})"
