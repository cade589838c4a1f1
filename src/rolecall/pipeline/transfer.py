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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall import files as writing
from rolecall import vars as var_store
from rolecall.errors import Fault, Faults, Where, fault, nearest
from rolecall.model.recipes import Replacement
from rolecall.model.vars import VarFile, VarKey, current
from rolecall.pipeline.vars import refuse_to_replace_bound, regenerate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rolecall.model.vars import StoredVar
    from rolecall.pipeline.workspace import Workspace
    from rolecall.project import Project

_VERSION = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HINT = 'a document of `rolecall vars export`, or `{"vars": {"MACHINE/NAME": {"FILE": {"text": "…"}}}}`'


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
        Faults: When there is no such var; when one cannot be decrypted; when a key is unusable; when the file exists.
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
    binds = {name: said for name, (key, _) in chosen.items() if (said := var_store.bound_to(project, key))}
    data = var_store.encrypt_to(project, to, json.dumps({"vars": document, "binds": binds}, indent=1).encode())
    if file:
        writing.create(file, data, mode=0o600)
    return data


def import_vars(workspace: Workspace, data: bytes, file: Path, *, force: bool = False) -> Imported:
    """Put the vars of a document into the pending set, and regenerate the vars that read them.

    Args:
        workspace: The project.
        data: The document, encrypted or not.
        file: Where it comes from, for faults.
        force: Whether stored vars are replaced even if something is lost with them.

    Raises:
        Faults: When it is not such a document; as `Workspace.sound` and `rotate`; when a var has other files than the
            inventory wants. Nothing is stored then.
    """
    project = workspace.project
    opened = var_store.decrypt_file(project, data, file)
    given, versions = _read(opened, file)
    found = workspace.sound()
    wanted = {str(recipe.key): recipe for recipe in found.recipes}
    stored = var_store.stored(project, [recipe.key for name, recipe in wanted.items() if name in given])
    same = {name for name in given if name in wanted and _is(stored.get(wanted[name].key), versions[name])}
    new = {name: wanted[name] for name in given if name in wanted and name not in same}
    refuse_to_replace_bound(workspace, new.values(), force=force, pending=True)
    values = {recipe.key: given[name] for name, recipe in new.items()}
    known = {recipe.key: versions[name] for name, recipe in new.items()}
    pending = regenerate(workspace, found, Replacement(given=values, versions=known, force=force)) if new else ()
    kept = _keep(project, json.loads(opened), given.keys() - wanted.keys(), given, versions)
    unwanted = given.keys() - wanted.keys() - kept
    return Imported(tuple(map(str, pending)), tuple(sorted(same)), tuple(sorted(unwanted)), tuple(sorted(kept)))


def _keep(
    project: Project,
    document: Any,  # noqa: ANN401 - JSON, which `_read` has looked at
    names: set[str],
    given: Mapping[str, Mapping[str, bytes]],
    versions: Mapping[str, Mapping[str, str]],
) -> set[str]:
    """Store the vars that bind something and that nothing needs, such as those of a removed machine."""
    said = document.get("binds")
    bound = {name: str(said[name]) for name in names if isinstance(said, dict) and said.get(name)}
    keys = {
        name: VarKey("" if machine == "shared" else machine, var)
        for name in bound
        for machine, _, var in [name.partition("/")]
    }
    there = var_store.stored(project, keys.values())
    new = {name: key for name, key in keys.items() if key not in there}
    values = {
        key: {
            VarFile(file, secret=document["vars"][name][file].get("public") is not True): (
                versions[name].get(file, ""),
                value,
            )
            for file, value in given[name].items()
        }
        for name, key in new.items()
    }
    if values:
        var_store.store_without_recipes(project, values, {key: bound[name] for name, key in new.items()})
    return set(new)


def _is(var: StoredVar | None, versions: Mapping[str, str]) -> bool:
    """Return whether a var has these very values."""
    return var is not None and {name: file.version for name, file in current(var).items()} == versions


def _written(value: bytes) -> dict[str, str]:
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _read(data: bytes, file: Path) -> tuple[dict[str, dict[str, bytes]], dict[str, dict[str, str]]]:
    """Return values and versions, by var and file; no fault contains a value."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise fault("not valid JSON", where=Where(file), hint=_HINT) from None
    named = document.get("vars") if isinstance(document, dict) else None
    if not isinstance(named, dict):
        raise fault("no table `vars`", where=Where(file), hint=_HINT)
    values: dict[str, dict[str, bytes]] = {}
    versions: dict[str, dict[str, str]] = {}
    faults = []
    for var, files in named.items():
        values[var], versions[var] = {}, {}
        for name, given in files.items() if isinstance(files, dict) else [("", None)]:
            value = _value(given)
            version = given.get("version", "") if isinstance(given, dict) else ""
            if value is None or not (version == "" or (isinstance(version, str) and _VERSION.fullmatch(version))):
                faults.append(Fault(f"{var}/{name} is not a valid value", Where(file, ("vars", var, name)), _HINT))
                continue
            values[var][name] = value
            if version:
                versions[var][name] = version
    if faults:
        raise Faults(faults)
    return values, versions


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
