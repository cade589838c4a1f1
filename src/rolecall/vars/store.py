"""Vars on disk: where they stand, how they are read, and the moves by which they come and go.

Below ``project.vars``, and the same below ``project.pending``::

    per-machine/MACHINE/NAME/FILE/{value, version} or {secret, version, recipients, machines, formerly}
    shared/NAME/FILE/…
    …/NAME/.next/FILE/…, …/NAME/.old/FILE/…

``value`` is public and plain, ``secret`` what a secret store has sealed (mode 0600); ``version`` is a random public id
of that very value, ``recipients`` the public keys that can read the secret, one a line; ``formerly`` those that could
before; ``machines`` the names of those that it was sent to. ``.next`` holds another value, which peers accept and
nobody uses yet; ``.old`` one that was used before.
A folder NAME is a var; it is written elsewhere, and comes, moves and goes by rename(2): whole or not at all.
Every writer holds one lock. Readers need none: a var moves only from ``pending`` to ``vars``, so who reads in that
order misses nothing.
"""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH110, PTH112, PTH120, PTH123, PTH208

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.model.vars import NEXT, OLD, StoredFile, StoredVar, VarFile, VarKey
from rolecall.vars import secret_stores

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from typing import Literal

    from rolecall.project import Project

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_MACHINE = re.compile(_NAME)
_VAR = re.compile(rf"{_NAME}(\.{_NAME}){{0,2}}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

_PIECE = 1 << 16

LOCK_SECONDS = 30.0
"""How long a writer waits for another one."""


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
    return read(project.vars, _keys(project.vars))


def pending(project: Project) -> dict[VarKey, StoredVar]:
    """The vars that were made for a plan and neither promoted nor stored otherwise (by a colleague's commit)."""
    return look(project, _keys(project.pending))[0]


def look(project: Project, keys: Iterable[VarKey]) -> tuple[dict[VarKey, StoredVar], dict[VarKey, StoredVar]]:
    """Those of these vars that are pending, and those that are stored; each is in one of them, in the one that counts.

    What is stored counts, but for a pending var that was made to replace that very one.
    """
    waiting = read(project.pending, keys)  # first: vars move from there to what is kept
    kept = read(project.vars, keys)
    for key in waiting.keys() & kept.keys():
        replaced = _note(project.pending, key, "replaces") == identity(kept[key])
        (kept if replaced else waiting).pop(key)
    return waiting, kept


def identity(var: StoredVar) -> str:
    """Names the values that a var has."""
    return " ".join(f"{name}={file.version}" for name, file in sorted(var.items()))


def validation(project: Project, key: VarKey, *, waiting: bool) -> str:
    """What a var was made for, as its recipe said it; "" where that is not known."""
    return _note(project.pending if waiting else project.vars, key, "validation")


def replaces(project: Project, key: VarKey) -> bool:
    """Whether there is a pending var that was made to replace a stored one."""
    return bool(_note(project.pending, key, "replaces"))


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
        values[key, file] = unseal(_read(path), Path(path))
    return values


@contextlib.contextmanager
def locked(project: Project) -> Iterator[None]:
    """Holds the lock of all writers, after clearing up behind one that was killed.

    Raises:
        Faults: When another writer holds it for `LOCK_SECONDS`, or what is done under it meets an OSError.
    """
    try:
        _make_folder(str(project.local))
        descriptor = os.open(project.local / "vars.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _acquire(project, descriptor)
            _settle(project)
            yield
        finally:
            os.close(descriptor)  # and with it the lock
    except OSError as error:
        where = Where(Path(error.filename)) if isinstance(error.filename, str) else None
        raise fault(f"vars cannot be written: {error.strerror or error}", where=where) from error


def write_pending(
    project: Project,
    made: Mapping[VarKey, Mapping[VarFile, tuple[str, bytes]]],
    recipients: Iterable[str],
    notes: Mapping[VarKey, Mapping[str, str]] | None = None,
    carried: Mapping[VarKey, Mapping[str, str]] | None = None,
) -> None:
    """Puts all of these into the pending set, or none; the caller holds the lock.

    Args:
        project: The project.
        made: The version of each file, and what it shall hold; secrets are encrypted already.
        recipients: The public keys that secrets are encrypted to.
        carried: By var: the files that are those of the stored one, by what they are called there.
        notes: By var: the `identity` of what it ``replaces``, and for what ``validation`` it was made.
    """
    making = project.local / "making"
    readers = _lines(recipients)
    for key, files in made.items():
        for file, (version, data) in files.items():
            folder = file_folder(making, key, file.name)
            _make_folder(folder)
            kind, mode = ("secret", 0o600) if file.secret else ("value", 0o644)
            _write(f"{folder}/{kind}", data, mode)
            _write(f"{folder}/version", f"{version}\n".encode(), 0o644)
            if file.secret:
                _write(f"{folder}/recipients", readers, 0o644)
        for name, source in (carried or {}).get(key, {}).items():
            _make_folder(os.path.dirname(file_folder(making, key, name)))
            shutil.copytree(file_folder(project.vars, key, source), file_folder(making, key, name))
        for name, text in (notes or {}).get(key, {}).items():
            _write(f"{var_folder(making, key)}/.{name}", f"{text}\n".encode(), 0o644)
    if made:
        os.sync()  # one for all, where an fsync(2) for each of thousands of files would take seconds
        os.rename(making, project.local / "made")  # from here on they are made; who comes next completes it
        _settle(project)


def secrets(base: Path) -> Iterator[tuple[VarKey, str, str]]:
    """Every secret below ``base``: its var, the name of its file, and the folder that this stands in."""
    for key in _keys(base):
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


def note_known(folder: str, whom: Literal["machines", "formerly"], names: Iterable[str]) -> None:
    """Replaces what `known_to` says; the caller holds the lock."""
    _replace(folder, whom, _lines(names), 0o644)


def version(folder: str) -> str:
    """The version of the value in a folder."""
    return _read(f"{folder}/version").decode(errors="replace").strip()


def ciphertext(folder: str) -> bytes:
    """The secret in a folder, as a secret store has sealed it."""
    return _read(f"{folder}/secret")


def replace_secret(folder: str, data: bytes, readers: Iterable[str]) -> None:
    """Puts the same secret, encrypted to others, in the place of one; the caller holds the lock.

    The secret comes before its recipients: who is killed in between has one of which too much is said, which the next
    check tells. Whose key goes is noted first.
    """
    readers = set(readers)
    if lost := (recipients(folder) or frozenset()) - readers:
        note_known(folder, "formerly", known_to(folder, "formerly") | lost)
    _replace(folder, "secret", data, 0o600)
    _replace(folder, "recipients", _lines(readers), 0o644)


def _replace(folder: str, name: str, content: bytes, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/.{name}")  # left by one that was killed
    _write(f"{folder}/.{name}", content, mode)
    _flush(f"{folder}/.{name}")
    os.rename(f"{folder}/.{name}", f"{folder}/{name}")


def _listed(path: str) -> frozenset[str] | None:
    try:
        return frozenset(_read(path).decode(errors="replace").splitlines())
    except FileNotFoundError:
        return None


def _lines(recipients: Iterable[str]) -> bytes:
    return "".join(f"{recipient}\n" for recipient in sorted(recipients)).encode()


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def promote(project: Project, shown: Mapping[VarKey, StoredVar]) -> None:
    """Moves exactly these vars from the pending set to the stored ones. Doing it again completes or changes nothing.

    Args:
        project: The project.
        shown: The vars as the plan showed them; the versions tell whether it is still these.

    Raises:
        Faults: When one of them is not there any more or is another value now; nothing is moved then.
    """
    if not shown:
        return
    with locked(project):
        waiting, kept = look(project, shown)
        now = waiting | kept
        faults = [
            Fault(
                f"{key} is not there any more" if key not in now else f"{key} is no longer what the plan showed",
                Where(Path(var_folder(project.vars if key in kept else project.pending, key))),
                "look at a new `rolecall plan`",
            )
            for key, var in shown.items()
            if now.get(key) != var
        ]
        if faults:
            raise Faults(faults)
        for key in waiting:
            target = var_folder(project.vars, key)
            if os.path.exists(f"{var_folder(project.pending, key)}/.replaces") and os.path.isdir(target):
                _move(target, var_folder(project.local / "replaced", key))  # until the other one is there
            _move(var_folder(project.pending, key), target)
            _forget_replaced(target)
        if waiting:
            os.sync()
        _settle(project)


def discard(project: Project, keep: Iterable[VarKey] = ()) -> list[VarKey]:
    """Drops the pending vars that are not to be kept, and those that are stored by now (by a colleague's commit).

    Returns:
        The dropped vars.
    """
    if not (project.pending.exists() or (project.local / "made").exists()):
        return []
    kept = set(keep)
    with locked(project):
        keys = _keys(project.pending)
        waiting, _ = look(project, keys)
        dropped = [key for key in keys if key not in kept or key not in waiting]
        _remove(project, project.pending, dropped)
    return dropped


def prune(project: Project, wanted: Iterable[VarKey], *, dry_run: bool = False) -> list[VarKey]:
    """Removes the stored vars that nobody wants.

    Returns:
        The removed vars, or those that would be.
    """
    kept = set(wanted)
    with contextlib.nullcontext() if dry_run else locked(project):
        unwanted = [key for key in _keys(project.vars) if key not in kept]
        if not dry_run:
            _remove(project, project.vars, unwanted)
    return unwanted


def knows(project: Project, machine: str) -> bool:
    """Whether there are vars of a machine, pending ones included."""
    return any(_folders(f"{base}/per-machine/{machine}", _VAR) for base in (project.vars, project.pending))


def rename(project: Project, old: str, new: str) -> None:
    """Gives the vars of a machine its new name, pending ones too. Doing it again completes or changes nothing.

    Raises:
        Faults: When there are vars under both names; nothing is moved then.
    """
    with locked(project):
        moves = [(f"{base}/per-machine/{old}", f"{base}/per-machine/{new}") for base in (project.vars, project.pending)]
        moves = [(source, target) for source, target in moves if os.path.isdir(source)]
        if taken := [Path(target) for _, target in moves if _folders(target, _VAR)]:
            raise fault(f"there are vars of {new} already", where=Where(taken[0]), hint="move them away first")
        for base in (project.vars, project.pending):
            for _, _, folder in secrets(base):
                if old in (names := known_to(folder, "machines")):
                    note_known(folder, "machines", {new, *names} - {old})
        for source, target in moves:
            os.rename(source, target)
        if moves:
            os.sync()


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


def _note(base: Path, key: VarKey, name: str) -> str:
    """What is noted beside a var, or ""."""
    try:
        return _read(f"{var_folder(base, key)}/.{name}").decode(errors="replace").strip()
    except FileNotFoundError:
        return ""


def _forget_replaced(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/.replaces")


def _keys(base: Path) -> list[VarKey]:
    """The vars below ``base``, in order; what is not named like one is none."""
    found = [VarKey("", name) for name in _folders(f"{base}/shared", _VAR)]
    for machine in _folders(f"{base}/per-machine", _MACHINE):
        found += [VarKey(machine, name) for name in _folders(f"{base}/per-machine/{machine}", _VAR)]
    return found


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
        version = _read(f"{folder}/version").decode().strip()
        secret = os.path.exists(f"{folder}/secret")
        public = "" if secret else _read(f"{folder}/value").decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        raise fault("not UTF-8 text", where=Where(Path(folder))) from None
    return StoredFile(secret, version, public) if version else None


def _read(path: str) -> bytes:
    """The whole file, in three system calls: open() makes seven, and there are thousands of files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = piece = os.read(descriptor, _PIECE)
        while len(piece) == _PIECE:
            data += (piece := os.read(descriptor, _PIECE))
    finally:
        os.close(descriptor)
    return data


def _write(path: str, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def _make_folder(path: str) -> None:
    """Like makedirs, which would leave the folders above to the umask alone: here none is writable to others."""
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(path, 0o755)
        except FileNotFoundError:
            _make_folder(os.path.dirname(path))
            os.mkdir(path, 0o755)


def _move(source: str, target: str) -> None:
    _make_folder(os.path.dirname(target))
    os.rename(source, target)  # refuses to replace a var: only an empty folder gives way
    _remove_empty(os.path.dirname(source))


def _remove(project: Project, base: Path, keys: Iterable[VarKey]) -> None:
    removed = f"{project.local}/removed"
    for number, key in enumerate(keys):
        _move(var_folder(base, key), f"{removed}/{number}")
    _throw_away(project, removed)


def _throw_away(project: Project, folder: str | Path) -> None:
    """Removes what stands in a folder, and what is kept elsewhere for it and for nothing else in the project."""
    sealed = {_read(f"{at}/secret") for at, _, names in os.walk(folder) if "secret" in names}
    shutil.rmtree(folder, ignore_errors=True)
    if gone := set(filter(secret_stores.kept_elsewhere, sealed)):
        bases = (project.vars, project.pending, project.local / "made", project.local / "replaced")
        secret_stores.drop(project, gone - {ciphertext(each) for base in bases for *_, each in secrets(base)})


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # it is not empty, then
        os.rmdir(folder)


def _acquire(project: Project, descriptor: int) -> None:
    patience = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience:
                raise fault(
                    "another rolecall is making or moving vars of this project",
                    where=Where(project.local / "vars.lock"),
                    hint="try again when it has ended",
                ) from None
            time.sleep(0.02)


def _settle(project: Project) -> None:
    """Throws away what was not made or replaced to the end, and completes what was."""
    for unfinished in ("making", "removed"):
        _throw_away(project, project.local / unfinished)
    replaced = project.local / "replaced"
    for key in _keys(replaced):
        target = var_folder(project.vars, key)
        if not os.path.exists(target):
            there = var_folder(project.pending, key)
            _move(there if os.path.exists(there) else var_folder(replaced, key), target)
        _forget_replaced(target)
    _throw_away(project, replaced)
    made = project.local / "made"
    keys = _keys(made)
    # A pending var that is made anew gives way: nobody has used it.
    _remove(project, project.pending, read(project.pending, keys))
    for key in keys:
        _move(var_folder(made, key), var_folder(project.pending, key))
    shutil.rmtree(made, ignore_errors=True)
