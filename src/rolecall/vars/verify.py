"""Check that the files of each var match, such as a public and a private key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where
from rolecall.model.vars import NEXT, OLD, current, slot
from rolecall.vars import effective, layout
from rolecall.vars.fit import misfit
from rolecall.vars.generate import mismatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar, Values, VarKey
    from rolecall.project import Project


def misfits(project: Project, recipes: Sequence[Recipe], *, decrypt: bool) -> list[Fault]:
    """Return a fault for each var whose files do not match one another, or the inputs that they were made from.

    Args:
        project: The project.
        recipes: All recipes of the inventory.
        decrypt: Whether to decrypt secrets; if not, only public values are compared.
    """
    verifiable = {recipe.key: recipe for recipe in recipes if hasattr(recipe.generator, "verify")}
    needed_by = {key: _inputs(recipe) for key, recipe in verifiable.items()}
    keys = [
        *verifiable,
        *(key for inputs in needed_by.values() for input_keys in inputs.values() for key in input_keys),
    ]
    pending, stored = effective.pending_and_stored(project, dict.fromkeys(keys), lenient=True)
    existing = pending | stored
    names = {recipe.key: recipe.file_names for recipe in recipes}
    whole = {key for key, var in existing.items() if current(var).keys() == names.get(key)}
    faults: list[Fault] = []
    known: dict[tuple[VarKey, str], dict[str, bytes]] = {}

    def values(key: VarKey, prefix: str = "") -> Values:
        if (key, prefix) not in known:
            files = slot(existing[key], prefix)
            secret = [(key, prefix + name) for name, file in files.items() if file.secret] if decrypt else []
            opened = effective.decrypt(project, secret, pending=pending)
            public = {name: file.public.encode() for name, file in files.items() if not file.secret}
            known[key, prefix] = public | {name.removeprefix(prefix): value for (_, name), value in opened.items()}
        return known[key, prefix]

    for key, recipe in verifiable.items():
        if (var := existing.get(key)) is None:
            continue
        base = project.pending if key in pending else project.vars
        where = Where(Path(layout.var_folder(base, key)))
        for prefix in ("", NEXT, OLD):
            if not slot(var, prefix):
                continue
            if slot(var, prefix).keys() != recipe.file_names:
                faults.append(misfit(project, recipe, slot(var, prefix), base))
                continue
            try:
                inputs = {
                    name: [values(needed) for needed in input_keys if needed in whole]
                    for name, input_keys in needed_by[key].items()
                }
                wrong = mismatch(recipe, values(key, prefix), {} if prefix else inputs)
            except Faults as error:
                faults += error.faults
                continue
            if wrong:
                faults.append(Fault(f"{key}: {prefix and f'in {prefix[:-1]}, '}{wrong}", where, _hint(key)))
    return faults


def refuse_mixed(
    recipes: Mapping[VarKey, Recipe], stored: Mapping[VarKey, StoredVar], opened: Mapping[tuple[VarKey, str], bytes]
) -> None:
    """Refuse to send secrets that do not match the other files of their vars, as far as the values are at hand.

    Args:
        recipes: Those of the vars that are to be compared.
        stored: The vars.
        opened: The secrets that are to be sent, each by its var and the name of its file.

    Raises:
        Faults: For each var of which that is so.
    """
    faults = []
    for key in dict.fromkeys(key for key, _ in opened if key in recipes):
        recipe, files = recipes[key], current(stored[key])
        values = {name: each.public.encode() for name, each in files.items() if not each.secret}
        values |= {name: value for (var, name), value in opened.items() if var == key and name in files}
        able = hasattr(recipe.generator, "verify") and values.keys() == recipe.file_names
        if able and (wrong := mismatch(recipe, values, {})):
            faults.append(Fault(f"{key}: {wrong}", hint=_hint(key)))
    if faults:
        raise Faults(faults)


def _hint(key: VarKey) -> str:
    return f"restore the whole var from one commit, or rotate it: `rolecall vars rotate {key}`"


def _inputs(recipe: Recipe) -> Mapping[str, list[VarKey]]:
    own = {name: [key] for name, key in recipe.inputs}
    return {name: list(machines.values()) for name, machines in recipe.peers.items()} | own
