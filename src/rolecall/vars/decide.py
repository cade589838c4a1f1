"""What a run does with each var: one pure decision, a table of which the first row that applies counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from rolecall.model.recipes import Replacement
from rolecall.model.vars import step_of
from rolecall.vars.fit import fits

if TYPE_CHECKING:
    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar

NOTHING = Replacement()


class Action(Enum):
    """What a run does with a var."""

    KEEP_STORED = auto()
    KEEP_PENDING = auto()
    GENERATE = auto()  # no value exists yet, or a pending one no longer fits
    REGENERATE = auto()  # in place of a value; or since an input was replaced
    TAKE_GIVEN = auto()  # there was no value
    REPLACE_WITH_GIVEN = auto()
    START_ROTATION = auto()  # generate the next value; the one in use stays
    USE_NEXT = auto()  # the value in use becomes the old one
    DROP_OLD = auto()  # ends the rotation
    REFUSE_MISFIT = auto()  # the files that there are differ from those that the recipe wants
    REFUSE_NEW_SETTINGS = auto()  # the value must not be lost, and the var's settings changed
    REFUSE_NEW_INPUTS = auto()  # the value must not be lost, and an input was replaced

    @property
    def keeps(self) -> bool:
        """Whether the var stays as it is."""
        return self in {Action.KEEP_STORED, Action.KEEP_PENDING}

    @property
    def generates(self) -> bool:
        """Whether the generator runs."""
        return self in {Action.GENERATE, Action.REGENERATE, Action.START_ROTATION}

    @property
    def gives(self) -> bool:
        """Whether the value comes from a person instead of the generator."""
        return self in {Action.TAKE_GIVEN, Action.REPLACE_WITH_GIVEN}

    @property
    def replaces(self) -> bool:
        """Whether another value comes into use, so that the vars that read it are regenerated, too."""
        return self in {Action.REGENERATE, Action.REPLACE_WITH_GIVEN, Action.USE_NEXT}


class Inputs(Enum):
    """What became of the inputs of a var in this run."""

    UNCHANGED = auto()
    MADE = auto()  # at least one, but none in place of another value
    REPLACED = auto()  # at least one


@dataclass(frozen=True, slots=True)
class Existing:
    """What the project has of a var; of a stored and a pending value, the one that counts.

    Attributes:
        stored: The stored value, if that counts.
        pending: The pending value, if that counts.
        validation: The `Recipe.validation` that it was made for; "" where that is not known.
        given: Whether it is a pending value that a person gave.
    """

    stored: StoredVar | None = None
    pending: StoredVar | None = None
    validation: str = ""
    given: bool = False

    @property
    def var(self) -> StoredVar | None:
        """The value that counts."""
        return self.pending if self.stored is None else self.stored


def decide(
    recipe: Recipe, existing: Existing, replacement: Replacement = NOTHING, inputs: Inputs = Inputs.UNCHANGED
) -> Action:
    """Return what a run does with a var.

    Args:
        recipe: The var's recipe.
        existing: What the project has of it.
        replacement: What the run is to replace.
        inputs: What became of its inputs in this run.
    """
    stored, pending = existing.stored is not None, existing.pending is not None
    given = recipe.key in replacement.given
    advance = stored and recipe.key in replacement.advance
    rotate = (stored or pending) and recipe.key in replacement.rotate
    step = step_of(existing.stored or {})
    fit = fits(recipe, existing.var or {})
    held = (existing.given or (stored and bool(recipe.binds))) and not replacement.force
    new_settings = bool(recipe.validation) and existing.validation not in {"", recipe.validation}
    replaced = inputs is Inputs.REPLACED
    table = (
        (given and (stored or pending), Action.REPLACE_WITH_GIVEN),
        (given, Action.TAKE_GIVEN),
        (rotate or (advance and new_settings), Action.REGENERATE),  # the value in use no longer fits the settings
        (advance and not fit, Action.REFUSE_MISFIT),
        (advance and step == 0, Action.START_ROTATION),
        (advance and step == 1, Action.USE_NEXT),
        (advance, Action.DROP_OLD),
        (new_settings and held and (existing.given or not recipe.extends), Action.REFUSE_NEW_SETTINGS),
        (new_settings, Action.REGENERATE),
        ((stored or held) and not fit, Action.REFUSE_MISFIT),
        (replaced and held, Action.REFUSE_NEW_INPUTS),
        (replaced, Action.REGENERATE),
        (stored, Action.KEEP_STORED),
        (pending and fit and (existing.given or inputs is Inputs.UNCHANGED), Action.KEEP_PENDING),
        (True, Action.GENERATE),
    )
    return next(action for applies, action in table if applies)
