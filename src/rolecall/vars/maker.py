"""The maker of a run's vars, which does with each what `decide` says; nothing is written here."""

from __future__ import annotations

import secrets
from collections import ChainMap
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, fault
from rolecall.model.frozen import frozen
from rolecall.model.generators import Context
from rolecall.model.vars import NEXT, OLD, StoredFile, current, slot
from rolecall.vars import effective, soundness
from rolecall.vars.decide import NOTHING, Action, Existing, Inputs, decide
from rolecall.vars.fit import fits, misfit
from rolecall.vars.generate import Declared, checked, generate, label, mismatch
from rolecall.vars.prompts import Answers
from rolecall.vars.secret_stores import chosen
from rolecall.vars.store import Draft

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from rolecall.model.generators import Published
    from rolecall.model.recipes import Recipe, Replacement
    from rolecall.model.vars import StoredVar, Values, VarFile, VarKey
    from rolecall.project import Project
    from rolecall.vars.secret_stores import SecretStore


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
        self._pending, self._stored = effective.pending_and_stored(project, [recipe.key for recipe in recipes])
        self.actions = {recipe.key: decide(recipe, self._existing(recipe), replacement) for recipe in recipes}
        if faults := [fault for recipe in recipes for fault in self._refusal(recipe, self.actions[recipe.key])]:
            raise Faults(faults)
        self.made: dict[VarKey, Draft] = {}
        self.replaced: set[VarKey] = set()
        self._vars: ChainMap[VarKey, StoredVar] = ChainMap({}, self._stored, self._pending)  # those made come first
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
            Faults: When a generator fails or does not return exactly its files; when a secret is made without an
                admin key; when a var that binds something would be regenerated.
        """
        peers: dict[int, Mapping[str, Mapping[str, Values]]] = {}  # by the table, which all members of a role share
        for recipe in recipes:
            if recipe.key in self.made:  # several members share it
                continue
            action = self.actions[recipe.key]
            inputs = self._inputs(recipe, made=inputs_made, exports_replaced=exports_replaced)
            if inputs is not Inputs.UNCHANGED:
                action = decide(recipe, self._existing(recipe), self._replacement, inputs)
            if action.keeps:
                continue
            if faults := self._refusal(recipe, action):
                raise Faults(faults)
            if action.generates and id(recipe.peers) not in peers:
                peers[id(recipe.peers)] = {
                    name: {machine: self._values_of(needed, recipe) for machine, needed in keys.items()}
                    for name, keys in recipe.peers.items()
                }
            self._carry_out(action, recipe, peers.get(id(recipe.peers), {}), published)
        return {recipe.key: self._vars[recipe.key] for recipe in recipes}

    def _existing(self, recipe: Recipe) -> Existing:
        key = recipe.key
        stored, pending = self._stored.get(key), self._pending.get(key)
        base = self._project.vars if pending is None else self._project.pending
        validation = effective.validation(base, key) if recipe.validation else ""
        return Existing(stored, pending, validation, given=pending is not None and effective.given(self._project, key))

    def _inputs(self, recipe: Recipe, *, made: bool, exports_replaced: bool) -> Inputs:
        """Return what became of a var's inputs, as far as the run got."""
        own = [needed for _, needed in recipe.inputs]
        others = (needed for machines in recipe.peers.values() for needed in machines.values())
        if exports_replaced or (self.replaced and not self.replaced.isdisjoint(chain(own, others))):
            return Inputs.REPLACED
        return Inputs.MADE if made or any(needed in self.made for needed in own) else Inputs.UNCHANGED

    def _refusal(self, recipe: Recipe, action: Action) -> list[Fault]:
        """Return the fault of an action that refuses; [] for others."""
        key = recipe.key
        match action:
            case Action.REFUSE_MISFIT:
                base, var = next(
                    (base, vars_[key])
                    for base, vars_ in ((self._project.vars, self._stored), (self._project.pending, self._pending))
                    if key in vars_
                )
                return [misfit(self._project, recipe, var, base)]
            case Action.REFUSE_NEW_SETTINGS:
                why = "its settings have changed"
            case Action.REFUSE_NEW_INPUTS:
                why = "what it is generated from has changed"
            case _:
                return []
        lost, keep = recipe.binds, "undo that change"
        if key in self._pending:
            lost = "its value was set by hand and is not installed yet"
            keep += f" and run `rolecall update` first; or set the value again: `rolecall vars set {key}`"
        hint = f"{keep}; or, to accept the loss, run `rolecall vars rotate --force {key}`"
        return [Fault(f"{key} would be regenerated because {why}: {lost}", hint=hint)]

    def _carry_out(
        self, action: Action, recipe: Recipe, peers: Mapping[str, Mapping[str, Values]], published: Published
    ) -> None:
        """Make a var by an action that neither keeps nor refuses."""
        key, stored = recipe.key, self._stored.get(recipe.key, {})
        values: Values = {}
        carried: dict[str, str] = {}  # by the name that a stored file will have, the one that it has
        prefix = ""
        match action:
            case _ if action.gives:
                values = self._values[key] = frozen(self._given(recipe))
            case Action.START_ROTATION:
                values, prefix = self._generated(recipe, peers, published), NEXT
                carried = {name: name for name in current(stored)}
            case Action.USE_NEXT:
                carried = {name: NEXT + name for name in slot(stored, NEXT)}
                carried |= {OLD + name: name for name in current(stored)}
            case Action.DROP_OLD:
                carried = {name: name for name in current(stored)}
            case _:
                values = self._values[key] = frozen(self._generated(recipe, peers, published))
        versions = self._replacement.versions.get(key, {})
        files = {
            replace(file, name=prefix + file.name): sealed_file(
                self._secret_store, key, file, values[file.name], versions.get(file.name, "")
            )
            for file in (recipe.generator.files if values else ())
        }
        self.made[key] = Draft(files, carried, _notes(self._project, recipe, given=action.gives))
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
            *(recipe.wanted, self._earlier(recipe), recipe.interfaces, published),
        )
        return generate(recipe, context)

    def _earlier(self, recipe: Recipe) -> Values:
        """Return the values that a var extends, unless a person rotates it.

        Those are the stored ones, if there are any: a plan that is not carried out leaves no trace.
        """
        key = recipe.key
        if not recipe.extends or key in self._replacement.rotate or key in self._replacement.advance:
            return {}
        stored = soundness.read(self._project.vars, [key]).get(key)
        var = stored or self._pending.get(key)
        if var is None or not fits(recipe, var):
            return {}
        values: Values = frozen(self._read(key, var, pending=() if stored else {key}))
        return values

    def _given(self, recipe: Recipe) -> Values:
        """Return the values that a person gives; files that are not given keep their values."""
        key, given = recipe.key, self._replacement.given[recipe.key]
        values: Values = {}
        existing = self._existing(recipe).var
        if existing and not recipe.file_names <= given.keys():
            values = {
                name: value
                for name, value in self._read(key, existing, pending=self._pending).items()
                if name in recipe.file_names
            }
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
            var = self._vars.get(key) or effective.stored(self._project, [key]).get(key)
            if var is None:
                raise fault(f"{label(reader)} needs {key}, which nothing generates")
            self._values[key] = frozen(self._read(key, var, pending=self._pending))
        return self._values[key]

    def _read(self, key: VarKey, var: StoredVar, *, pending: Container[VarKey]) -> Values:
        """Return the values in use of a var on disk, decrypted; the pending ones of those vars."""
        files = current(var)
        # A rotation that this run advances has not moved the files yet.
        carried = self.made[key].carried if key in self.made else {}
        on_disk = {name: carried.get(name, name) for name in files}
        secret = [(key, on_disk[name]) for name, file in files.items() if file.secret]
        opened = effective.decrypt(self._project, secret, pending=pending)
        return {
            name: opened[key, on_disk[name]] if file.secret else file.public.encode() for name, file in files.items()
        }

    @cached_property
    def _secret_store(self) -> SecretStore:
        return chosen(self._project)


def sealed_file(
    secret_store: SecretStore, key: VarKey, file: VarFile, value: bytes, version: str = ""
) -> tuple[str, bytes]:
    """Return the version of a value, a new one unless given, and the bytes to write: encrypted if they are secret."""
    version = version or secrets.token_urlsafe(16)
    return version, secret_store.seal(f"{key}/{file.name}/{version}", value) if file.secret else value


def _notes(project: Project, recipe: Recipe, *, given: bool) -> dict[str, str]:
    """Return what is noted beside a new var: what it binds, replaces and was made for, and whether it was given."""
    stored = soundness.read(project.vars, [recipe.key]).get(recipe.key)
    notes = {"replaces": effective.version_stamp(stored) if stored else "", "validation": recipe.validation}
    notes["given"] = "by a person" if given else ""
    return {"binds": recipe.binds} | {name: text for name, text in notes.items() if text}
