"""Check that the files of each var match, such as a public and a private key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where
from rolecall.model.vars import NEXT, OLD, current, slot
from rolecall.vars import layout
from rolecall.vars.fit import misfit
from rolecall.vars.generate import mismatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import Values, VarKey
    from rolecall.project import Project


def misfits(project: Project, recipes: Sequence[Recipe], *, decrypt: bool) -> list[Fault]:
    """A fault for each var whose files do not fit one another, or what they were made from.

    Args:
        project: The project.
        recipes: All that the inventory asks for.
        decrypt: Whether to decrypt secrets for it; else only public values are compared.
    """
    able = {each.key: each for each in recipes if hasattr(each.generator, "verify")}
    needed = {key: _inputs(recipe) for key, recipe in able.items()}
    keys = [*able, *(key for inputs in needed.values() for those in inputs.values() for key in those)]
    waiting, kept = layout.pending_and_stored(project, dict.fromkeys(keys), lenient=True)
    names = {each.key: each.file_names for each in recipes}
    whole = {key for key, var in (waiting | kept).items() if current(var).keys() == names.get(key)}
    faults: list[Fault] = []
    known: dict[tuple[VarKey, str], dict[str, bytes]] = {}

    def values(key: VarKey, prefix: str = "") -> Values:
        if (key, prefix) not in known:
            files = slot((waiting | kept)[key], prefix)
            secret = [(key, prefix + name) for name, each in files.items() if each.secret] if decrypt else []
            opened = layout.decrypt(project, secret, waiting=waiting)
            public = {name: each.public.encode() for name, each in files.items() if not each.secret}
            known[key, prefix] = public | {name.removeprefix(prefix): value for (_, name), value in opened.items()}
        return known[key, prefix]

    for key, recipe in able.items():
        if (found := (waiting | kept).get(key)) is None:
            continue
        for prefix in ("", NEXT, OLD):
            if not slot(found, prefix):
                continue
            if slot(found, prefix).keys() != recipe.file_names:
                faults.append(misfit(project, recipe, slot(found, prefix)))
                continue
            where = Where(Path(layout.var_folder(project.pending if key in waiting else project.vars, key)))
            try:
                inputs = {
                    name: [values(each) for each in those if each in whole] for name, those in needed[key].items()
                }
                wrong = mismatch(recipe, values(key, prefix), {} if prefix else inputs)
            except Faults as error:
                faults += error.faults
                continue
            if wrong:
                hint = f"take all of the var from one commit; or rotate it: `rolecall vars rotate {key}`"
                faults.append(Fault(f"{key}: {prefix and f'in {prefix[:-1]}, '}{wrong}", where, hint))
    return faults


def _inputs(recipe: Recipe) -> Mapping[str, list[VarKey]]:
    own = {name: [key] for name, key in recipe.inputs}
    return {name: list(machines.values()) for name, machines in recipe.peers.items()} | own
