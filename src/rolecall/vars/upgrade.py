"""Note what earlier versions of Rolecall did not note beside the vars that they stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.vars.in_place import replace_file
from rolecall.vars.layout import SLOTS, binds, keys_of, var_folder
from rolecall.vars.soundness import manifest, unmarked
from rolecall.vars.store import locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import VarKey
    from rolecall.project import Project


def note_recipes(project: Project, recipes: Iterable[Recipe], named: Mapping[str, str]) -> int:
    """Note beside stored vars what they bind, for the time when the inventory has no recipe for them.

    A var that is noted as binding something stays so: another module may use the same names.

    Args:
        project: The project.
        recipes: All recipes of the inventory.
        named: By the name of a var that no machine has now: what is lost with it, "" for nothing.

    Returns:
        The number of vars beside which something was noted.
    """
    recipes = list(recipes)
    if not _lacking_notes(project, recipes, named):
        return 0
    with locked(project):
        lacking = _lacking_notes(project, recipes, named)  # again: another writer may have been first
        for key, text in lacking.items():
            replace_file(var_folder(project.vars, key), ".binds", f"{text}\n".encode(), 0o644)
    return len(lacking)


def mark(project: Project, keys: Iterable[VarKey]) -> list[VarKey]:
    """Write `.made` for stored vars of an earlier version, whose files have been compared.

    Returns:
        Those that had none.
    """
    keys = list(keys)
    if not unmarked(project, keys):
        return []
    with locked(project):
        lacking = unmarked(project, keys)  # again: another writer may have been first
        for folder in (var_folder(project.vars, key) for key in lacking):
            for prefix in SLOTS:
                if made := manifest(f"{folder}/{prefix}"):
                    replace_file(f"{folder}/{prefix}".rstrip("/"), ".made", made, 0o644)
    return lacking


def _lacking_notes(project: Project, recipes: Iterable[Recipe], named: Mapping[str, str]) -> dict[VarKey, str]:
    """Return what stored vars bind that is not noted beside them."""
    wanted = {recipe.key: recipe for recipe in recipes}
    known = {key: wanted[key].binds if key in wanted else named.get(key.name) for key in keys_of(project.vars)}
    noted = {key: binds(project.vars, key) for key in known}
    return {
        key: text
        for key, text in known.items()
        if text is not None and (noted[key] is None or (text not in {"", noted[key]} and key in wanted))
    }
