"""The vars of an evaluation that makes none: a check, a status, the networks by which machines are reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.model.vars import StoredFile

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from rolecall.model.generators import Published
    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.model.world import World
    from rolecall.project import Project


class StoredVars:
    """The vars as they are stored, for steps that generate none; secrets that are still missing are named anyway.

    Args:
        project: The project.
        recipes: Every var that the steps will read.
        world: Where the vars that cannot be known are noted as unmade.

    Raises:
        Faults: When recipes contradict each other or do not fit what is stored.
    """

    made: Container[VarKey] = ()
    replaced: Container[VarKey] = ()

    def __init__(self, project: Project, recipes: Sequence[Recipe], world: World) -> None:
        self._world = world
        self._stored = var_store.stored(project, dict.fromkeys(recipe.key for recipe in recipes))
        for key in var_store.missing(project, recipes):
            self._stored.pop(key, None)

    def make(
        self, recipes: Sequence[Recipe], published: Published, *, inputs_made: bool, exports_replaced: bool
    ) -> Mapping[VarKey, StoredVar]:
        """Return the vars of recipes that are stored, or that consist of secrets alone."""
        del published, inputs_made, exports_replaced
        found: dict[VarKey, StoredVar] = {}
        for recipe in recipes:
            files = recipe.generator.files
            if recipe.key in self._stored:
                found[recipe.key] = self._stored[recipe.key]
            elif all(file.secret for file in files):
                versions = {file.name: f"{recipe.key}/{file.name}" for file in files}  # as different as they will be
                found[recipe.key] = {name: StoredFile(secret=True, version=each) for name, each in versions.items()}
            else:
                self._world.unmade.add(recipe.key)
        return found
