"""Vars on disk: where they stand, and how they are read.

Below ``project.vars``, and the same below ``project.pending``::

    per-machine/MACHINE/NAME/FILE/{value, version} or {secret, version, recipients, machines, formerly}
    per-machine/MACHINE/NAME/{.made, .binds, .validation, .replaces}
    shared/NAME/…
    …/NAME/.next/{FILE/…, .made}, …/NAME/.old/{FILE/…, .made}

``value`` is public and plain, ``secret`` what a secret store has sealed (mode 0600); ``version`` is a random public id
of that very value, ``recipients`` the public keys that can read the secret, one a line; ``formerly`` those that could
before; ``machines`` the names of those that it was sent to. ``.next`` holds another value, which peers accept and
nobody uses yet; ``.old`` one that was used before.
A folder NAME is a var, written whole or not at all (see `store`).

``.made`` lists the files that were made together, a line ``FILE VERSION DIGEST`` for each: a merge that takes one file
from one side and one from the other does not go unnoticed. ``.binds`` says what is lost with the var; it is an empty
line when nothing is. Vars of earlier versions have neither; `store.note_recipes` adds ``.binds``, and `store.mark`
adds ``.made``, once the files have been compared.
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

SLOTS = ("", NEXT, OLD)  # of a var; what stands in each was made together
_PIECE = 1 << 16
_MIXED = "does not match the other files of the var (mixed up by a merge?)"
_OTHER_MARK = "is of another value than all files beside it (a merge with an earlier version?)"
_RESTORE = "bring it back from a commit: `git checkout COMMIT -- FILE`"


def stored(project: Project, keys: Iterable[VarKey]) -> dict[VarKey, StoredVar]:
    """Return the vars that exist, pending ones included; nothing is decrypted.

    Raises:
        Faults: When a key cannot be a path; for each var whose files do not belong together.
    """
    keys = list(keys)
    waiting, kept = pending_and_stored(project, keys)
    return waiting | kept


def stored_all(project: Project) -> dict[VarKey, StoredVar]:
    """All vars of the project, by key, without pending ones."""
    return read(project.vars, keys_of(project.vars))


def pending(project: Project) -> dict[VarKey, StoredVar]:
    """The vars that were made for a plan and neither promoted nor stored otherwise (by a colleague's commit)."""
    return pending_and_stored(project, keys_of(project.pending))[0]


def pending_and_stored(
    project: Project, keys: Iterable[VarKey], *, lenient: bool = False
) -> tuple[dict[VarKey, StoredVar], dict[VarKey, StoredVar]]:
    """Those of these vars that are pending, and those that are stored; each is in one of them, in the one that counts.

    What is stored counts, but for a pending var that was made to replace that very one.

    Args:
        project: The project.
        keys: Vars.
        lenient: Whether to leave out the vars whose files do not belong together, rather than to raise. A pending var
            does not count in place of a stored one that is broken.

    Raises:
        Faults: As `stored`.
    """
    waiting, faults = examine(project.pending, keys)  # first: vars move from there to what is kept
    kept, others = examine(project.vars, keys)
    if (faults := [*faults, *others]) and not lenient:
        raise Faults(faults)
    if others:
        broken = [key for key in waiting.keys() - kept.keys() if os.path.isdir(var_folder(project.vars, key))]
        for key in broken:
            waiting.pop(key)
    for key in waiting.keys() & kept.keys():
        replaced = note(project.pending, key, "replaces") == version_stamp(kept[key])
        (kept if replaced else waiting).pop(key)
    return waiting, kept


def version_stamp(var: StoredVar) -> str:
    """Return a text that identifies the var's current values (its files and versions)."""
    return " ".join(f"{name}={file.version}" for name, file in sorted(var.items()))


def validation(project: Project, key: VarKey, *, waiting: bool) -> str:
    """For what a var was made, as its recipe said then; "" where that is not known."""
    return note(project.pending if waiting else project.vars, key, "validation") or ""


def replaces(project: Project, key: VarKey) -> bool:
    """Whether there is a pending var that was made to replace a stored one."""
    return bool(note(project.pending, key, "replaces"))


def binds(base: Path, key: VarKey) -> str | None:
    """What is lost with a var, "" for nothing; None where no recipe has told yet."""
    return note(base, key, "binds")


def read(base: Path, keys: Iterable[VarKey]) -> dict[VarKey, StoredVar]:
    """Those of these vars that stand below ``base``.

    Raises:
        Faults: As `stored`.
    """
    found, faults = examine(base, keys)
    if faults:
        raise Faults(faults)
    return found


def examine(base: Path, keys: Iterable[VarKey]) -> tuple[dict[VarKey, StoredVar], list[Fault]]:
    """Those of these vars that stand below ``base`` and are sound, and what is wrong with others."""
    if not base.is_dir():
        return {}, []
    found: dict[VarKey, StoredVar] = {}
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
            found[key] = var
    return found, faults


def unsound(project: Project) -> list[Fault]:
    """What is wrong with vars, pending ones included: as `examine`, and as `unsettled`."""
    bases = (project.pending, project.vars)
    return [fault for base in bases for fault in examine(base, keys_of(base))[1]] + unsettled(project)


def unsettled(project: Project) -> list[Fault]:
    """What is wrong with what is noted beside vars, pending ones included, and with their names."""
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
                    hint = "`rolecall vars fix` keeps the lines of both sides"
                    faults.append(Fault(f"{key}/{file}: merge conflict in its file {name!r}", where, hint))
        for key in keys:
            for name in (".binds", ".validation"):
                if is_conflicting(path := f"{var_folder(base, key)}/{name}"):
                    hint = "keep one of the two texts"
                    faults.append(Fault(f"{key}: {name} holds a merge conflict", Where(Path(path)), hint))
        faults += _differing_in_case(base, keys)
    return faults


def _differing_in_case(base: Path, keys: Iterable[VarKey]) -> Iterator[Fault]:
    same: dict[str, VarKey] = {}
    for key in keys:
        if (other := same.setdefault(str(key).casefold(), key)) != key:
            hint = "some file systems take the two for one folder; remove the one that nothing needs"
            where = Where(Path(var_folder(base, key)))
            yield Fault(f"{key} and {other} differ only in upper and lower case", where, hint)


def unmarked(project: Project, keys: Iterable[VarKey]) -> list[VarKey]:
    """Return those of these stored vars of which no `.made` says which files were made together."""
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
    """What `.made` says of the files that stand in a folder."""
    return "".join(made_line(f"{folder}/{name}") for name in _folders(folder, _FILE)).encode()


def made_line(folder: str, data: bytes | None = None) -> str:
    """The line of `.made` for the file in a folder, or for what will be its secret."""
    if data is None:
        data = read_bytes(f"{folder}/secret" if os.path.exists(f"{folder}/secret") else f"{folder}/value")
    return f"{Path(folder).name} {version(folder)} {_digest(data)}\n"


def _digest(data: bytes) -> str:
    """Of a value or a sealed secret, however git writes the ends of lines."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()[:32]


def _cure(base: Path, key: VarKey, mark: Path | None = None) -> str:
    """What a person can do about a var whose files do not belong together, or whose `.made` is of another value."""
    if base.name == "pending":
        stored = os.path.isdir(var_folder(base.parents[1] / "vars", key))  # then that value stays
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


def conflicting(folder: str, name: str) -> bool:
    """Whether a list beside a secret holds what git leaves of a merge that failed."""
    return _conflicting(f"{folder}/{name}")


def _conflicting(path: str) -> bool:
    try:
        return bool(_CONFLICT.search(read_bytes(path)))
    except FileNotFoundError:
        return False


def _listed(path: str) -> frozenset[str] | None:
    """The lines of a list; of both sides where a merge has failed."""
    try:
        lines = read_bytes(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    return frozenset(line for line in lines if not line.startswith(("<<<<<<<", "|||||||", "=======", ">>>>>>>")))


def var_folder(base: Path, key: VarKey) -> str:
    """The folder of one var.

    Raises:
        Faults: When a name is none; the project's folder is never left.
    """
    if (key.machine and not _MACHINE.fullmatch(key.machine)) or not _VAR.fullmatch(key.name):
        raise fault(f"{str(key)!r} cannot name a var", hint="names are letters, digits, `_` and `-`")
    return f"{base}/per-machine/{key.machine}/{key.name}" if key.machine else f"{base}/shared/{key.name}"


def place(project: Project, key: VarKey) -> Where:
    """Return where the value of a var that counts stands."""
    pending, _ = pending_and_stored(project, [key])
    return Where(Path(var_folder(project.pending if key in pending else project.vars, key)))


def file_folder(base: Path, key: VarKey, file: str) -> str:
    """The folder of one value; see `var_folder`."""
    if not _FILE.fullmatch(file.removeprefix(NEXT).removeprefix(OLD)):
        raise fault(f"{file!r} cannot name a file of {key}", hint="names are letters, digits, `.`, `_` and `-`")
    return f"{var_folder(base, key)}/{file}"


def note(base: Path, key: VarKey, name: str) -> str | None:
    """What is noted beside a var; None where nothing is."""
    try:
        data = read_bytes(f"{var_folder(base, key)}/.{name}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return data.decode(errors="replace").strip() if data else None  # a file of no bytes was cut off, and says nothing


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


def _read_var(folder: str, wrong: list[tuple[str, str]]) -> StoredVar | None:
    """The var that stands here; an empty folder (git keeps none, but leaves some) is no var.

    Args:
        folder: Where it stands.
        wrong: Gets what does not belong together: the name of a file, or "", and what is wrong with it.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        wrong.append(("", "is a file, where a folder is expected"))
        return None
    var: StoredVar = {}
    if {NEXT[:-1], OLD[:-1]} <= {*names}:
        wrong.append(("", "is in two steps of its rotation at once (mixed up by a merge?)"))
    for prefix in ("", NEXT, OLD):
        if prefix and prefix[:-1] not in names:
            continue
        there = sorted(os.listdir(f"{folder}/{prefix}") if prefix else names)
        made = _made(f"{folder}/{prefix}", wrong) if ".made" in there else None
        before = len(wrong)
        for name in there:
            if not name.startswith(".") and (file := _read_file(folder, prefix + name, made, wrong)):
                var[prefix + name] = file
        found = wrong[before:]
        if made and found and not slot(var, prefix) and all(_is_of_another(folder, each, made) for each in found):
            wrong[before:] = [(f"{prefix}.made", _OTHER_MARK)]
        elif made is not None:
            wrong += [(prefix + name, "is missing") for name in sorted(made.keys() - there)]
    return var if names else None


Made = dict[str, set[tuple[str, str]]]  # by file: version and digest; two while it is re-encrypted


def _made(folder: str, wrong: list[tuple[str, str]]) -> Made | None:
    """What was made together; None where that cannot be told."""
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
    """Whether a file that does not match the others has no version that is listed under its name."""
    name, what = found
    listed = made.get(name.rpartition("/")[2], ())
    return what == _MIXED and version(f"{folder}/{name}") not in {each for each, _ in listed}


def _read_file(folder: str, name: str, made: Made | None, wrong: list[tuple[str, str]]) -> StoredFile | None:
    """One file of a var; what is left of one that is no more is none, unless it was made with the others."""
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
    said = version.decode(errors="replace").strip()
    if _CONFLICT.search(version) or (secret is None and _CONFLICT.search(data)):
        wrong.append((name, "holds a merge conflict: both branches generated it"))
    elif secret is not None and value is not None:
        wrong.append((name, "has both a public value and a secret"))
    elif not _VERSION.fullmatch(said):
        wrong.append((name, "has an invalid version"))
    elif made is not None and (said, _digest(data)) not in made.get(name.rpartition("/")[2], ()):
        wrong.append((name, _MIXED))
    else:
        try:
            return StoredFile(secret is not None, said, "" if secret is not None else data.decode())
        except UnicodeDecodeError:
            wrong.append((name, "is not UTF-8 text"))
    return None


def _content(path: str) -> bytes | None:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None


def read_bytes(path: str) -> bytes:
    """The whole file, in few system calls: open() makes seven, and there are thousands of files.

    Raises:
        Faults: When something else than a file stands there.
        FileNotFoundError: When nothing does.
        NotADirectoryError: When a file stands in place of a folder above.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would let us wait for ever
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise fault(f"cannot be read: {error.strerror}", where=Where(Path(path)), hint=_RESTORE) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise fault("a file is expected here", where=Where(Path(path)), hint=_RESTORE)
        data = piece = os.read(descriptor, _PIECE)
        while len(piece) == _PIECE:
            data += (piece := os.read(descriptor, _PIECE))
    finally:
        os.close(descriptor)
    return data
