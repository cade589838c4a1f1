"""Makes the vars of a run, each as `decide` says, and writes them as pending: all of them or none."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, fault
from rolecall.model.generators import Context
from rolecall.model.vars import NEXT, OLD, StoredFile, current, slot
from rolecall.vars import layout, store
from rolecall.vars.decide import NOTHING, Action, Existing, Inputs, decide
from rolecall.vars.fit import misfit
from rolecall.vars.generate import Declared, checked, generate, label, mismatch
from rolecall.vars.order import in_order, unique
from rolecall.vars.prompts import Answers
from rolecall.vars.secret_stores import chosen
from rolecall.vars.store import Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolecall.model.generators import Published
    from rolecall.model.recipes import Recipe, Replacement
    from rolecall.model.vars import StoredVar, Values, VarFile, VarKey
    from rolecall.project import Project
    from rolecall.vars.secret_stores import SecretStore


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


def keep(
    project: Project, values: Mapping[VarKey, Mapping[VarFile, tuple[str, bytes]]], bound: Mapping[VarKey, str]
) -> None:
    """Store vars that no recipe asks for now.

    Args:
        project: The project.
        values: By file: its version, "" for a new one, and its value.
        bound: What is lost with each var.

    Raises:
        Faults: When a name is invalid, or there is no admin key.
    """
    secret_store = chosen(project)
    drafts = {
        key: Draft(
            {
                file: _sealed(secret_store, key, file, version or _new_version(), value)
                for file, (version, value) in files.items()
            },
            notes={"binds": bound[key]},
        )
        for key, files in values.items()
    }
    with store.locked(project):
        store.write_pending(project, drafts, secret_store.recipients())
    store.promote(project, layout.read(project.pending, drafts))


class Maker:
    """The vars of one run: those that exist, and those that it makes.

    Args:
        project: The project.
        recipes: The recipe of every var of the run.
        replacement: What the run is to replace.
        answers: The answers to prompts.

    Attributes:
        actions: What the run does with each var, as long as none of its inputs is made.
        made: The vars that were made so far, ready to be written.
        replaced: Those of them that brought another value into use, so that what reads them is regenerated.

    Raises:
        Faults: When recipes do not fit what is stored, or would replace a var that binds something.
    """

    def __init__(
        self,
        project: Project,
        recipes: Sequence[Recipe],
        replacement: Replacement = NOTHING,
        answers: Answers | None = None,
    ) -> None:
        self._project = project
        self._replacement = replacement
        self._answers = answers or Answers(project)
        self._pending, self._stored = layout.pending_and_stored(project, [recipe.key for recipe in recipes])
        self.actions = {recipe.key: decide(recipe, self._existing(recipe), replacement) for recipe in recipes}
        if faults := [fault for recipe in recipes for fault in self._refusal(recipe, self.actions[recipe.key])]:
            raise Faults(faults)
        self.made: dict[VarKey, Draft] = {}
        self.replaced: set[VarKey] = set()
        self._vars: dict[VarKey, StoredVar] = {}  # those made, as they will be stored
        self._values: dict[VarKey, Values] = {}  # decrypted, of vars that others read

    @property
    def missing(self) -> list[VarKey]:
        """The vars that the run makes in any case."""
        return [key for key, action in self.actions.items() if not action.keeps]

    @property
    def recipients(self) -> tuple[str, ...]:
        """The public keys to which the secrets that were made are encrypted."""
        secret = any(file.secret for draft in self.made.values() for file in draft.files)
        return tuple(self._secret_store.recipients()) if secret else ()

    def make(
        self,
        recipes: Sequence[Recipe],
        published: Published,
        *,
        inputs_made: bool = False,
        exports_replaced: bool = False,
    ) -> dict[VarKey, StoredVar]:
        """Make those vars of recipes that are missing or must be replaced; return all of them.

        Args:
            recipes: Some of those of the run, inputs first.
            published: Gives them exports.
            inputs_made: Whether this run made something that they read: then pending ones are generated again.
            exports_replaced: Whether an export that they read is of a var that this run replaced: then stored ones are
                regenerated, too.

        Raises:
            Faults: When a generator fails or does not return exactly its files; when a secret is to be made and there
                is no admin key; when a var that binds something would be regenerated.
        """
        found: dict[VarKey, StoredVar] = {}
        peers: dict[int, Mapping[str, Mapping[str, Values]]] = {}  # by the table, which all members of a role share
        for recipe in recipes:
            key = recipe.key
            if key not in self._vars:  # else several members share it
                inputs = self._inputs(recipe, made=inputs_made, exports_replaced=exports_replaced)
                action = self.actions[key]
                if inputs is not Inputs.UNCHANGED:
                    action = decide(recipe, self._existing(recipe), self._replacement, inputs)
                if action.keeps:
                    found[key] = (self._stored if action is Action.KEEP_STORED else self._pending)[key]
                    continue
                if faults := self._refusal(recipe, action):
                    raise Faults(faults)
                if action.generates and id(recipe.peers) not in peers:
                    peers[id(recipe.peers)] = {
                        name: {machine: self._values_of(needed, recipe) for machine, needed in keys.items()}
                        for name, keys in recipe.peers.items()
                    }
                self._carry_out(action, recipe, peers.get(id(recipe.peers), {}), published)
            found[key] = self._vars[key]
        return found

    def _existing(self, recipe: Recipe) -> Existing:
        key = recipe.key
        stored, pending = self._stored.get(key), self._pending.get(key)
        base = self._project.vars if pending is None else self._project.pending
        validation = layout.validation(base, key) if recipe.validation else ""
        return Existing(stored, pending, validation)

    def _inputs(self, recipe: Recipe, *, made: bool, exports_replaced: bool) -> Inputs:
        """Return what became of a var's inputs, as far as the run got."""
        own = [needed for _, needed in recipe.inputs]
        others = (needed for machines in recipe.peers.values() for needed in machines.values())
        if exports_replaced or (self.replaced and not self.replaced.isdisjoint(chain(own, others))):
            return Inputs.REPLACED
        return Inputs.MADE if made or any(needed in self.made for needed in own) else Inputs.UNCHANGED

    def _refusal(self, recipe: Recipe, action: Action) -> list[Fault]:
        """Return the fault of an action that refuses; [] for others."""
        match action:
            case Action.REFUSE_MISFIT:
                return [misfit(self._project, recipe, self._stored[recipe.key])]
            case Action.REFUSE_NEW_SETTINGS:
                why = "its settings have changed"
            case Action.REFUSE_NEW_INPUTS:
                why = "what it is generated from has changed"
            case _:
                return []
        hint = f"undo that change; or, to accept the loss, run `rolecall vars rotate --force {recipe.key}`"
        return [Fault(f"{recipe.key} would be regenerated because {why}: {recipe.binds}", hint=hint)]

    def _carry_out(
        self, action: Action, recipe: Recipe, peers: Mapping[str, Mapping[str, Values]], published: Published
    ) -> None:
        """Make a var by an action that neither keeps nor refuses."""
        key, stored = recipe.key, self._stored.get(recipe.key, {})
        values: Values = {}
        carried: dict[str, str] = {}  # by the name that a stored file will have, the one that it has
        prefix = ""
        match action:
            case Action.TAKE_GIVEN | Action.REPLACE_WITH_GIVEN:
                values = self._values[key] = self._given(recipe)
            case Action.START_ROTATION:
                values, prefix = self._generated(recipe, peers, published), NEXT
                carried = {name: name for name in current(stored)}
            case Action.USE_NEXT:
                carried = {name: NEXT + name for name in slot(stored, NEXT)}
                carried |= {OLD + name: name for name in current(stored)}
            case Action.DROP_OLD:
                carried = {name: name for name in current(stored)}
            case _:
                values = self._values[key] = self._generated(recipe, peers, published)
        versions = self._replacement.versions.get(key, {})
        files = {
            replace(file, name=prefix + file.name): _sealed(
                self._secret_store, key, file, versions.get(file.name) or _new_version(), values[file.name]
            )
            for file in (recipe.generator.files if values else ())
        }
        self.made[key] = Draft(files, carried, _notes(self._project, recipe))
        self._vars[key] = {name: stored[source] for name, source in carried.items()} | {
            file.name: StoredFile(file.secret, version, "" if file.secret else data.decode())
            for file, (version, data) in files.items()
        }
        if action.replaces:
            self.replaced.add(key)

    def _generated(self, recipe: Recipe, peers: Mapping[str, Mapping[str, Values]], published: Published) -> Values:
        inputs = {name: self._values_of(needed, recipe) for name, needed in recipe.inputs}
        answers, sandbox = self._answers.of(recipe), self._project.sandbox
        context = Context(
            *(recipe.key, recipe.settings, Declared(inputs), Declared(peers), answers, sandbox),
            *(recipe.interfaces, published),
        )
        return generate(recipe, context)

    def _given(self, recipe: Recipe) -> Values:
        """Return the values that a person gives; files that are not given keep their values."""
        key, given = recipe.key, self._replacement.given[recipe.key]
        values: Values = {}
        existing = self._existing(recipe).var
        if existing and not recipe.file_names <= given.keys():
            values = {name: value for name, value in self._read(key, existing).items() if name in recipe.file_names}
        values = checked(recipe, {**values, **given}, f"the given value of {key}")
        if wrong := mismatch(recipe, values, {}):
            raise fault(f"the given value of {key} does not fit: {wrong}", hint="give all files of a key together")
        return values

    def _values_of(self, key: VarKey, reader: Recipe) -> Values:
        """Return the decrypted values of an input, from this run or an earlier one.

        Raises:
            Faults: When there is none, or it cannot be decrypted.
        """
        if key not in self._values:
            var = self._vars.get(key) or self._stored.get(key) or self._pending.get(key)
            if var is None and (var := layout.stored(self._project, [key]).get(key)) is None:
                raise fault(f"{label(reader)} needs {key}, which nothing generates")
            self._values[key] = self._read(key, var)
        return self._values[key]

    def _read(self, key: VarKey, var: StoredVar) -> Values:
        """Return the values in use of a var on disk, decrypted."""
        files = current(var)
        # A rotation that this run advances has not moved the files yet.
        carried = self.made[key].carried if key in self.made else {}
        on_disk = {name: carried.get(name, name) for name in files}
        secret = [(key, on_disk[name]) for name, file in files.items() if file.secret]
        opened = layout.decrypt(self._project, secret, pending=self._pending)
        return {
            name: opened[key, on_disk[name]] if file.secret else file.public.encode() for name, file in files.items()
        }

    @cached_property
    def _secret_store(self) -> SecretStore:
        return chosen(self._project)


def _sealed(secret_store: SecretStore, key: VarKey, file: VarFile, version: str, value: bytes) -> tuple[str, bytes]:
    """Return a version and the bytes to write for it: encrypted if they are secret."""
    return version, secret_store.seal(f"{key}/{file.name}/{version}", value) if file.secret else value


def _new_version() -> str:
    return secrets.token_urlsafe(16)


def _notes(project: Project, recipe: Recipe) -> dict[str, str]:
    """Return what is noted beside a new var: what it binds, replaces and was made for."""
    stored = layout.read(project.vars, [recipe.key]).get(recipe.key)
    notes = {"replaces": layout.version_stamp(stored) if stored else "", "validation": recipe.validation}
    return {"binds": recipe.binds} | {name: text for name, text in notes.items() if text}
