"""Why a file or directory cannot be put at a path, in words, before anything has changed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Optional

from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from rolecall_agent.system import System
    from rolecall_agent.tree import Entry

_NAMES = {"file": "file", "directory": "directory", "symlink": "symbolic link", "other": "special file"}
_ELSEWHERE = "declare another path"
_MOVE = f"move it away, or {_ELSEWHERE}"


def obstacle(system: System, path: str, type_: str) -> str:
    """Return why something cannot be put at a path, or removed from there, with a hint; "" if nothing is known.

    Args:
        system: The machine.
        path: Where.
        type_: What is declared there: ``file`` or ``symlink``, which replace each other, or ``directory``.
    """
    entry = system.stat(path)
    if entry and entry.type != type_ and {entry.type, type_} != {"symlink", "file"}:
        return f"{path} is a {_NAMES[entry.type]}, not a {_NAMES[type_]}; {_MOVE}"
    try:
        while True:
            try:
                return _barrier(system, path, entry)
            except FileNotFoundError:  # its folder will be created
                path = path.rpartition("/")[0]
                entry = system.stat(path)
                if entry:
                    return f"{path} is a symbolic link that leads nowhere; {_MOVE}"
    except NotADirectoryError as error:
        return f"{error.filename}: {error.strerror}; {_MOVE}"
    except Failure as failure:
        return failure.message


def _barrier(system: System, path: str, entry: Optional[Entry]) -> str:
    barriers = system.barriers(path)
    is_directory = entry is not None and entry.type == "directory"
    if barriers.read_only:
        return f"{path} is on a read-only file system; remount it, or {_ELSEWHERE}"
    if barriers.sealed and not is_directory:
        return _immutable(path.rpartition("/")[0])
    if barriers.immutable:
        return _immutable(path)
    if barriers.mounted and not is_directory:
        return f"{path} is a mount point, which cannot be replaced; unmount it, or {_ELSEWHERE}"
    return ""


def _immutable(path: str) -> str:
    path = shlex.quote(path or "/")
    return f"{path} is immutable; run `chattr -i -a {path}`, or {_ELSEWHERE}"
