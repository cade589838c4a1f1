"""Recipes without duplicates, and in the order of their inputs."""

from __future__ import annotations

import graphlib
from dataclasses import replace
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import VarKey


def unique(recipes: Iterable[Recipe]) -> dict[VarKey, Recipe]:
    """Return one recipe per var.

    Raises:
        Faults: For each recipe that defines a var differently than an earlier one.
    """
    firsts: dict[VarKey, Recipe] = {}
    faults = []
    for recipe in recipes:
        first = firsts.setdefault(recipe.key, recipe)
        if first is not recipe and replace(first, origin="") != replace(recipe, origin=""):
            faults.append(
                Fault(
                    f"{recipe.key} is defined differently by {first.origin} and {recipe.origin}",
                    hint="a var that several members share must have one generator, one set of inputs and settings",
                )
            )
    if faults:
        raise Faults(faults)
    return firsts


def in_order(recipes: Iterable[Recipe]) -> list[Recipe]:
    """Return one recipe per var, inputs first.

    Raises:
        Faults: As `unique`; when recipes need one another in a circle.
    """
    by_key = unique(recipes)
    needs = {key: [needed for _, needed in recipe.inputs] for key, recipe in by_key.items()}
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        # graphlib lists each step before the one that needs it.
        steps = [f"{key} ({by_key[key].origin})" for key in reversed(error.args[1])]
        raise fault(f"dependency cycle: {' → '.join(steps)}") from None
    return [by_key[key] for key in order if key in by_key]
