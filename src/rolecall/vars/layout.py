"""Vars on disk: where they stand, and how they are read.

Below ``project.vars``, and the same below ``project.pending``::

    per-machine/MACHINE/NAME/FILE/{value, version} or {secret, version, recipients, machines, formerly}
    shared/NAME/FILE/…
    …/NAME/.next/FILE/…, …/NAME/.old/FILE/…

``value`` is public and plain, ``secret`` what a secret store has sealed (mode 0600); ``version`` is a random public id
of that very value, ``recipients`` the public keys that can read the secret, one a line; ``formerly`` those that could
before; ``machines`` the names of those that it was sent to. ``.next`` holds another value, which peers accept and
nobody uses yet; ``.old`` one that was used before.
A folder NAME is a var, written whole or not at all (see `store`).
"""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH110, PTH208

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Where, fault
from rolecall.model.vars import NEXT, OLD, StoredFile, StoredVar, VarKey
from rolecall.vars import secret_stores

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from typing import Literal

    from rolecall.project import Project

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_MACHINE = re.compile(_NAME)
_VAR = re.compile(rf"{_NAME}(\.{_NAME}){{0,2}}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

_PIECE = 1 << 16


def stored(project: Project, keys: Iterable[VarKey]) -> dict[VarKey, StoredVar]:
    """Those of these vars that there are, pending ones included; nothing is decrypted.

    A file that has lost its value or its version is left out; `rolecall.vars.make.missing` tells of it.

    Raises:
        Faults: When a key cannot be a path, or a public value is no text.
    """
    keys = list(keys)
    waiting, kept = look(project, keys)
    return waiting | kept


def stored_all(project: Project) -> dict[VarKey, StoredVar]:
    """All vars of the project, by key, without pending ones."""
    return read(project.vars, keys_of(project.vars))


def pending(project: Project) -> dict[VarKey, StoredVar]:
    """The vars that were made for a plan and neither promoted nor stored otherwise (by a colleague's commit)."""
    return look(project, keys_of(project.pending))[0]


def look(project: Project, keys: Iterable[VarKey]) -> tuple[dict[VarKey, StoredVar], dict[VarKey, StoredVar]]:
    """Those of these vars that are pending, and those that are stored; each is in one of them, in the one that counts.

    What is stored counts, but for a pending var that was made to replace that very one.
    """
    waiting = read(project.pending, keys)  # first: vars move from there to what is kept
    kept = read(project.vars, keys)
    for key in waiting.keys() & kept.keys():
        replaced = note(project.pending, key, "replaces") == identity(kept[key])
        (kept if replaced else waiting).pop(key)
    return waiting, kept


def identity(var: StoredVar) -> str:
    """Names the values that a var has."""
    return " ".join(f"{name}={file.version}" for name, file in sorted(var.items()))


def validation(project: Project, key: VarKey, *, waiting: bool) -> str:
    """What a var was made for, as its recipe said it; "" where that is not known."""
    return note(project.pending if waiting else project.vars, key, "validation")


def replaces(project: Project, key: VarKey) -> bool:
    """Whether there is a pending var that was made to replace a stored one."""
    return bool(note(project.pending, key, "replaces"))


def read(base: Path, keys: Iterable[VarKey]) -> dict[VarKey, StoredVar]:
    """Those of these vars that stand below ``base``."""
    if not base.is_dir():
        return {}
    found = ((key, _read_var(var_folder(base, key))) for key in keys)
    return {key: var for key, var in found if var is not None}


def decrypt(
    project: Project, wanted: Iterable[tuple[VarKey, str]], *, waiting: Container[VarKey] = ()
) -> dict[tuple[VarKey, str], bytes]:
    """The values of secrets, each given as a var and the name of its file.

    Args:
        project: The project.
        wanted: What is to be decrypted.
        waiting: The vars of which the pending value is wanted where there are two.

    Raises:
        Faults: When one's own identity is missing or does not fit, or a secret is not there.
    """
    wanted = list(wanted)
    unseal = secret_stores.opener(project)
    values = {}
    for key, file in wanted:
        bases = (project.pending, project.vars) if key in waiting else (project.vars, project.pending)
        paths = [f"{file_folder(base, key, file)}/secret" for base in bases]
        path = next(filter(os.path.exists, paths), None)
        if path is None:
            raise fault(f"no secret {file!r} of {key}", where=Where(Path(paths[0])))
        values[key, file] = unseal(read_bytes(path), Path(path))
    return values


def secrets(base: Path) -> Iterator[tuple[VarKey, str, str]]:
    """Every secret below ``base``: its var, the name of its file, and the folder that this stands in."""
    for key in keys_of(base):
        folder = var_folder(base, key)
        for file in _files(folder):
            if os.path.exists(f"{folder}/{file}/secret"):
                yield key, file, f"{folder}/{file}"


def recipients(folder: str) -> frozenset[str] | None:
    """The public keys that the secret in a folder is encrypted to; None where that is not said."""
    return _listed(f"{folder}/recipients")


def known_to(folder: str, whom: Literal["machines", "formerly"]) -> frozenset[str]:
    """The machines that the secret in a folder was sent to, or the public keys that could read it formerly."""
    return _listed(f"{folder}/{whom}") or frozenset()


def version(folder: str) -> str:
    """The version of the value in a folder."""
    return read_bytes(f"{folder}/version").decode(errors="replace").strip()


def ciphertext(folder: str) -> bytes:
    """The secret in a folder, as a secret store has sealed it."""
    return read_bytes(f"{folder}/secret")


def _listed(path: str) -> frozenset[str] | None:
    try:
        return frozenset(read_bytes(path).decode(errors="replace").splitlines())
    except FileNotFoundError:
        return None


def var_folder(base: Path, key: VarKey) -> str:
    """The folder of one var.

    Raises:
        Faults: When a name is none; the project's folder is never left.
    """
    if (key.machine and not _MACHINE.fullmatch(key.machine)) or not _VAR.fullmatch(key.name):
        raise fault(f"{str(key)!r} cannot name a var", hint="names are letters, digits, `_` and `-`")
    return f"{base}/per-machine/{key.machine}/{key.name}" if key.machine else f"{base}/shared/{key.name}"


def file_folder(base: Path, key: VarKey, file: str) -> str:
    """The folder of one value; see `var_folder`."""
    if not _FILE.fullmatch(file.removeprefix(NEXT).removeprefix(OLD)):
        raise fault(f"{file!r} cannot name a file of {key}", hint="names are letters, digits, `.`, `_` and `-`")
    return f"{var_folder(base, key)}/{file}"


def note(base: Path, key: VarKey, name: str) -> str:
    """What is noted beside a var, or ""."""
    try:
        return read_bytes(f"{var_folder(base, key)}/.{name}").decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def keys_of(base: Path) -> list[VarKey]:
    """The vars below ``base``, in order; what is not named like one is none."""
    found = [VarKey("", name) for name in _folders(f"{base}/shared", _VAR)]
    for machine in _folders(f"{base}/per-machine", _MACHINE):
        found += of_machine(base, machine)
    return found


def of_machine(base: Path, machine: str) -> list[VarKey]:
    """The vars of one machine below ``base``, in order."""
    return [VarKey(machine, name) for name in _folders(f"{base}/per-machine/{machine}", _VAR)]


def _files(folder: str) -> Iterator[str]:
    """The names of the files of the var in a folder."""
    for prefix in ("", NEXT, OLD):
        for name in _folders(f"{folder}/{prefix}", _FILE):
            yield prefix + name


def _folders(path: str, pattern: re.Pattern[str]) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if pattern.fullmatch(entry.name) and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_var(folder: str) -> StoredVar | None:
    """The var that stands here; an empty folder (git keeps none, but leaves some) is no var."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return None
    for prefix in (NEXT, OLD):
        if prefix[:-1] in names:
            names += [prefix + name for name in sorted(os.listdir(folder + "/" + prefix))]
    files = ((name, _read_file(f"{folder}/{name}")) for name in names)
    return {name: file for name, file in files if file} if names else None


def _read_file(folder: str) -> StoredFile | None:
    try:
        version = read_bytes(f"{folder}/version").decode().strip()
        secret = os.path.exists(f"{folder}/secret")
        public = "" if secret else read_bytes(f"{folder}/value").decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        raise fault("not UTF-8 text", where=Where(Path(folder))) from None
    return StoredFile(secret, version, public) if version else None


def read_bytes(path: str) -> bytes:
    """The whole file, in three system calls: open() makes seven, and there are thousands of files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = piece = os.read(descriptor, _PIECE)
        while len(piece) == _PIECE:
            data += (piece := os.read(descriptor, _PIECE))
    finally:
        os.close(descriptor)
    return data
