"""Whether a var has the files that its recipe wants: by name, and each secret or public."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Where
from rolecall.model.vars import current
from rolecall.vars import layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar
    from rolecall.project import Project


def fits(recipe: Recipe, var: StoredVar) -> bool:
    """Return whether the value in use has exactly the files that the recipe wants."""
    return _files_of(var) == _files_wanted(recipe)


def misfit(project: Project, recipe: Recipe, var: StoredVar, base: Path) -> Fault:
    """Return the fault for a var below ``base`` that has other files than its recipe wants."""
    folder = Path(layout.var_folder(base, recipe.key))
    hint = f"restore what was lost: `git checkout COMMIT -- {folder.relative_to(project.root)}`"
    if base == project.pending:
        hint = f"set each of its files: `rolecall vars set {recipe.key} FILE=PATH …`"
        hint += f"; or, to lose this value, run `rolecall vars rotate --force {recipe.key}`"
    elif not recipe.binds:
        hint += "; or delete the folder, and `rolecall vars generate` makes a new value"
    return Fault(
        f"{recipe.key} has {_listed(_files_of(var))}, but {recipe.origin} wants {_listed(_files_wanted(recipe))}",
        Where(folder),
        hint,
    )


def _files_of(var: StoredVar) -> dict[str, bool]:
    return {name: file.secret for name, file in current(var).items()}


def _files_wanted(recipe: Recipe) -> dict[str, bool]:
    return {file.name: file.secret for file in recipe.generator.files}


def _listed(files: Mapping[str, bool]) -> str:
    named = (f"{name} ({'secret' if secret else 'public'})" for name, secret in sorted(files.items()))
    return ", ".join(named) or "no file"
