"""Export and import vars, between projects or from another tool: one JSON document, encrypted with age.

::

    {"vars": {"MACHINE/NAME": {FILE: {"text": "…", "version": "…"}, FILE: {"base64": "…"}}, "shared/NAME": {…}},
     "binds": {"MACHINE/NAME": "…"}}

``text`` is UTF-8, ``base64`` any bytes (RFC 4648). ``version`` names this very value; without it, the value is
a new one. ``public`` is true for a value that is not secret. ``binds`` says what is lost with a var.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rolecall import files as writing
from rolecall import vars as var_store
from rolecall.errors import Fault, Faults, Where, fault, nearest
from rolecall.model.recipes import Replacement
from rolecall.model.vars import VarFile, VarKey, current
from rolecall.pipeline.vars import refuse_to_replace_bound, regenerate
from rolecall.vars.generate import checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar
    from rolecall.pipeline.workspace import Workspace

_VERSION = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HINT = 'give a document of `rolecall vars export`, or `{"vars": {"MACHINE/NAME": {"FILE": {"text": "…"}}}}`'


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import.

    Attributes:
        pending: The vars that wait for an update now, with those that were regenerated for them.
        same: The vars whose values the project has already.
        unwanted: The vars that the inventory does not need; they are left out.
        kept: The vars that it does not need either, but that bind something; they are stored.
    """

    pending: tuple[str, ...]
    same: tuple[str, ...]
    unwanted: tuple[str, ...]
    kept: tuple[str, ...] = ()


def export_vars(workspace: Workspace, names: Sequence[str], to: Sequence[str], file: Path | None = None) -> bytes:
    """Return vars with their values, as an age file.

    Args:
        workspace: The project.
        names: As `rolecall vars list` names them, without the file; by default all that are stored.
        to: The public keys that can read it; by default those of the admins.
        file: A new file to write it to.

    Raises:
        Faults: When the var does not exist; when one cannot be decrypted; when a key is unusable; when the file exists.
    """
    project = workspace.project
    stored = {str(key): (key, current(var)) for key, var in var_store.stored_all(project).items()}
    if unknown := [name for name in names if name not in stored]:
        hints = {name: nearest(name, stored, what="vars") for name in unknown}
        raise Faults(Fault(f"no var {name!r}", hint=hint) for name, hint in hints.items())
    chosen = {name: stored[name] for name in names or stored}
    secrets = [(key, name) for key, var in chosen.values() for name, file in var.items() if file.secret]
    opened = var_store.decrypt(project, secrets)
    document = {
        name: {
            file: {
                **_written(opened[key, file] if each.secret else each.public.encode()),
                "version": each.version,
                **({} if each.secret else {"public": True}),
            }
            for file, each in var.items()
        }
        for name, (key, var) in chosen.items()
    }
    binds = {name: loss for name, (key, _) in chosen.items() if (loss := var_store.bound_to(project, key))}
    data = var_store.encrypt_to(project, to, json.dumps({"vars": document, "binds": binds}, indent=1).encode())
    if file:
        writing.create(file, data, mode=0o600)
    return data


def import_vars(workspace: Workspace, data: bytes, file: Path, *, force: bool = False) -> Imported:
    """Put the vars of a document into the pending set, and regenerate the vars that read them.

    Vars that bind something and that the inventory does not need, such as those of a removed machine, are stored.

    Args:
        workspace: The project.
        data: The document, encrypted or not.
        file: Where it comes from, for faults.
        force: Whether stored vars are replaced even if something is lost with them.

    Raises:
        Faults: When it is not such a document; as `Workspace.sound` and `rotate`; for each var with other files than
            the inventory wants, and each that cannot be stored. Nothing is stored then.
    """
    project = workspace.project
    given = _read(var_store.decrypt_file(project, data, file), file)
    found = workspace.sound()
    recipes = {str(recipe.key): recipe for recipe in found.recipes}
    undeclared = {_key(name): var for name, var in given.items() if var.binds and name not in recipes}
    stored = var_store.stored(project, [recipe.key for name, recipe in recipes.items() if name in given])
    same = {name for name in given if name in recipes and _is(stored.get(recipes[name].key), given[name].versions)}
    new = [(recipe, given[name]) for name, recipe in recipes.items() if name in given and name not in same]
    faults = [each for recipe, var in new for each in _misfits(recipe, var, stored.get(recipe.key, {}))]
    if faults := [*faults, *_unfit(workspace, undeclared, file)]:
        raise Faults(faults)
    refuse_to_replace_bound(workspace, [recipe for recipe, _ in new], force=force, pending=True)
    kept = {key: undeclared[key] for key in undeclared.keys() - var_store.stored(project, undeclared)}
    files = {
        key: {
            VarFile(name, secret=name not in var.public): (var.versions.get(name, ""), value)
            for name, value in var.values.items()
        }
        for key, var in kept.items()
    }
    drafts = var_store.drafts(project, files, {key: var.binds for key, var in kept.items()})
    values = {recipe.key: var.values for recipe, var in new}
    versions = {recipe.key: var.versions for recipe, var in new}
    pending = regenerate(workspace, found, Replacement(given=values, versions=versions, force=force)) if new else ()
    var_store.store_drafts(project, drafts)
    names = {str(key) for key in kept}
    unwanted = given.keys() - recipes.keys() - names
    return Imported(tuple(map(str, pending)), tuple(sorted(same)), tuple(sorted(unwanted)), tuple(sorted(names)))


