"""The effective value of each var, which is the pending or the stored one, and what its secrets contain."""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH112

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Faults, Where, fault
from rolecall.vars import secret_stores
from rolecall.vars.layout import file_folder, keys_of, note, read_bytes, var_folder
from rolecall.vars.soundness import examine, read

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Literal

    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.project import Project


def stored(project: Project, keys: Iterable[VarKey]) -> dict[VarKey, StoredVar]:
    """Return the vars that exist, pending ones included; nothing is decrypted.

    Raises:
        Faults: When a key cannot be a path; for each var whose files do not belong together.
    """
    keys = list(keys)
    pending, stored = pending_and_stored(project, keys)
    return pending | stored


def stored_all(project: Project) -> dict[VarKey, StoredVar]:
    """Return all vars of the project, without pending ones."""
    return read(project.vars, keys_of(project.vars))


def pending(project: Project) -> dict[VarKey, StoredVar]:
    """Return the pending vars that count: neither promoted nor stored otherwise (by a colleague's commit)."""
    return pending_and_stored(project, keys_of(project.pending))[0]


def pending_and_stored(
    project: Project, keys: Iterable[VarKey], *, lenient: bool = False
) -> tuple[dict[VarKey, StoredVar], dict[VarKey, StoredVar]]:
    """Return which of these vars are pending and which are stored; of a var that is both, the value that counts.

    The stored value counts, unless the pending one was made to replace it.

    Args:
        project: The project.
        keys: Vars.
        lenient: Whether to leave out vars whose files do not belong together, instead of raising. A pending value does
            not count in place of a broken stored one.

    Raises:
        Faults: As `stored`.
    """
    pending, faults = examine(project.pending, keys)  # first: vars move from pending to stored
    stored, others = examine(project.vars, keys)
    if (faults := [*faults, *others]) and not lenient:
        raise Faults(faults)
    if others:
        broken = [key for key in pending.keys() - stored.keys() if os.path.isdir(var_folder(project.vars, key))]
        for key in broken:
            pending.pop(key)
    for key in pending.keys() & stored.keys():
        replaced = note(project.pending, key, "replaces") == version_stamp(stored[key])
        (stored if replaced else pending).pop(key)
    return pending, stored


def version_stamp(var: StoredVar) -> str:
    """Return a text that identifies the var's current values (its files and versions)."""
    return " ".join(f"{name}={file.version}" for name, file in sorted(var.items()))


def validation(base: Path, key: VarKey) -> str:
    """Return the `Recipe.validation` that a var was made for; "" where that is not known."""
    return note(base, key, "validation") or ""


def replaces(project: Project, key: VarKey) -> bool:
    """Return whether a var has a pending value that was made to replace a stored one."""
    return bool(note(project.pending, key, "replaces"))


def given(project: Project, key: VarKey) -> bool:
    """Return whether a var has a pending value that a person gave."""
    return bool(note(project.pending, key, "given"))


def verb(project: Project, key: VarKey, var: StoredVar) -> Literal["generate", "set", "rotate"]:
    """Return how the value of a pending var came: generated, set by a person, or from the value that it replaces."""
    if given(project, key):
        return "set"
    replaced = {each.rpartition("=")[2] for each in (note(project.pending, key, "replaces") or "").split()}
    return "rotate" if {file.version for file in var.values()} <= replaced else "generate"


def decrypt(
    project: Project, wanted: Iterable[tuple[VarKey, str]], *, pending: Container[VarKey] = ()
) -> dict[tuple[VarKey, str], bytes]:
    """Return the values of secrets.

    Args:
        project: The project.
        wanted: The secrets, each a var and the name of its file.
        pending: The vars of which the pending value is decrypted, if they have a stored one, too.

    Raises:
        Faults: When the user's identity is missing or cannot read a secret, or a secret does not exist.
    """
    wanted = list(wanted)
    unseal = secret_stores.opener(project)
    values = {}
    for key, file in wanted:
        bases = (project.pending, project.vars) if key in pending else (project.vars, project.pending)
        paths = [f"{file_folder(base, key, file)}/secret" for base in bases]
        path = next(filter(os.path.exists, paths), None)
        if path is None:
            raise fault(f"{key} has no secret {file!r}", where=Where(Path(paths[0])))
        values[key, file] = unseal(read_bytes(path), Path(path))
    return values


def place(project: Project, key: VarKey) -> Where:
    """Return the place of the value of a var that counts."""
    pending, _ = pending_and_stored(project, [key])
    return Where(Path(var_folder(project.pending if key in pending else project.vars, key)))
