"""What kinds of resources that stand at a path have in common."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    from rolecall_agent.system import System
    from rolecall_agent.tree import Entry

ABSENT = "absent"


def placement_differences(entry: Optional[Entry], kind: str, owner: str, group: str, mode: int) -> List[str]:
    """In what the thing at a path differs, but for its content; [`ABSENT`] when there is none."""
    if entry is None:
        return [ABSENT]
    if entry.type != kind:
        return [f"a {entry.type} stands there"]
    differences = []
    if (entry.owner, entry.group) != (owner, group):
        differences.append(f"owner {entry.owner}:{entry.group}, not {owner}:{group}")
    if entry.mode != mode:
        differences.append(f"mode {entry.mode:04o}, not {mode:04o}")
    return differences


def missing_parents(system: System, path: str) -> Dict[str, Any]:
    """The folders above a path that are not there, as entries for `Store.remember`."""
    missing = {}
    while (path := posixpath.dirname(path)) != "/" and system.stat(path) is None:
        missing[f"made:{path}"] = {"type": "absent"}
    return missing


def make_parents(system: System, path: str) -> None:
    """Makes them, for root and readable."""
    for key in reversed(missing_parents(system, path)):
        system.mkdir(key[len("made:") :])