def _key(name: str) -> VarKey:
    machine, _, var = name.partition("/")
    return VarKey("" if machine == "shared" else machine, var)


def _misfits(recipe: Recipe, given: _Given, stored: StoredVar) -> list[Fault]:
    """Return the faults of values that their recipe does not take; files that are not given keep theirs."""
    others = dict.fromkeys(current(stored).keys() & recipe.file_names, b"")
    try:
        checked(recipe, {**others, **given.values}, f"the given value of {recipe.key}")
    except Faults as error:
        return list(error.faults)
    return []


def _unfit(workspace: Workspace, undeclared: Mapping[VarKey, _Given], file: Path) -> Iterator[Fault]:
    """Yield the faults of vars that are to be stored, though the inventory does not need them."""
    project = workspace.project
    present = {recipe.key for recipe in workspace.members().recipes}
    present |= var_store.pending(project).keys() | var_store.stored_all(project).keys()
    names: list[tuple[str, ...]] = [(machine,) for machine in workspace.machine_names()]
    names += [part for key in sorted(present) for part in _parts(key)]
    by_folded = {_folded(name): name for name in names}
    for key, var in undeclared.items():
        where = Where(file, ("vars", str(key)))
        yield from (replace(each, where=where) for each in var_store.invalid_names(key, var.values))
        for name in _parts(key, var.values):
            if (other := by_folded.setdefault(_folded(name), name)) != name:
                what = f"{'/'.join(name)} and {'/'.join(other)} differ only in upper and lower case"
                yield Fault(what, where, "rename it: on some file systems both are the same folder")
                break
        if not var.values:
            yield Fault(f"{key} has no files", where, _HINT)
        for public in sorted(var.public):
            try:
                var.values[public].decode()
            except UnicodeDecodeError:
                yield Fault(f"{key}/{public} is public, but not UTF-8 text", where, "leave out `public`")


def _parts(key: VarKey, files: Iterable[str] = ()) -> list[tuple[str, ...]]:
    """Return the names of a machine, a var and its files, each with those above it."""
    machine, name = str(key).split("/", 1)
    return [(machine,), (machine, name), *((machine, name, file) for file in files)]


def _folded(name: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(str.casefold, name))


def _is(var: StoredVar | None, versions: Mapping[str, str]) -> bool:
    """Return whether a var has these very values."""
    return var is not None and {name: file.version for name, file in current(var).items()} == versions


def _written(value: bytes) -> dict[str, str]:
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


@dataclass(frozen=True, slots=True)
class _Given:
    """A var of a document.

    Attributes:
        values: By file.
        versions: By file, if they are known.
        public: The files that are not secret; counts only for vars that the inventory does not need.
        binds: What is lost with the var, or "".
    """

    values: Mapping[str, bytes]
    versions: Mapping[str, str]
    public: frozenset[str]
    binds: str


def _read(data: bytes, file: Path) -> dict[str, _Given]:
    """Return the vars of a document by name; no fault contains a value."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise fault("not valid JSON", where=Where(file), hint=_HINT) from None
    named = document.get("vars") if isinstance(document, dict) else None
    if not isinstance(named, dict):
        raise fault("no table `vars`", where=Where(file), hint=_HINT)
    binds = document.get("binds")
    found: dict[str, _Given] = {}
    faults = []
    for var, files in named.items():
        values: dict[str, bytes] = {}
        versions: dict[str, str] = {}
        public: set[str] = set()
        for name, given in files.items() if isinstance(files, dict) else [("", None)]:
            value = _value(given)
            version = given.get("version", "") if isinstance(given, dict) else ""
            if value is None or not (version == "" or (isinstance(version, str) and _VERSION.fullmatch(version))):
                faults.append(Fault(f"{var}/{name} is not a valid value", Where(file, ("vars", var, name)), _HINT))
                continue
            values[name] = value
            versions |= {name: version} if version else {}
            if isinstance(given, dict) and given.get("public") is True:
                public.add(name)
        lost = str(binds.get(var) or "") if isinstance(binds, dict) else ""
        found[var] = _Given(values, versions, frozenset(public), lost)
    if faults:
        raise Faults(faults)
    return found


def _value(given: Any) -> bytes | None:  # noqa: ANN401 - JSON
    match given:
        case {"text": str(text)}:
            return text.encode(errors="surrogatepass")
        case {"base64": str(text)}:
            try:
                return base64.b64decode(text, validate=True)
            except ValueError:
                return None
        case _:
            return None
