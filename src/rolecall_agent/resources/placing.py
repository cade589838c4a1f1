"""What resources that have a path, an owner and a mode share."""

from __future__ import annotations

import contextlib
import os
import posixpath
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional

from rolecall_agent.errors import Failure
from rolecall_agent.resources.base import ABSENT
from rolecall_agent.tree import LABEL

if TYPE_CHECKING:
    from rolecall_agent.system import System
    from rolecall_agent.tree import Entry

_EXECUTE, _SET_ID = 0o111, 0o6000


def differences(entry: Optional[Entry], kind: str, owner: str, group: str, mode: int) -> List[str]:
    """Return how type, owner, group and mode of an entry differ; [`ABSENT`] when it does not exist."""
    if entry is None:
        return [ABSENT]
    if entry.type != kind:
        return [f"type {entry.type}, not {kind}"]
    reasons = []
    if not (_is(owner, entry.owner, entry.ids[0]) and _is(group, entry.group, entry.ids[1])):
        reasons.append(f"owner {entry.owner}:{entry.group}, not {owner}:{group}")
    if entry.mode != mode:
        reasons.append(f"mode {entry.mode:04o}, not {mode:04o}")
    return reasons


def _is(declared: str, name: str, number: int) -> bool:
    return declared == name or (declared.isdigit() and int(declared) == number)


def replaceable_by(system: System, path: str) -> str:
    """Return which user other than root can put something else in the place of a path, "" for none."""
    while (path := posixpath.dirname(path)) != "/":
        entry = system.stat(path)
        if entry is None or entry.type != "directory":
            continue
        if entry.owner != "root":
            return f"{entry.owner}, who owns {path}"
        if entry.mode & 0o002 and not entry.mode & 0o1000:
            return f"every user, since {path} has mode {entry.mode:04o}"
        if entry.mode & 0o020 and entry.group != "root" and not entry.mode & 0o1000:
            return f"the group {entry.group}, since {path} has mode {entry.mode:04o}"
    return ""


def without_effect(system: System, path: str, mode: int) -> str:
    """Return which permission bits of a file have no effect because of how its file system is mounted, "" for none."""
    if not mode & (_EXECUTE | _SET_ID):
        return ""
    with contextlib.suppress(Failure, OSError):  # `obstacle` says what is wrong
        flags = system.place(posixpath.dirname(path)).flags
        if flags & os.ST_NOEXEC:
            return "it cannot be executed, since its file system is mounted noexec"
        if flags & os.ST_NOSUID and mode & _SET_ID:
            return f"mode {mode:04o} has the effect of {mode & ~_SET_ID:04o}, since its file system is mounted nosuid"
    return ""


def has_attributes(system: System, paths: Iterable[str]) -> bool:
    """Return whether a file has extended attributes, of which no definition says anything."""
    files = (path for path in paths if (entry := system.stat(path)) and entry.type == "file")
    return any({*system.attributes(path)} - {LABEL} for path in files)


def missing_parents(system: System, path: str) -> Dict[str, Any]:
    """Return the parent folders that do not exist, as entries of `ContentStore.originals`."""
    missing = {}
    while (path := posixpath.dirname(path)) != "/" and system.stat(path) is None:
        missing[f"made:{path}"] = {"type": "absent"}
    return missing


def make_parents(system: System, path: str) -> None:
    """Create the missing parent folders of a path, owned by root with mode 0755."""
    for key in reversed(missing_parents(system, path)):
        system.mkdir(key[len("made:") :])
