"""Whether the files of a var belong together, which a merge can break; and the notes that show it."""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH110, PTH112, PTH208

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where
from rolecall.model.vars import NEXT, OLD, StoredFile, StoredVar, VarKey, slot
from rolecall.vars.layout import (
    CONFLICT,
    FILE,
    LISTS,
    binds,
    folders_in,
    has_conflict,
    keys_of,
    read_bytes,
    secrets,
    var_folder,
    version,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolecall.project import Project

_VERSION = re.compile(r"[A-Za-z0-9_-]{1,128}")  # as the agent takes it for a file's name
_MIXED = "does not match the other files of the var (mixed up by a merge?)"
_OTHER_MARK = "is of another value than all files beside it (a merge with an earlier version?)"


def read(base: Path, keys: Iterable[VarKey]) -> dict[VarKey, StoredVar]:
    """Return those of these vars that exist below ``base``.

    Raises:
        Faults: As `stored`.
    """
    sound, faults = examine(base, keys)
    if faults:
        raise Faults(faults)
    return sound


def examine(base: Path, keys: Iterable[VarKey]) -> tuple[dict[VarKey, StoredVar], list[Fault]]:
    """Return those of these vars that exist below ``base`` and are sound, and the faults of others."""
    if not base.is_dir():
        return {}, []
    sound: dict[VarKey, StoredVar] = {}
    faults: list[Fault] = []
    for key in keys:
        folder = var_folder(base, key)
        wrong: list[tuple[str, str]] = []
        try:
            var = _read_var(folder, wrong)
        except Faults as error:
            faults += error.faults
            continue
        if wrong:
            for name, what in wrong:
                hint = _cure(base, key, Path(folder, name) if what == _OTHER_MARK else None)
                faults.append(Fault(f"{key}{name and '/'}{name} {what}", Where(Path(folder, name)), hint))
        elif var is not None:
            sound[key] = var
    return sound, faults


def unsound(project: Project) -> list[Fault]:
    """Return the faults of all vars, pending ones included: those of `examine` and of `unsettled`."""
    bases = (project.pending, project.vars)
    return [fault for base in bases for fault in examine(base, keys_of(base))[1]] + unsettled(project)


def unsettled(project: Project) -> list[Fault]:
    """Return the merge conflicts in notes beside vars, pending ones included, and the names that clash."""
    faults: list[Fault] = []

    def is_conflicting(path: str) -> bool:
        try:
            return has_conflict(path)
        except Faults as error:
            faults.extend(error.faults)
            return False

    for base in (project.pending, project.vars):
        keys = keys_of(base)
        for key, file, folder in secrets(base):
            for name in LISTS:
                if is_conflicting(f"{folder}/{name}"):
                    where = Where(Path(folder, name))
                    hint = "run `rolecall vars fix`, which keeps the lines of both sides"
                    faults.append(Fault(f"{key}/{file}: merge conflict in its file {name!r}", where, hint))
        for key in keys:
            for name in (".binds", ".validation"):
                if is_conflicting(path := f"{var_folder(base, key)}/{name}"):
                    hint = "edit the file, and keep one of the two versions"
                    faults.append(Fault(f"{key}: {name} has a merge conflict", Where(Path(path)), hint))
        faults += _differing_in_case(base, keys)
    return faults


def _differing_in_case(base: Path, keys: Iterable[VarKey]) -> Iterator[Fault]:
    same: dict[str, VarKey] = {}
    for key in keys:
        if (other := same.setdefault(str(key).casefold(), key)) != key:
            hint = "remove the one that is not used: on some file systems both are the same folder"
            where = Where(Path(var_folder(base, key)))
            yield Fault(f"{key} and {other} differ only in upper and lower case", where, hint)


def unmarked(project: Project, keys: Iterable[VarKey]) -> list[VarKey]:
    """Return those of these stored vars that have no `.made`."""
    found = []
    for key in keys:
        folder = var_folder(project.vars, key)
        try:
            names = {*os.listdir(folder)}
        except (FileNotFoundError, NotADirectoryError):
            continue
        slots = [f"{folder}/{name}" for name in (NEXT[:-1], OLD[:-1]) if name in names]
        slots += [] if ".made" in names else [folder]
        if any(not os.path.exists(f"{each}/.made") and folders_in(each, FILE) for each in slots):
            found.append(key)
    return found


def manifest(folder: str) -> bytes:
    """Return the content of `.made` for the files in a folder."""
    return "".join(made_line(f"{folder}/{name}") for name in folders_in(folder, FILE)).encode()


def made_line(folder: str, data: bytes | None = None) -> str:
    """Return the line of `.made` for a file, given its folder; with ``data``, for that secret instead of its own."""
    if data is None:
        data = read_bytes(f"{folder}/secret" if os.path.exists(f"{folder}/secret") else f"{folder}/value")
    return f"{Path(folder).name} {version(folder)} {_digest(data)}\n"


def _digest(data: bytes) -> str:
    """Return the digest of a value or a sealed secret, the same whatever line ends git writes."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()[:32]


def _cure(base: Path, key: VarKey, mark: Path | None = None) -> str:
    """Return the hint for a var whose files do not belong together, or whose `.made` is of another value."""
    if base.name == "pending":
        stored = os.path.isdir(var_folder(base.parents[1] / "vars", key))  # then that value remains
        return f"drop it: `rolecall vars discard{'' if stored or binds(base, key) == '' else f' --force {key}'}`"
    folder = Path(var_folder(base, key)).relative_to(base.parent)
    if mark:
        right = (
            f"if its values are right, remove {mark.relative_to(base.parent)} and run `rolecall vars check --decrypt`"
        )
        return f"{right}; or take all of one commit: `git rm -rf {folder} && git checkout COMMIT -- {folder}`"
    hint = f"take the whole folder from one commit: `git checkout COMMIT -- {folder}`"
    return hint if binds(base, key) != "" else f"{hint}; or delete it, and `rolecall vars generate` makes a new value"


def _read_var(folder: str, wrong: list[tuple[str, str]]) -> StoredVar | None:
    """Return the var in a folder; None if it is missing or empty (git leaves empty folders).

    Args:
        folder: The folder.
        wrong: A list to which this appends what is wrong: the name of a file, or "" for the var, and the problem.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        wrong.append(("", "is a file, but must be a folder"))
        return None
    var: StoredVar = {}
    if {NEXT[:-1], OLD[:-1]} <= {*names}:
        wrong.append(("", "is in two steps of its rotation at once (mixed up by a merge?)"))
    for prefix in ("", NEXT, OLD):
        if prefix and prefix[:-1] not in names:
            continue
        in_slot = sorted(os.listdir(f"{folder}/{prefix}") if prefix else names)
        made = _made(f"{folder}/{prefix}", wrong) if ".made" in in_slot else None
        before = len(wrong)
        for name in in_slot:
            if not name.startswith(".") and (file := _read_file(folder, prefix + name, made, wrong)):
                var[prefix + name] = file
        found = wrong[before:]
        if made and found and not slot(var, prefix) and all(_is_of_another(folder, each, made) for each in found):
            wrong[before:] = [(f"{prefix}.made", _OTHER_MARK)]
        elif made is not None:
            wrong += [(prefix + name, "is missing") for name in sorted(made.keys() - in_slot)]
    return var if names else None


Made = dict[str, set[tuple[str, str]]]  # by file: version and digest; two while it is re-encrypted


def _made(folder: str, wrong: list[tuple[str, str]]) -> Made | None:
    """Return what `.made` lists; None if it has a merge conflict."""
    data = read_bytes(f"{folder}.made")
    if CONFLICT.search(data):
        wrong.append(("", "merge conflict: both branches generated this var (in .made)"))
        return None
    made: Made = {}
    for line in data.decode(errors="replace").splitlines():
        name, _, rest = line.partition(" ")
        version, _, digest = rest.partition(" ")
        made.setdefault(name, set()).add((version, digest))
    return made


def _is_of_another(folder: str, found: tuple[str, str], made: Made) -> bool:
    """Return whether `.made` lists no version of a file that does not match."""
    name, what = found
    listed = made.get(name.rpartition("/")[2], ())
    return what == _MIXED and version(f"{folder}/{name}") not in {each for each, _ in listed}


def _read_file(folder: str, name: str, made: Made | None, wrong: list[tuple[str, str]]) -> StoredFile | None:
    """Return one file of a var; None if it is incomplete, which is wrong only for files that `.made` may list."""
    try:
        version, secret = _content(f"{folder}/{name}/version"), _content(f"{folder}/{name}/secret")
        value = _content(f"{folder}/{name}/value")
    except NotADirectoryError:
        return None  # a person's own file beside the var
    data = value if secret is None else secret
    if version is None or data is None:
        if made is not None or version or data:
            wrong.append((name, f"has no {'version' if version is None else 'value'}"))
        return None
    version_text = version.decode(errors="replace").strip()
    if CONFLICT.search(version) or (secret is None and CONFLICT.search(data)):
        wrong.append((name, "has a merge conflict: both branches generated it"))
    elif secret is not None and value is not None:
        wrong.append((name, "has both a public value and a secret"))
    elif not _VERSION.fullmatch(version_text):
        wrong.append((name, "has an invalid version"))
    elif made is not None and (version_text, _digest(data)) not in made.get(name.rpartition("/")[2], ()):
        wrong.append((name, _MIXED))
    else:
        try:
            return StoredFile(secret is not None, version_text, "" if secret is not None else data.decode())
        except UnicodeDecodeError:
            wrong.append((name, "is not UTF-8 text"))
    return None


def _content(path: str) -> bytes | None:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None
