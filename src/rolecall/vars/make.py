"""Making vars: recipes in the order of their inputs, all of them or none."""

from __future__ import annotations

import graphlib
import secrets
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rolecall.errors import Fault, Faults, Where, defined_at, fault, raised_at
from rolecall.model.generators import Context, NotDeclaredError, Question, prompts_of
from rolecall.model.recipes import Replacement
from rolecall.model.vars import NEXT, OLD, StoredFile, current, slot, step_of
from rolecall.vars import layout, store
from rolecall.vars.secret_stores import chosen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rolecall.model.generators import Published
    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar, Values, VarFile, VarKey
    from rolecall.project import Project
    from rolecall.vars.secret_stores import SecretStore

T = TypeVar("T")
NOTHING = Replacement()
_USE = 1  # steps that are done when the new value comes into use


def missing(project: Project, recipes: Sequence[Recipe]) -> list[VarKey]:
    """The vars that are neither stored nor pending, inputs before what needs them.

    Raises:
        Faults: When recipes contradict each other, need one another in a circle, or do not fit what is stored.
    """
    return Making(project, _in_order(recipes)).missing


def make(project: Project, recipes: Sequence[Recipe]) -> dict[VarKey, StoredVar]:
    """Makes the vars that are missing and puts them into the pending set: all of them, or none.

    Args:
        project: The project.
        recipes: Vars that read no exports.

    Returns:
        The vars of all recipes, whether stored, pending before, or made now.

    Raises:
        Faults: As `making` and `Making.make`.
    """
    ordered = _in_order(recipes)
    with making(project, ordered) as run:
        return run.make(ordered, lambda *_: ())


@contextmanager
def making(
    project: Project,
    recipes: Iterable[Recipe],
    anew: Replacement = NOTHING,
) -> Iterator[Making]:
    """Makes vars step by step. When the block ends well, all that it made is in the pending set; else nothing is.

    Args:
        project: The project.
        recipes: Every var that the block will ask for.
        anew: What is to be made anew, though it is there.

    Raises:
        Faults: When recipes contradict each other or do not fit what is stored.
    """
    unique = list(_unique(recipes).values())
    run = Making(project, unique, anew)
    if not run.missing:
        yield run
        return
    known = anew.given.keys() | {key for key, done in run.steps.items() if done}
    missing = set(run.missing) - known
    asking = [recipe for recipe in unique if recipe.key in missing]
    answers = _asked(project, asking)  # before others have to wait
    with store.locked(project):
        # Looked at again: whoever held the lock may have made them.
        run = Making(project, unique, anew, answers)
        yield run
        store.write_pending(project, run.made, run.recipients, run.notes, run.carried)


def keep(
    project: Project, values: Mapping[VarKey, Mapping[VarFile, tuple[str, bytes]]], bound: Mapping[VarKey, str]
) -> None:
    """Stores vars that no recipe asks for now.

    Args:
        project: The project.
        values: Of each file: its version, "" for a new one, and what it holds.
        bound: What is lost with each var.

    Raises:
        Faults: When a name is none, or there is no admin key.
    """
    secret_store = chosen(project)
    made: dict[VarKey, dict[VarFile, tuple[str, bytes]]] = {}
    for key, files in values.items():
        made[key] = {}
        for file, (known, data) in files.items():
            version = known or secrets.token_urlsafe(16)
            sealed = secret_store.seal(f"{key}/{file.name}/{version}", data) if file.secret else data
            made[key][file] = (version, sealed)
    with store.locked(project):
        notes = {key: {"binds": bound[key]} for key in made}
        store.write_pending(project, made, secret_store.readers(), notes)
    store.promote(project, layout.read(project.pending, made))


