"""A file of which a resource has a part only: every other byte of it stays as it is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Dict, Iterable

from rolecall_agent.resources import placing

if TYPE_CHECKING:
    from rolecall_agent.resources.base import Captured
    from rolecall_agent.system import System


def capture(system: System, path: str, data: bytes) -> Captured:
    """Return what identifies the whole file, beside a part of it."""
    entry = system.stat(path)
    return {"path": path, **({"whole": _digest(data), "mtime_ns": entry.mtime_ns} if entry else {})}


def missing(system: System, path: str) -> Dict[str, Any]:
    """Return the file, if it does not exist, and its missing folders, as entries of `ContentStore.originals`."""
    created = {} if system.stat(path) else {f"made:{path}": {"type": "absent"}}
    return {**created, **placing.missing_parents(system, path)}


def rewrite(system: System, path: str, data: bytes, known: Iterable[Captured] = ()) -> None:
    """Replace the content of an existing file, and nothing else of it.

    If the new content is one that was captured, the file gets the modification time that it had then.
    """
    entry = system.stat(path)
    if entry:
        times = {each["whole"]: each["mtime_ns"] for each in known if each.get("path") == path and "whole" in each}
        access = (entry.owner, entry.group, entry.mode)
        mtime = times.get(_digest(data), 0)
        system.write(path, data, *access, mtime_ns=mtime, attributes=system.attributes(path))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
