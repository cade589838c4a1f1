"""Vars on disk: the states of a var, and the functions that move it from one to another.

::

    absent ── write_pending ──► making ──► made ──► pending ── promote ──► stored
                                                       │                     │
                                    discard, remove    ▼                     ▼   prune, remove
                                                    removed ──► absent ◄── removed

A state is a folder, ``LOCAL`` being `Project.local`. Every move is a rename(2), so a var is in a folder whole or not at
all. Every writer holds one lock. If it is killed, the next one to take the lock recovers in `recover`:

========  ==================  =======================================================================================
state     folder              what a killed writer leaves there
========  ==================  =======================================================================================
making    LOCAL/making        is dropped: no var of that run exists yet
made      LOCAL/made          is moved to pending: all vars of that run exist since LOCAL/making was renamed to it
pending   `Project.pending`   is complete
stored    `Project.vars`      is complete
replaced  LOCAL/replaced      is dropped if the var is stored; else the pending value takes its place, or it goes back
removed   LOCAL/removed       is dropped
========  ==================  =======================================================================================

A var may be pending and stored at once. The stored value counts, unless the pending one was made to replace it: then it
names the stored versions in its file ``.replaces``. When `write_pending` writes a var that is pending already, the
earlier value is removed. When `promote` stores one that is stored already, the earlier value is in LOCAL/replaced until
the new one is in place. Readers need no lock: a var moves only from pending to stored, so whoever reads in that order
finds it.

A rotation in steps fills the slots of a var (see `layout`) beside the value in use: step 1 ``.next``, step 2 ``.old``,
step 3 none. Each step is a pending var that replaces the stored one, with its files carried over by `write_pending`.

Single files change in place through a temporary ``.NAME`` (`replace_file`): lists of recipients and machines, notes,
re-encrypted secrets. The next writer of that file removes a temporary one that a killed writer left.
"""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH110, PTH112, PTH120

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.files import make_local
from rolecall.vars import secret_stores
from rolecall.vars.bound import bound_in
from rolecall.vars.effective import given, pending_and_stored
from rolecall.vars.in_place import as_lines, note_known, write_new
from rolecall.vars.layout import (
    SLOTS,
    ciphertext,
    file_folder,
    keys_of,
    known_to,
    of_machine,
    read_bytes,
    secrets,
    var_folder,
)
from rolecall.vars.soundness import manifest

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from rolecall.model.vars import StoredVar, VarFile, VarKey
    from rolecall.project import Project


LOCK_SECONDS = 30.0
"""How long a writer waits for the lock."""


