"""Vars on disk: the files of each, and how they are read.

Below ``project.vars``, and the same below ``project.pending``::

    per-machine/MACHINE/NAME/FILE/{value, version} or {secret, version, recipients, machines, formerly}
    per-machine/MACHINE/NAME/{.made, .binds, .validation, .replaces, .given}
    shared/NAME/…
    …/NAME/.next/{FILE/…, .made}, …/NAME/.old/{FILE/…, .made}

A folder NAME is a var, written whole or not at all (see `store`).

===============  =======================================================================================================
``value``        a public value, as it is
``secret``       a secret value, sealed by a secret store; mode 0600
``version``      a random public id of that value
``recipients``   the public keys that can read the secret, one a line
``formerly``     the public keys that could read it before
``machines``     the names of the machines that it was sent to
``.next``        another value of the var, which peers accept and none uses yet
``.old``         the value that was in use before
``.made``        a line ``FILE VERSION DIGEST`` for each file that was made together, which shows when a merge mixes
                 files of both sides
``.binds``       what is lost with the var; an empty line for nothing
``.validation``  the `Recipe.validation` that it was made for
``.replaces``    the `version_stamp` of the stored value that a pending one is to replace
``.given``       beside a pending value that a person gave: no run replaces it by a generated one unless forced
===============  =======================================================================================================

Vars of earlier versions of Rolecall have no ``.made`` and ``.binds``. `upgrade` adds them: ``.binds`` from the recipe,
and ``.made`` once the files have been compared.
"""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH110

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.model.vars import NEXT, OLD, VarKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Literal


_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_MACHINE = re.compile(_NAME)
_VAR = re.compile(rf"{_NAME}(\.{_NAME}){{0,2}}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
CONFLICT = re.compile(rb"^(?:<{7}|>{7}) ", re.MULTILINE)  # git-merge(1), "HOW CONFLICTS ARE PRESENTED"
LISTS = ("recipients", "machines", "formerly")
SLOTS = ("", NEXT, OLD)  # of a var; the files in each were made together
_PIECE = 1 << 16
_RESTORE = "restore it from a commit: `git checkout COMMIT -- FILE`"


def binds(base: Path, key: VarKey) -> str | None:
    """Return what is lost with a var, "" for nothing; None if that was not noted yet."""
    return note(base, key, "binds")


def secrets(base: Path) -> Iterator[tuple[VarKey, str, str]]:
    """Yield every secret below ``base``: its var, the name of its file, and the folder of that file."""
    for key in keys_of(base):
        folder = var_folder(base, key)
        for file in files_of(folder):
            if os.path.exists(f"{folder}/{file}/secret"):
                yield key, file, f"{folder}/{file}"


def recipients(folder: str) -> frozenset[str] | None:
    """Return the public keys that the secret in a folder is encrypted to; None if that is not noted."""
    return _listed(f"{folder}/recipients")


def known_to(folder: str, whom: Literal["machines", "formerly"]) -> frozenset[str]:
    """Return the machines that the secret in a folder was sent to, or the public keys that could read it before."""
    return _listed(f"{folder}/{whom}") or frozenset()


def version(folder: str) -> str:
    """Return the version of the value in a folder."""
    return read_bytes(f"{folder}/version").decode(errors="replace").strip()


def ciphertext(folder: str) -> bytes:
    """Return the sealed secret in a folder."""
    return read_bytes(f"{folder}/secret")


def has_conflict(path: str) -> bool:
    """Return whether a file exists, and has a merge conflict."""
    try:
        return bool(CONFLICT.search(read_bytes(path)))
    except FileNotFoundError:
        return False


def _listed(path: str) -> frozenset[str] | None:
    """Return the lines of a list, of both sides if it has a merge conflict; None if it does not exist."""
    try:
        lines = read_bytes(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    return frozenset(line for line in lines if not line.startswith(("<<<<<<<", "|||||||", "=======", ">>>>>>>")))


def var_folder(base: Path, key: VarKey) -> str:
    """Return the folder of a var.

    Raises:
        Faults: When a name is invalid; so the path never leaves the project.
    """
    if (key.machine and not _MACHINE.fullmatch(key.machine)) or not _VAR.fullmatch(key.name):
        raise fault(f"{str(key)!r} is not a valid name of a var", hint="use letters, digits, `_` and `-`")
    return f"{base}/per-machine/{key.machine}/{key.name}" if key.machine else f"{base}/shared/{key.name}"


def invalid_names(key: VarKey, files: Iterable[str]) -> list[Fault]:
    """Return a fault for each invalid name among those of a new var and its files."""
    try:
        var_folder(Path(), key)
    except Faults as error:
        return list(error.faults)
    return [_invalid_file(key, file) for file in files if not FILE.fullmatch(file)]


def file_folder(base: Path, key: VarKey, file: str) -> str:
    """Return the folder of one file of a var; see `var_folder`."""
    if not FILE.fullmatch(file.removeprefix(NEXT).removeprefix(OLD)):
        raise Faults([_invalid_file(key, file)])
    return f"{var_folder(base, key)}/{file}"


def _invalid_file(key: VarKey, file: str) -> Fault:
    return Fault(f"{file!r} is not a valid file name in {key}", hint="use letters, digits, `.`, `_` and `-`")


def note(base: Path, key: VarKey, name: str) -> str | None:
    """Return what is noted beside a var; None for nothing."""
    try:
        data = read_bytes(f"{var_folder(base, key)}/.{name}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return data.decode(errors="replace").strip() if data else None  # an empty file was cut off


def keys_of(base: Path) -> list[VarKey]:
    """Return the vars below ``base``, in order; folders with other names are ignored."""
    keys = [VarKey("", name) for name in folders_in(f"{base}/shared", _VAR)]
    for machine in folders_in(f"{base}/per-machine", _MACHINE):
        keys += of_machine(base, machine)
    return keys


def of_machine(base: Path, machine: str) -> list[VarKey]:
    """Return the vars of one machine below ``base``, in order."""
    return [VarKey(machine, name) for name in folders_in(f"{base}/per-machine/{machine}", _VAR)]


def files_of(folder: str) -> Iterator[str]:
    """Yield the names of the files of the var in a folder."""
    for prefix in ("", NEXT, OLD):
        for name in folders_in(f"{folder}/{prefix}", FILE):
            yield prefix + name


def folders_in(path: str, pattern: re.Pattern[str]) -> list[str]:
    """Return the names that match a pattern, of the folders in a folder, sorted; none when it does not exist."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if pattern.fullmatch(entry.name) and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def read_bytes(path: str) -> bytes:
    """Return the content of a file, in few system calls: open() makes seven, and there are thousands of files.

    Raises:
        Faults: When the path is not a regular file, or cannot be read.
        FileNotFoundError: When it does not exist.
        NotADirectoryError: When one of its parents is not a folder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else a pipe would block for ever
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise fault(f"file cannot be read: {error.strerror}", where=Where(Path(path)), hint=_RESTORE) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise fault("not a regular file", where=Where(Path(path)), hint=_RESTORE)
        data = piece = os.read(descriptor, _PIECE)
        while len(piece) == _PIECE:
            data += (piece := os.read(descriptor, _PIECE))
    finally:
        os.close(descriptor)
    return data
