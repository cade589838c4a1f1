"""What a run does with a var: one row per case of the table in `rolecall.vars.decide`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rolecall.model.recipes import Recipe, Replacement
from rolecall.model.vars import NEXT, OLD, StoredFile, VarKey
from rolecall.service import Passphrase
from rolecall.vars.decide import NOTHING, Action, Existing, Inputs, decide

if TYPE_CHECKING:
    from rolecall.model.vars import StoredVar

WORD = VarKey("jon", "web.word")
PLAIN = Recipe(WORD, Passphrase(), "web.server", validation="new")
BOUND = replace(PLAIN, binds="much")
EXTENDING = replace(BOUND, extends=True)

USED: StoredVar = {"passphrase": StoredFile(secret=True, version="1")}
OTHER_FILES: StoredVar = {"passphrase": StoredFile(secret=False, version="1")}
ACCEPTED: StoredVar = USED | {f"{NEXT}passphrase": StoredFile(secret=True, version="2")}
IN_USE: StoredVar = USED | {f"{OLD}passphrase": StoredFile(secret=True, version="0")}

NONE = Existing()
STORED, PENDING = Existing(stored=USED), Existing(pending=USED)
STORED_MISFIT, PENDING_MISFIT = Existing(stored=OTHER_FILES), Existing(pending=OTHER_FILES)
STORED_FOR_OLD, PENDING_FOR_OLD = replace(STORED, validation="old"), replace(PENDING, validation="old")
GIVEN_PENDING, GIVEN_FOR_OLD = replace(PENDING, given=True), replace(PENDING_FOR_OLD, given=True)
GIVEN_MISFIT = replace(PENDING_MISFIT, given=True)
STEP_1, STEP_2 = Existing(stored=ACCEPTED), Existing(stored=IN_USE)

GIVEN = Replacement(given={WORD: {"passphrase": b"mine"}})
ADVANCE, ROTATE, FORCE = Replacement(advance={WORD}), Replacement(rotate={WORD}), Replacement(force=True)

UNCHANGED, MADE, REPLACED = Inputs


@pytest.mark.parametrize(
    ("recipe", "existing", "replacement", "inputs", "action"),
    [
        # Nothing is to be replaced.
        (PLAIN, NONE, NOTHING, UNCHANGED, Action.GENERATE),
        (PLAIN, STORED, NOTHING, UNCHANGED, Action.KEEP_STORED),
        (PLAIN, PENDING, NOTHING, UNCHANGED, Action.KEEP_PENDING),
        (PLAIN, STEP_1, NOTHING, UNCHANGED, Action.KEEP_STORED),
        (PLAIN, STORED_MISFIT, NOTHING, UNCHANGED, Action.REFUSE_MISFIT),
        (PLAIN, PENDING_MISFIT, NOTHING, UNCHANGED, Action.GENERATE),
        # Inputs were made, but none took the place of another value.
        (PLAIN, STORED, NOTHING, MADE, Action.KEEP_STORED),
        (PLAIN, PENDING, NOTHING, MADE, Action.GENERATE),
        # Inputs were replaced.
        (PLAIN, NONE, NOTHING, REPLACED, Action.REGENERATE),
        (PLAIN, STORED, NOTHING, REPLACED, Action.REGENERATE),
        (PLAIN, PENDING, NOTHING, REPLACED, Action.REGENERATE),
        (BOUND, STORED, NOTHING, REPLACED, Action.REFUSE_NEW_INPUTS),
        (BOUND, STORED, FORCE, REPLACED, Action.REGENERATE),
        (BOUND, STORED_MISFIT, NOTHING, REPLACED, Action.REFUSE_MISFIT),
        (BOUND, PENDING, NOTHING, REPLACED, Action.REGENERATE),
        # Settings changed.
        (PLAIN, replace(STORED, validation="new"), NOTHING, UNCHANGED, Action.KEEP_STORED),
        (PLAIN, STORED_FOR_OLD, NOTHING, UNCHANGED, Action.REGENERATE),
        (PLAIN, PENDING_FOR_OLD, NOTHING, UNCHANGED, Action.REGENERATE),
        (BOUND, STORED_FOR_OLD, NOTHING, UNCHANGED, Action.REFUSE_NEW_SETTINGS),
        (BOUND, STORED_FOR_OLD, FORCE, UNCHANGED, Action.REGENERATE),
        (BOUND, PENDING_FOR_OLD, NOTHING, UNCHANGED, Action.REGENERATE),
        (replace(PLAIN, validation=""), STORED_FOR_OLD, NOTHING, UNCHANGED, Action.KEEP_STORED),
        (PLAIN, replace(STORED_MISFIT, validation="old"), NOTHING, UNCHANGED, Action.REGENERATE),
        # Settings changed, and the new value contains the earlier one.
        (EXTENDING, STORED_FOR_OLD, NOTHING, UNCHANGED, Action.REGENERATE),
        (EXTENDING, GIVEN_FOR_OLD, NOTHING, UNCHANGED, Action.REFUSE_NEW_SETTINGS),
        (EXTENDING, STORED, NOTHING, REPLACED, Action.REFUSE_NEW_INPUTS),
        # A person rotates the var at once.
        (PLAIN, NONE, ROTATE, UNCHANGED, Action.GENERATE),
        (PLAIN, STORED, ROTATE, UNCHANGED, Action.REGENERATE),
        (PLAIN, PENDING, ROTATE, UNCHANGED, Action.REGENERATE),
        (PLAIN, STEP_1, ROTATE, UNCHANGED, Action.REGENERATE),
        (BOUND, STORED, ROTATE, REPLACED, Action.REGENERATE),
        (BOUND, STORED_FOR_OLD, ROTATE, UNCHANGED, Action.REGENERATE),
        (PLAIN, STORED_MISFIT, ROTATE, UNCHANGED, Action.REGENERATE),
        # A person rotates it in steps.
        (PLAIN, NONE, ADVANCE, UNCHANGED, Action.GENERATE),
        (PLAIN, PENDING, ADVANCE, UNCHANGED, Action.KEEP_PENDING),
        (PLAIN, STORED, ADVANCE, UNCHANGED, Action.START_ROTATION),
        (PLAIN, STEP_1, ADVANCE, UNCHANGED, Action.USE_NEXT),
        (PLAIN, STEP_2, ADVANCE, UNCHANGED, Action.DROP_OLD),
        (BOUND, STEP_1, ADVANCE, REPLACED, Action.USE_NEXT),
        (PLAIN, STORED_FOR_OLD, ADVANCE, UNCHANGED, Action.REGENERATE),
        (PLAIN, replace(STEP_1, validation="old"), ADVANCE, UNCHANGED, Action.REGENERATE),
        (PLAIN, replace(STEP_2, validation="old"), ADVANCE, UNCHANGED, Action.REGENERATE),
        (BOUND, STORED_FOR_OLD, ADVANCE, UNCHANGED, Action.REGENERATE),
        (PLAIN, STORED_MISFIT, ADVANCE, UNCHANGED, Action.REFUSE_MISFIT),
        # A person gave the values before, and they are pending.
        (PLAIN, GIVEN_PENDING, NOTHING, UNCHANGED, Action.KEEP_PENDING),
        (PLAIN, GIVEN_PENDING, NOTHING, MADE, Action.KEEP_PENDING),
        (PLAIN, GIVEN_PENDING, NOTHING, REPLACED, Action.REFUSE_NEW_INPUTS),
        (PLAIN, GIVEN_FOR_OLD, NOTHING, UNCHANGED, Action.REFUSE_NEW_SETTINGS),
        (PLAIN, GIVEN_MISFIT, NOTHING, UNCHANGED, Action.REFUSE_MISFIT),
        (BOUND, GIVEN_PENDING, NOTHING, REPLACED, Action.REFUSE_NEW_INPUTS),
        (PLAIN, GIVEN_PENDING, FORCE, UNCHANGED, Action.KEEP_PENDING),
        (PLAIN, GIVEN_PENDING, FORCE, REPLACED, Action.REGENERATE),
        (PLAIN, GIVEN_FOR_OLD, FORCE, UNCHANGED, Action.REGENERATE),
        (PLAIN, GIVEN_MISFIT, FORCE, UNCHANGED, Action.GENERATE),
        (PLAIN, GIVEN_FOR_OLD, ROTATE, UNCHANGED, Action.REGENERATE),
        (PLAIN, GIVEN_FOR_OLD, GIVEN, UNCHANGED, Action.REPLACE_WITH_GIVEN),
        # A person gives the values.
        (PLAIN, NONE, GIVEN, UNCHANGED, Action.TAKE_GIVEN),
        (PLAIN, STORED, GIVEN, UNCHANGED, Action.REPLACE_WITH_GIVEN),
        (PLAIN, PENDING, GIVEN, UNCHANGED, Action.REPLACE_WITH_GIVEN),
        (PLAIN, STORED_MISFIT, GIVEN, UNCHANGED, Action.REPLACE_WITH_GIVEN),
        (BOUND, STORED, GIVEN, REPLACED, Action.REPLACE_WITH_GIVEN),
        (PLAIN, STEP_1, replace(GIVEN, advance={WORD}), UNCHANGED, Action.REPLACE_WITH_GIVEN),
    ],
)
def test_what_a_run_does_with_a_var(
    recipe: Recipe, existing: Existing, replacement: Replacement, inputs: Inputs, action: Action
) -> None:
    assert decide(recipe, existing, replacement, inputs) is action


def test_every_action_is_of_one_kind() -> None:
    refusals = {action for action in Action if action.name.startswith("REFUSE_")}
    assert {action for action in Action if action.keeps} == {Action.KEEP_STORED, Action.KEEP_PENDING}
    for action in Action:
        assert not (action.keeps and (action.generates or action.replaces))
        assert not (action.gives and (action.generates or action.keeps))
        assert action not in refusals or not (action.keeps or action.generates or action.replaces)
