"""Vars on disk: the moves by which they come and go.

A var's folder is written elsewhere, and comes, moves and goes by rename(2): whole or not at all.
Every writer holds one lock. Readers need none: a var moves only from ``pending`` to ``vars``, so who reads in that
order misses nothing.
"""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH110, PTH112, PTH120, PTH123

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.files import make_local
from rolecall.vars import secret_stores
from rolecall.vars.layout import (
    SLOTS,
    binds,
    ciphertext,
    conflicting,
    file_folder,
    keys_of,
    known_to,
    made_line,
    manifest,
    of_machine,
    pending_and_stored,
    read_bytes,
    recipients,
    secrets,
    unmarked,
    var_folder,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar, VarFile, VarKey
    from rolecall.project import Project


LOCK_SECONDS = 30.0
"""How long a writer waits for another one."""


@contextlib.contextmanager
def locked(project: Project) -> Iterator[None]:
    """Holds the lock of all writers, after clearing up behind one that was killed.

    Raises:
        Faults: When another writer holds it for `LOCK_SECONDS`, or what is done under it meets an OSError.
    """
    try:
        make_local(project.local)
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
        notes: By var: the `version_stamp` of what it ``replaces``, its ``validation``, what it ``binds``.
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
        for prefix in SLOTS:
            same = [source for name, source in (carried or {}).get(key, {}).items() if _slot(name) == prefix]
            if same and not os.path.exists(f"{var_folder(project.vars, key)}/{_slot(same[0])}.made"):
                continue  # of an earlier version, and not compared yet
            if made_together := manifest(f"{var_folder(making, key)}/{prefix}"):
                _write(f"{var_folder(making, key)}/{prefix}.made", made_together, 0o644)
    if made:
        os.sync()  # one for all, where an fsync(2) for each of thousands of files would take seconds
        os.rename(making, project.local / "made")  # from here on they are made; who comes next completes it
        _settle(project)


def _slot(name: str) -> str:
    """Return which of a var's values a file belongs to, as `SLOTS` names it."""
    return name[: name.rfind("/") + 1]


def note_known(folder: str, whom: Literal["machines", "formerly"], names: Iterable[str]) -> None:
    """Replaces what `known_to` says; the caller holds the lock."""
    _replace(folder, whom, _lines(names), 0o644)


def replace_secret(folder: str, data: bytes, readers: Iterable[str]) -> None:
    """Puts the same secret, encrypted to others, in the place of one; the caller holds the lock.

    The secret comes before its recipients: who is killed in between has one of which too much is said, which the next
    check tells. Whose key goes is noted first. Meanwhile `.made` allows both.
    """
    readers = set(readers)
    if lost := (recipients(folder) or frozenset()) - readers:
        note_known(folder, "formerly", known_to(folder, "formerly") | lost)
    together, file = os.path.split(folder)
    made = read_bytes(f"{together}/.made").decode() if os.path.exists(f"{together}/.made") else ""
    others = "".join(line for line in made.splitlines(keepends=True) if not line.startswith(f"{file} "))
    if made:
        _replace(together, ".made", (made + made_line(folder, data)).encode(), 0o644)
    _replace(folder, "secret", data, 0o600)
    _replace(folder, "recipients", _lines(readers), 0o644)
    if made:
        _replace(together, ".made", (others + made_line(folder, data)).encode(), 0o644)


def keep_both_sides(folder: str) -> bool:
    """Settles merges that failed in the lists beside a secret: who is on either side may have seen it.

    Returns:
        Whether there was one; the caller holds the lock.
    """
    lists: tuple[Literal["machines", "formerly"], ...] = ("machines", "formerly")
    found = [name for name in lists if conflicting(folder, name)]
    for name in found:
        note_known(folder, name, known_to(folder, name))
    return bool(found)


def note_recipes(project: Project, recipes: Iterable[Recipe], named: Mapping[str, str]) -> int:
    """Notes beside stored vars what is known of them now, for the time when no recipe tells it any more.

    What bound something once is not noted as free: another module may have the same names.

    Args:
        project: The project.
        recipes: All that the inventory asks for.
        named: By the name of a var that no machine asks for now: what is lost with it, "" for nothing.

    Returns:
        Of how many vars something was noted.
    """
    recipes = list(recipes)
    if not _late(project, recipes, named):
        return 0
    with locked(project):
        late = _late(project, recipes, named)  # again: another writer may have been first
        for key, said in late.items():
            _replace(var_folder(project.vars, key), ".binds", f"{said}\n".encode(), 0o644)
    return len(late)


def mark(project: Project, keys: Iterable[VarKey]) -> list[VarKey]:
    """Write which files were made together, for stored vars of an earlier version whose files fit one another.

    Returns:
        Those that had no such mark.
    """
    keys = list(keys)
    if not unmarked(project, keys):
        return []
    with locked(project):
        found = unmarked(project, keys)  # again: another writer may have been first
        for folder in (var_folder(project.vars, key) for key in found):
            for prefix in SLOTS:
                if made := manifest(f"{folder}/{prefix}"):
                    _replace(f"{folder}/{prefix}".rstrip("/"), ".made", made, 0o644)
    return found


def _late(project: Project, recipes: Iterable[Recipe], named: Mapping[str, str]) -> dict[VarKey, str]:
    """Return what is still to be noted of stored vars: what each binds."""
    wanted = {recipe.key: recipe for recipe in recipes}
    known = {key: wanted[key].binds if key in wanted else named.get(key.name) for key in keys_of(project.vars)}
    noted = {key: binds(project.vars, key) for key in known}
    return {
        key: said
        for key, said in known.items()
        if said is not None and (noted[key] is None or (said not in {"", noted[key]} and key in wanted))
    }


def _replace(folder: str, name: str, content: bytes, mode: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/.{name}")  # left by one that was killed
    _write(f"{folder}/.{name}", content, mode)
    _flush(f"{folder}/.{name}")
    os.rename(f"{folder}/.{name}", f"{folder}/{name}")


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
        waiting, kept = pending_and_stored(project, shown)
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


def discard(project: Project, keep: Iterable[VarKey] = (), drop: Container[VarKey] = ()) -> list[VarKey]:
    """Drops the pending vars that are not to be kept, and those that are stored by now (by a colleague's commit).

    One that binds something stays, unless a stored value stays instead: somebody may have brought it.

    Args:
        project: The project.
        keep: Those to keep.
        drop: Those to drop even if they bind something.

    Returns:
        The dropped vars.
    """
    if not (project.pending.exists() or (project.local / "made").exists()):
        return []
    kept = set(keep)
    with locked(project):
        keys = keys_of(project.pending)
        _, stored = pending_and_stored(project, keys, lenient=True)
        kept |= {each.key for each in bound_in(project, project.pending) if each.key not in drop}
        dropped = [key for key in keys if key not in kept or key in stored]
        _remove(project, project.pending, dropped)
    return dropped


@dataclass(frozen=True, slots=True)
class Bound:
    """A var that no general command removes.

    Attributes:
        key: The var.
        binds: What would be lost with it; "" where that is not known.
    """

    key: VarKey
    binds: str

    @property
    def why(self) -> str:
        """What would be lost, in words."""
        return self.binds or "Rolecall cannot tell whether anything depends on it"


def bound_in(project: Project, base: Path, wanted: Container[VarKey] = ()) -> list[Bound]:
    """The vars below ``base`` with which something would be lost, or may be; those that are wanted are left out.

    A pending var whose stored value would stay is none.
    """
    found = [Bound(key, said or "") for key in keys_of(base) if key not in wanted and (said := binds(base, key)) != ""]
    return [each for each in found if base == project.vars or not os.path.isdir(var_folder(project.vars, each.key))]


def bound_to(project: Project, key: VarKey) -> str:
    """What is lost with a stored var, as far as that is known; "" for nothing."""
    return binds(project.vars, key) or ""


def prune(project: Project, wanted: Iterable[VarKey], *, dry_run: bool = False) -> list[VarKey]:
    """Removes the stored vars that nothing wants and with which nothing is lost.

    Returns:
        The removed vars, or those that would be.
    """
    kept = set(wanted)
    with contextlib.nullcontext() if dry_run else locked(project):
        kept |= {each.key for each in bound_in(project, project.vars)}
        unwanted = [key for key in keys_of(project.vars) if key not in kept]
        if not dry_run:
            for base in (project.pending, project.vars):
                _remove(project, base, [key for key in unwanted if os.path.isdir(var_folder(base, key))])
    return unwanted


def remove(project: Project, keys: Iterable[VarKey]) -> None:
    """Removes exactly these vars, pending values included, whatever is lost with them."""
    keys = set(keys)
    with locked(project):
        for base in (project.pending, project.vars):
            _remove(project, base, [key for key in keys_of(base) if key in keys])


def knows(project: Project, machine: str) -> bool:
    """Whether there are vars of a machine, pending ones included."""
    return any(of_machine(base, machine) for base in (project.vars, project.pending))


def rename(project: Project, old: str, new: str) -> None:
    """Gives the vars of a machine its new name, pending ones too. Doing it again completes or changes nothing.

    Raises:
        Faults: When there are vars under both names; nothing is moved then.
    """
    with locked(project):
        bases = [base for base in (project.vars, project.pending) if os.path.isdir(f"{base}/per-machine/{old}")]
        if taken := [base / "per-machine" / new for base in bases if of_machine(base, new)]:
            raise fault(f"there are vars of {new} already", where=Where(taken[0]), hint="move them away first")
        for base in (project.vars, project.pending):
            for _, _, folder in secrets(base):
                if old in (names := known_to(folder, "machines")):
                    note_known(folder, "machines", {new, *names} - {old})
        for base in bases:
            os.rename(f"{base}/per-machine/{old}", f"{base}/per-machine/{new}")
        if bases:
            os.sync()


def _forget_replaced(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/.replaces")


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
    sealed = {read_bytes(f"{at}/secret") for at, _, names in os.walk(folder) if "secret" in names}
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
    for key in keys_of(replaced):
        target = var_folder(project.vars, key)
        if not os.path.exists(target):
            there = var_folder(project.pending, key)
            _move(there if os.path.exists(there) else var_folder(replaced, key), target)
        _forget_replaced(target)
    _throw_away(project, replaced)
    made = project.local / "made"
    keys = keys_of(made)
    # A pending var that is regenerated gives way: nobody has used it.
    _remove(project, project.pending, [key for key in keys if os.path.isdir(var_folder(project.pending, key))])
    for key in keys:
        _move(var_folder(made, key), var_folder(project.pending, key))
    shutil.rmtree(made, ignore_errors=True)
