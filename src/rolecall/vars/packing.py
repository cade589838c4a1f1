"""Pending vars as data, so that a saved plan can be carried out in another checkout. Secrets stay encrypted."""

# Paths are strings here, as in `store`.
# ruff: noqa: PTH104

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.vars.effective import pending_and_stored
from rolecall.vars.in_place import write_new
from rolecall.vars.layout import read_bytes, var_folder
from rolecall.vars.store import locked, make_folder, recover

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolecall.model.vars import VarKey
    from rolecall.project import Project

    Packed = Mapping[VarKey, Mapping[str, bytes]]

_PATH = re.compile(r"(?:\.?[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/){0,2}\.?[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def pack(project: Project, keys: Iterable[VarKey]) -> dict[VarKey, dict[str, bytes]]:
    """Return the files of pending vars, by their paths below the folder of each var."""
    packed = {}
    for key in keys:
        folder = var_folder(project.pending, key)
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        packed[key] = {str(path.relative_to(folder)): read_bytes(str(path)) for path in paths}
    return packed


@contextmanager
def unpacked(project: Project, packed: Packed) -> Iterator[None]:
    """Make packed vars pending here for as long as the block runs, if they are not; what it promotes, stays.

    Raises:
        Faults: When one of them has another pending value here, or a path in it is invalid; nothing is written then.
    """
    invalid = [path for files in packed.values() for path in files if not _PATH.fullmatch(path)]
    if invalid:
        raise fault(f"{invalid[0]!r} is not a path of a var", hint="the plan was changed since it was saved")
    with locked(project):
        pending, _ = pending_and_stored(project, packed)
        if others := [key for key in pending if pack(project, [key])[key] != packed[key]]:
            raise Faults(_other_value(project, key) for key in others)
        missing = [key for key in packed if key not in pending]
        making = project.local / "making"
        for key in missing:
            folder = var_folder(making, key)
            for path, data in packed[key].items():
                make_folder(f"{folder}/{path}".rpartition("/")[0])
                write_new(f"{folder}/{path}", data, 0o600 if path.rpartition("/")[2] == "secret" else 0o644)
        if missing:
            os.sync()
            os.rename(making, project.local / "made")
            recover(project)
    try:
        yield
    finally:
        with locked(project):
            for key in missing:
                with suppress(FileNotFoundError):  # it was promoted
                    os.rename(var_folder(project.pending, key), refused := f"{project.local}/refused")
                    shutil.rmtree(refused)  # no secret store forgets a value, which the other checkout may still need


def _other_value(project: Project, key: VarKey) -> Fault:
    where = Where(Path(var_folder(project.pending, key)))
    hint = "a plan here generated that; to drop what plans generated, use `rolecall plan --discard`"
    return Fault(f"{key} has another pending value here than in the saved plan", where, hint)