@contextlib.contextmanager
def locked(project: Project) -> Iterator[None]:
    """Hold the lock of all writers, after recovering from one that was killed.

    Raises:
        Faults: When another writer holds it for `LOCK_SECONDS`; also in place of an OSError of the block.
    """
    try:
        make_local(project.local)
        descriptor = os.open(project.local / "vars.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _acquire(project, descriptor)
            recover(project)
            yield
        finally:
            os.close(descriptor)  # and with it the lock
    except OSError as error:
        where = Where(Path(error.filename)) if isinstance(error.filename, str) else None
        raise fault(f"vars cannot be written: {error.strerror or error}", where=where) from error


@dataclass(frozen=True, slots=True)
class Draft:
    """A var that is ready to be written.

    Attributes:
        files: By new file: its version and what is written; secrets are encrypted already.
        carried: The files that are copies of stored ones of the same var, each with the name of the stored one.
        notes: What is noted beside it: the `version_stamp` of the value that it ``replaces``, its ``validation``, what
            it ``binds``, and whether it was ``given`` by a person.
    """

    files: Mapping[VarFile, tuple[str, bytes]]
    carried: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def write_pending(project: Project, drafts: Mapping[VarKey, Draft], recipients: Iterable[str]) -> None:
    """Write all of these vars as pending, or none; the caller holds the lock.

    Args:
        project: The project.
        drafts: The vars.
        recipients: The public keys that their secrets are encrypted to.
    """
    making = project.local / "making"
    recipient_lines = as_lines(recipients)
    for key, draft in drafts.items():
        for file, (version, data) in draft.files.items():
            folder = file_folder(making, key, file.name)
            make_folder(folder)
            kind, mode = ("secret", 0o600) if file.secret else ("value", 0o644)
            write_new(f"{folder}/{kind}", data, mode)
            write_new(f"{folder}/version", f"{version}\n".encode(), 0o644)
            if file.secret:
                write_new(f"{folder}/recipients", recipient_lines, 0o644)
        for name, source in draft.carried.items():
            make_folder(os.path.dirname(file_folder(making, key, name)))
            shutil.copytree(file_folder(project.vars, key, source), file_folder(making, key, name))
        for name, text in draft.notes.items():
            write_new(f"{var_folder(making, key)}/.{name}", f"{text}\n".encode(), 0o644)
        for prefix in SLOTS:
            same = [source for name, source in draft.carried.items() if _slot(name) == prefix]
            if same and not os.path.exists(f"{var_folder(project.vars, key)}/{_slot(same[0])}.made"):
                continue  # of an earlier version, and not compared yet
            if made_together := manifest(f"{var_folder(making, key)}/{prefix}"):
                write_new(f"{var_folder(making, key)}/{prefix}.made", made_together, 0o644)
    if drafts:
        os.sync()  # one for all, where an fsync(2) for each of thousands of files would take seconds
        os.rename(making, project.local / "made")  # the commit: whoever holds the lock next completes it
        recover(project)


def _slot(name: str) -> str:
    """Return which of a var's values a file belongs to, as `SLOTS` names it."""
    return name[: name.rfind("/") + 1]


def promote(project: Project, shown: Mapping[VarKey, StoredVar]) -> None:
    """Store exactly these pending vars. Calling it again completes an interrupted call, or changes nothing.

    Args:
        project: The project.
        shown: The vars as the plan showed them, with the versions of their values.

    Raises:
        Faults: When one of them no longer exists or has another value now; nothing is moved then.
    """
    if not shown:
        return
    with locked(project):
        pending, stored = pending_and_stored(project, shown)
        now = pending | stored
        faults = [
            Fault(
                f"{key} no longer exists" if key not in now else f"{key} is no longer what the plan showed",
                Where(Path(var_folder(project.vars if key in stored else project.pending, key))),
                "look at a new `rolecall plan`",
            )
            for key, var in shown.items()
            if now.get(key) != var
        ]
        if faults:
            raise Faults(faults)
        for key in pending:
            target = var_folder(project.vars, key)
            if os.path.exists(f"{var_folder(project.pending, key)}/.replaces") and os.path.isdir(target):
                _move(target, var_folder(project.local / "replaced", key))  # until the new value is in place
            _move(var_folder(project.pending, key), target)
            _forget_pending_notes(target)
        if pending:
            os.sync()
        recover(project)


def discard(
    project: Project, keep: Iterable[VarKey] = (), drop: Container[VarKey] = (), *, generated: bool = False
) -> list[VarKey]:
    """Drop the pending vars that are not to be kept, and those that are stored by now (by a colleague's commit).

    A var that binds something stays, as a person may have given its value; but not if a stored value remains.

    Args:
        project: The project.
        keep: The vars to keep.
        drop: The vars to drop even if they bind something.
        generated: Whether to keep those that a person gave.

    Returns:
        The dropped vars.
    """
    if not (project.pending.exists() or (project.local / "made").exists()):
        return []
    kept = set(keep)
    with locked(project):
        keys = keys_of(project.pending)
        _, stored = pending_and_stored(project, keys, lenient=True)
        kept |= {var.key for var in bound_in(project, project.pending) if var.key not in drop}
        kept |= {key for key in keys if generated and given(project, key)}
        dropped = [key for key in keys if key not in kept or key in stored]
        _remove(project, project.pending, dropped)
    return dropped


def prune(project: Project, wanted: Iterable[VarKey], *, dry_run: bool = False) -> list[VarKey]:
    """Remove the stored vars that are not wanted and with which nothing is lost.

    Returns:
        The removed vars, or those that would be.
    """
    kept = set(wanted)
    with contextlib.nullcontext() if dry_run else locked(project):
        kept |= {var.key for var in bound_in(project, project.vars)}
        unwanted = [key for key in keys_of(project.vars) if key not in kept]
        if not dry_run:
            for base in (project.pending, project.vars):
                _remove(project, base, [key for key in unwanted if os.path.isdir(var_folder(base, key))])
    return unwanted


def remove(project: Project, keys: Iterable[VarKey]) -> None:
    """Remove exactly these vars, pending values included, even those that bind something."""
    keys = set(keys)
    with locked(project):
        for base in (project.pending, project.vars):
            _remove(project, base, [key for key in keys_of(base) if key in keys])


def knows(project: Project, machine: str) -> bool:
    """Return whether a machine has vars, pending ones included."""
    return any(of_machine(base, machine) for base in (project.vars, project.pending))


def rename(project: Project, old: str, new: str) -> None:
    """Move the vars of a machine to its new name, pending ones too.

    Calling it again completes an interrupted call, or changes nothing.

    Raises:
        Faults: When both names have vars; nothing is moved then.
    """
    with locked(project):
        bases = [base for base in (project.vars, project.pending) if os.path.isdir(f"{base}/per-machine/{old}")]
        if taken := [base / "per-machine" / new for base in bases if of_machine(base, new)]:
            raise fault(f"{new} already has vars", where=Where(taken[0]), hint="move them away first")
        for base in (project.vars, project.pending):
            for _, _, folder in secrets(base):
                if old in (names := known_to(folder, "machines")):
                    note_known(folder, "machines", {new, *names} - {old})
        for base in bases:
            os.rename(f"{base}/per-machine/{old}", f"{base}/per-machine/{new}")
        if bases:
            os.sync()


def of_instance(project: Project, instance: str, spared: Container[str]) -> list[VarKey]:
    """Return the vars of an instance, pending ones too, but for those with a name that is spared."""
    keys = {key for base in (project.vars, project.pending) for key in keys_of(base)}
    return sorted(key for key in keys if key.name.partition(".")[0] == instance and key.name not in spared)


def rename_instance(project: Project, old: str, new: str, spared: Container[str]) -> None:
    """Move the vars of an instance to its new name, pending ones too.

    Calling it again completes an interrupted call, or changes nothing.

    Args:
        project: The project.
        old: The instance's name until now.
        new: Its name from now on.
        spared: Names of vars that are not its own.

    Raises:
        Faults: When both names have the same var; nothing is moved then.
    """
    with locked(project):
        bases = (project.vars, project.pending)
        moves = [
            (var_folder(base, key), var_folder(base, replace(key, name=new + key.name.removeprefix(old))))
            for key in of_instance(project, old, spared)
            for base in bases
            if os.path.isdir(var_folder(base, key))
        ]
        if taken := [target for _, target in moves if os.path.exists(target)]:
            raise fault(f"{new} already has vars", where=Where(Path(taken[0])), hint="move them away first")
        for source, target in moves:
            os.rename(source, target)
        if moves:
            os.sync()


def _forget_pending_notes(folder: str) -> None:
    for name in (".replaces", ".given"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{folder}/{name}")


def make_folder(path: str) -> None:
    """Make a folder and its parents, none of them writable to others; makedirs leaves parents to the umask."""
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(path, 0o755)
        except FileNotFoundError:
            make_folder(os.path.dirname(path))
            os.mkdir(path, 0o755)


def _move(source: str, target: str) -> None:
    make_folder(os.path.dirname(target))
    os.rename(source, target)  # fails rather than replace a var: only an empty folder gives way
    _remove_empty(os.path.dirname(source))


def _remove(project: Project, base: Path, keys: Iterable[VarKey]) -> None:
    removed = f"{project.local}/removed"
    for number, key in enumerate(keys):
        _move(var_folder(base, key), f"{removed}/{number}")
    _delete(project, removed)


def _delete(project: Project, folder: str | Path) -> None:
    """Delete a folder, and from other secret stores the values that nothing else in the project refers to."""
    sealed = {read_bytes(f"{at}/secret") for at, _, names in os.walk(folder) if "secret" in names}
    shutil.rmtree(folder, ignore_errors=True)
    if elsewhere := set(filter(secret_stores.kept_elsewhere, sealed)):
        bases = (project.vars, project.pending, project.local / "made", project.local / "replaced")
        secret_stores.drop(project, elsewhere - {ciphertext(folder) for base in bases for *_, folder in secrets(base)})


def _remove_empty(folder: str) -> None:
    with contextlib.suppress(OSError):  # it is not empty
        os.rmdir(folder)


def _acquire(project: Project, descriptor: int) -> None:
    patience = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience:
                raise fault(
                    "another rolecall is writing the vars of this project",
                    where=Where(project.local / "vars.lock"),
                    hint="wait until it ends, then try again",
                ) from None
            time.sleep(0.02)


def recover(project: Project) -> None:
    """Recover after a killed writer: drop unfinished work, complete committed moves."""
    for unfinished in ("making", "removed"):
        _delete(project, project.local / unfinished)
    replaced = project.local / "replaced"
    for key in keys_of(replaced):
        target = var_folder(project.vars, key)
        if not os.path.exists(target):
            new = var_folder(project.pending, key)
            _move(new if os.path.exists(new) else var_folder(replaced, key), target)
        _forget_pending_notes(target)
    _delete(project, replaced)
    made = project.local / "made"
    keys = keys_of(made)
    # The earlier value of a pending var that was regenerated: nothing has used it.
    _remove(project, project.pending, [key for key in keys if os.path.isdir(var_folder(project.pending, key))])
    for key in keys:
        _move(var_folder(made, key), var_folder(project.pending, key))
    shutil.rmtree(made, ignore_errors=True)
