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

Vars of earlier versions of Rolecall have no ``.made`` and ``.binds``. `store.note_recipes` adds ``.binds``, and
`store.mark` adds ``.made`` once the files have been compared.
"""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH110, PTH112, PTH208

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.model.vars import NEXT, OLD, StoredFile, StoredVar, VarKey, slot
from rolecall.vars import secret_stores

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from typing import Literal

    from rolecall.project import Project

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_MACHINE = re.compile(_NAME)
_VAR = re.compile(rf"{_NAME}(\.{_NAME}){{0,2}}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9_-]{1,128}")  # as the agent takes it for a file's name
_CONFLICT = re.compile(rb"^(?:<{7}|>{7}) ", re.MULTILINE)  # git-merge(1), "HOW CONFLICTS ARE PRESENTED"
_LISTS = ("recipients", "machines", "formerly")

SLOTS = ("", NEXT, OLD)  # of a var; the files in each were made together
_PIECE = 1 << 16
_MIXED = "does not match the other files of the var (mixed up by a merge?)"
_OTHER_MARK = "is of another value than all files beside it (a merge with an earlier version?)"
_RESTORE = "restore it from a commit: `git checkout COMMIT -- FILE`"


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


def binds(base: Path, key: VarKey) -> str | None:
    """Return what is lost with a var, "" for nothing; None if that was not noted yet."""
    return note(base, key, "binds")


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
            return _conflicting(path)
        except Faults as error:
            faults.extend(error.faults)
            return False

    for base in (project.pending, project.vars):
        keys = keys_of(base)
        for key, file, folder in secrets(base):
            for name in _LISTS:
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
        if any(not os.path.exists(f"{each}/.made") and _folders(each, _FILE) for each in slots):
            found.append(key)
    return found


def manifest(folder: str) -> bytes:
    """Return the content of `.made` for the files in a folder."""
    return "".join(made_line(f"{folder}/{name}") for name in _folders(folder, _FILE)).encode()


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


def secrets(base: Path) -> Iterator[tuple[VarKey, str, str]]:
    """Yield every secret below ``base``: its var, the name of its file, and the folder of that file."""
    for key in keys_of(base):
        folder = var_folder(base, key)
        for file in _files(folder):
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


def conflicting(folder: str, name: str) -> bool:
    """Return whether a list beside a secret has a merge conflict."""
    return _conflicting(f"{folder}/{name}")


def _conflicting(path: str) -> bool:
    try:
        return bool(_CONFLICT.search(read_bytes(path)))
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
    return [_invalid_file(key, file) for file in files if not _FILE.fullmatch(file)]


def place(project: Project, key: VarKey) -> Where:
    """Return the place of the value of a var that counts."""
    pending, _ = pending_and_stored(project, [key])
    return Where(Path(var_folder(project.pending if key in pending else project.vars, key)))


def file_folder(base: Path, key: VarKey, file: str) -> str:
    """Return the folder of one file of a var; see `var_folder`."""
    if not _FILE.fullmatch(file.removeprefix(NEXT).removeprefix(OLD)):
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
    keys = [VarKey("", name) for name in _folders(f"{base}/shared", _VAR)]
    for machine in _folders(f"{base}/per-machine", _MACHINE):
        keys += of_machine(base, machine)
    return keys


def of_machine(base: Path, machine: str) -> list[VarKey]:
    """Return the vars of one machine below ``base``, in order."""
    return [VarKey(machine, name) for name in _folders(f"{base}/per-machine/{machine}", _VAR)]


def _files(folder: str) -> Iterator[str]:
    """Yield the names of the files of the var in a folder."""
    for prefix in ("", NEXT, OLD):
        for name in _folders(f"{folder}/{prefix}", _FILE):
            yield prefix + name


def _folders(path: str, pattern: re.Pattern[str]) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if pattern.fullmatch(entry.name) and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


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
    if _CONFLICT.search(data):
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
    if _CONFLICT.search(version) or (secret is None and _CONFLICT.search(data)):
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