class Making:
    """The vars of one run: those that there are, and those that it makes. Values stay in memory.

    Attributes:
        missing: The vars that are not there, are made for something else, or pending in a form that does not fit.
        steps: How many steps of its rotation each var had done that takes one more.
        made: What was made, ready to be stored: versions and data, secret data encrypted.
        replaced: The vars that are made anew though they were there: what is made from them is, too.
        carried: By var, the files that stay those of the stored one, by what they are called there.
        notes: By var, what is noted beside it: the one that it replaces, and what it was made for.
    """

    def __init__(
        self,
        project: Project,
        recipes: Sequence[Recipe],
        anew: Replacement = NOTHING,
        answers: Mapping[Question, bytes] | None = None,
    ) -> None:
        keys = [recipe.key for recipe in recipes]
        self._project = project
        self._answers = dict(answers or {})
        self._given, self._versions, self._force = anew.given, anew.versions, anew.force
        self._done: dict[VarKey, StoredVar] = {}
        self._waiting, self._kept = layout.pending_and_stored(project, keys)
        self.notes: dict[VarKey, dict[str, str]] = {}
        self._values: dict[VarKey, Values] = {}
        self.made: dict[VarKey, dict[VarFile, tuple[str, bytes]]] = {}
        self.carried: dict[VarKey, dict[str, str]] = {}
        self.steps = {key: step_of(var) for key, var in self._kept.items() if key in anew.advance}
        found = self._waiting | self._kept
        self.replaced = {
            recipe.key
            for recipe in recipes
            if recipe.key in found
            and (
                recipe.key in anew.rotate
                or recipe.key in anew.given
                or self.steps.get(recipe.key) == _USE
                or self._validation_changed(recipe)
            )
        }
        if faults := [
            _lost(each, "its settings have changed")
            for each in recipes
            if each.key in self.replaced
            and not (each.key in anew.rotate or each.key in anew.given or each.key in self.steps)
            and self._bound(each)
        ]:
            raise Faults(faults)
        unfit = [
            recipe
            for recipe in recipes
            if recipe.key not in self.replaced and _kinds(found.get(recipe.key, {})) != _wanted(recipe)
        ]
        if faults := [misfit(project, each, self._kept[each.key]) for each in unfit if each.key in self._kept]:
            raise Faults(faults)
        for recipe in unfit:
            self._waiting.pop(recipe.key, None)
        self.missing = list(dict.fromkeys([*(recipe.key for recipe in unfit), *self.replaced, *self.steps]))

    def make(
        self, recipes: Sequence[Recipe], published: Published, *, anew: bool = False, outdated: bool = False
    ) -> dict[VarKey, StoredVar]:
        """The vars of recipes, after those that are missing are made.

        Args:
            recipes: Some of those of the run, inputs first.
            published: Gives them exports.
            anew: Whether to make pending ones once more. Those are that read what this run made.
            outdated: Whether to make those anew that are kept, too: they read an export of what is replaced.

        Raises:
            Faults: When a generator fails or does not make exactly its files; when a secret is to be made and there is
                no admin key.
        """
        found = {}
        shared: Mapping[str, Mapping[str, VarKey]] | None = None
        peers: dict[str, Mapping[str, Values]] = {}
        for recipe in recipes:
            key = recipe.key
            if key in self._done:  # one that several members share
                found[key] = self._done[key]
                continue
            if outdated and key in self._kept:
                self._replace(recipe)
            there = None if self._outdated(recipe) or key in self.steps else self._kept.get(key)
            stale = anew or key in self.replaced or any(needed in self.made for _, needed in recipe.inputs)
            if there is None and not stale:
                there = self._waiting.get(key)
            if there is None:
                if recipe.peers is not shared:  # one table for all members of a role
                    shared = recipe.peers
                    peers = {
                        name: {machine: self._value(recipe, needed) for machine, needed in keys.items()}
                        for name, keys in shared.items()
                    }
                there = self._done[key] = self._make_value(recipe, peers, published)
            found[key] = there
        return found

    def _make_value(self, recipe: Recipe, peers: Mapping[str, Mapping[str, Values]], published: Published) -> StoredVar:
        """What takes the place of whatever there is of a var."""
        key = recipe.key
        if key in self._given:
            return self._sealed(recipe, self._given_value(recipe))
        if self.steps.get(key):
            return self._advance_rotation(recipe)
        inputs = {name: self._value(recipe, needed) for name, needed in recipe.inputs}
        prompts, sandbox = self._answered(recipe), self._project.sandbox
        context = Context(
            *(key, recipe.settings, _Needs(inputs), _Needs(peers), prompts, sandbox),
            *(recipe.interfaces, published),
        )
        values = _generate(recipe, context)
        return self._start_rotation(recipe, values) if key in self.steps else self._sealed(recipe, values)

    def _start_rotation(self, recipe: Recipe, values: Values) -> StoredVar:
        """A new value beside the one in use; what is made from that stays as it is."""
        now = current(self._kept[recipe.key])
        self.carried[recipe.key] = {name: name for name in now}
        new = self._sealed(recipe, values, NEXT)
        self._values.pop(recipe.key)
        return now | new

    def _advance_rotation(self, recipe: Recipe) -> StoredVar:
        """The next step of a rotation that has begun: no value is new."""
        stored = self._kept[recipe.key]
        now, new = current(stored), slot(stored, NEXT)
        names = {name: NEXT + name for name in new} | {OLD + name: name for name in now} if new else {n: n for n in now}
        self.carried[recipe.key] = names
        self.made[recipe.key] = {}
        self._note(recipe)
        self._kept[recipe.key] = moved = {name: stored[source] for name, source in names.items()}
        return moved

    def _validation_changed(self, recipe: Recipe) -> bool:
        """Whether what there is was made for something else than what the recipe says now."""
        if not recipe.validation:
            return False
        known = layout.validation(self._project, recipe.key, waiting=recipe.key in self._waiting)
        return known not in {"", recipe.validation}

    def _outdated(self, recipe: Recipe) -> bool:
        """Whether a var that is kept must be regenerated, for itself or because of its inputs."""
        if recipe.key not in self.replaced and self.replaced:
            own = (needed for _, needed in recipe.inputs)
            others = (needed for machines in recipe.peers.values() for needed in machines.values())
            if not self.replaced.isdisjoint(chain(own, others)):
                self._replace(recipe)
        return recipe.key in self.replaced

    def _replace(self, recipe: Recipe) -> None:
        """A var goes along with what it is made from."""
        if recipe.key not in self.replaced and self._bound(recipe):
            raise Faults([_lost(recipe, "what it is generated from has changed")])
        self.replaced.add(recipe.key)

    def _bound(self, recipe: Recipe) -> bool:
        """Whether something would be lost with the value that is kept, and nobody has allowed that."""
        return bool(recipe.binds) and recipe.key in self._kept and not self._force

    def _given_value(self, recipe: Recipe) -> Values:
        """What a person brings; files of which they bring nothing stay as they are."""
        key, wanted = recipe.key, _wanted(recipe)
        given = self._given[key]
        values: Values = {}
        if not wanted.keys() <= given.keys() and layout.stored(self._project, [key]):
            values = {name: value for name, value in self._value(recipe, key).items() if name in wanted}
        values = _checked(recipe, {**values, **given}, f"what is given of {key}")
        if hasattr(recipe.generator, "verify") and (wrong := verified(recipe, values, {})):
            raise fault(f"what is given of {key} does not fit: {wrong}", hint="bring all files of one key together")
        return values

    def _sealed(self, recipe: Recipe, values: Values, prefix: str = "") -> StoredVar:
        self._values[recipe.key] = values
        self.made[recipe.key] = made = {}
        self._note(recipe)
        for file in recipe.generator.files:
            data = values[file.name]
            version = self._versions.get(recipe.key, {}).get(file.name) or secrets.token_urlsafe(16)
            if file.secret:
                data = self._secret_store.seal(f"{recipe.key}/{file.name}/{version}", data)
            made[replace(file, name=prefix + file.name)] = (version, data)
        return {
            file.name: StoredFile(file.secret, version, "" if file.secret else data.decode())
            for file, (version, data) in made.items()
        }

    def _note(self, recipe: Recipe) -> None:
        stored = layout.read(self._project.vars, [recipe.key]).get(recipe.key)
        notes = {"replaces": layout.version_stamp(stored) if stored else "", "validation": recipe.validation}
        self.notes[recipe.key] = {"binds": recipe.binds} | {name: text for name, text in notes.items() if text}

    def _answered(self, recipe: Recipe) -> Values:
        """The answers to a var's prompts; asked for now where it was not known that it would be made."""
        questions = _questions(recipe)
        if any(question not in self._answers for question in questions):
            self._answers |= _asked(self._project, [recipe])
        return {question.prompt.name: self._answers[question] for question in questions}

    @cached_property
    def _secret_store(self) -> SecretStore:
        return chosen(self._project)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Who can read the secrets that were made."""
        secret = any(file.secret for files in self.made.values() for file in files)
        return tuple(self._secret_store.readers()) if secret else ()

    def _value(self, recipe: Recipe, key: VarKey) -> Values:
        """What an input holds, made earlier or now."""
        if key not in self._values:
            var = self._kept.get(key) or self._waiting.get(key) or layout.stored(self._project, [key]).get(key)
            if var is None:
                raise fault(f"{_named(recipe)} needs {key}, which nothing generates")
            var = current(var)
            # What has taken its step in this run stands under its earlier name still.
            names = {name: self.carried.get(key, {}).get(name, name) for name in var}
            wanted = [(key, names[name]) for name, file in var.items() if file.secret]
            opened = layout.decrypt(self._project, wanted, waiting=self._waiting)
            self._values[key] = {
                name: opened[key, names[name]] if file.secret else file.public.encode() for name, file in var.items()
            }
        return self._values[key]


def _lost(recipe: Recipe, why: str) -> Fault:
    """A var that binds something is never replaced because of something else."""
    hint = f"change that back; or, to lose what it binds, run `rolecall vars rotate --force {recipe.key}`"
    return Fault(f"{recipe.key} would be regenerated because {why}: {recipe.binds}", hint=hint)


def _questions(recipe: Recipe) -> list[Question]:
    return [Question(recipe.key, prompt, recipe.origin) for prompt in prompts_of(recipe.generator)]


def _asked(project: Project, recipes: Iterable[Recipe]) -> Mapping[Question, bytes]:
    """The answers to all prompts of these vars."""
    questions = [question for recipe in recipes for question in _questions(recipe)]
    return project.asker(questions) if questions else {}


class _Needs(dict[str, T]):
    """Vars by their names; others were not declared."""

    def __missing__(self, name: str) -> T:
        raise NotDeclaredError(f"this step reads the var {name!r} and does not declare it in its needs=")


def _unique(recipes: Iterable[Recipe]) -> dict[VarKey, Recipe]:
    """One recipe per var."""
    unique: dict[VarKey, Recipe] = {}
    faults = []
    for recipe in recipes:
        first = unique.setdefault(recipe.key, recipe)
        if first is not recipe and replace(first, origin="") != replace(recipe, origin=""):
            faults.append(
                Fault(
                    f"{recipe.key} is defined differently by {first.origin} and {recipe.origin}",
                    hint="a var that several members share must have one generator, one set of inputs and settings",
                )
            )
    if faults:
        raise Faults(faults)
    return unique


def _in_order(recipes: Iterable[Recipe]) -> list[Recipe]:
    """One recipe per var, inputs first."""
    unique = _unique(recipes)
    needs = {key: [needed for _, needed in recipe.inputs] for key, recipe in unique.items()}
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        # graphlib lists each step before the one that needs it.
        steps = [f"{key} ({unique[key].origin})" for key in reversed(error.args[1])]
        raise fault(f"dependency cycle: {' → '.join(steps)}") from None
    return [unique[key] for key in order if key in unique]


def _kinds(var: StoredVar) -> dict[str, bool]:
    return {name: file.secret for name, file in current(var).items()}


def _wanted(recipe: Recipe) -> dict[str, bool]:
    return {file.name: file.secret for file in recipe.generator.files}


def misfit(project: Project, recipe: Recipe, found: StoredVar) -> Fault:
    """Return the fault that a var has other files than its recipe wants."""

    def listed(files: Mapping[str, bool]) -> str:
        named = (f"{name} ({'secret' if secret else 'public'})" for name, secret in sorted(files.items()))
        return ", ".join(named) or "no file"

    folder = Path(layout.var_folder(project.vars, recipe.key))
    hint = f"bring back what was lost: `git checkout COMMIT -- {folder.relative_to(project.root)}`"
    if not recipe.binds:
        hint += "; or delete the folder, and `rolecall vars generate` makes a new value"
    return Fault(
        f"{recipe.key} holds {listed(_kinds(found))}, where {recipe.origin} wants {listed(_wanted(recipe))}",
        Where(folder),
        hint,
    )


def _generate(recipe: Recipe, context: Context) -> Values:
    what = f"{_named(recipe)}, made by {type(recipe.generator).__name__},"
    own = _line(defined_at(getattr(recipe.generator, "function", recipe.generator.generate)))
    try:
        made: object = recipe.generator.generate(context)
    except Faults as error:
        raise Faults(
            Fault(f"{_named(recipe)}: {each.message}", each.where, each.hint) for each in error.faults
        ) from None
    except NotDeclaredError as error:
        raise fault(f"{what} failed: {error}", where=_line(raised_at(error)) or own) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an author's code raises
        # Its kind and place are told, not its words: those may quote a secret input.
        raise fault(f"{what} failed with {type(error).__name__}", where=_line(raised_at(error)) or own) from None
    if not isinstance(made, Mapping):
        raise fault(f"{what} returns {type(made).__name__}, not bytes by file name", where=own)
    kept = {file.name for file in recipe.generator.files} & context.prompts.keys()
    return _checked(recipe, {name: context.prompts[name] for name in kept} | dict(made), what, own)


def verified(recipe: Recipe, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:
    """Return what a generator that has a `verify` says of values; "" when they match.

    Raises:
        Faults: When it fails, at the line in the author's file.
    """
    verify = recipe.generator.verify  # type: ignore[attr-defined]  # as the caller knows
    try:
        return str(verify(values, inputs) or "")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as in `_generate`, also what is not told
        what = f"{_named(recipe)}: verify of {type(recipe.generator).__name__} failed with {type(error).__name__}"
        raise fault(what, where=_line(raised_at(error) or defined_at(verify))) from None


def _line(place: str) -> Where | None:
    """Return ``FILE:LINE`` as a place."""
    file, _, line = place.rpartition(":")
    return Where(Path(file), line=int(line)) if file else None


def _checked(recipe: Recipe, values: Values, what: str, where: Where | None = None) -> Values:
    """Exactly the files that the generator promised; else a fault at a place."""
    wanted = {file.name for file in recipe.generator.files}
    if lacking := sorted(wanted - values.keys()):
        raise fault(f"{what} lacks {', '.join(lacking)}", where=where)
    if surplus := sorted(values.keys() - wanted):
        raise fault(f"{what} has undeclared files: {', '.join(surplus)}", where=where)
    for file in recipe.generator.files:
        if not isinstance(values[file.name], bytes):
            raise fault(f"{what} has no bytes in {file.name}", where=where)
        if not file.secret:
            try:
                values[file.name].decode()
            except UnicodeDecodeError:
                raise fault(f"{what} has a public {file.name} that is not UTF-8 text", where=where) from None
    return values


def _named(recipe: Recipe) -> str:
    return f"{recipe.key} (for {recipe.origin})"
