"""The byte code of a stored agent, which saves every later start the time of compiling it.

It is written after a run, when nobody waits any more. Python itself never writes it: what it writes while it imports
modules can be cut short by a loss of power, and would then keep the agent from starting.
"""

from __future__ import annotations

import os
import sys
from typing import Callable


def write(agent: str, flush: Callable[[], None]) -> None:
    """Compile the files of a stored agent for this Python, unless that was done: the last thing that a process does.

    Args:
        agent: The folder of the agent.
        flush: Waits until what was written is on the disk.

    Raises:
        OSError: When its files cannot be read, or the byte code cannot be written.
    """
    due = {}
    for folder, _, names in os.walk(agent):
        for name in names:
            stem, ending = os.path.splitext(name)
            path = os.path.join(folder, name)
            compiled = os.path.join(folder, "__pycache__", f"{stem}.{sys.implementation.cache_tag}.pyc")
            if ending == ".py" and not _is_newer(compiled, path):
                due[path] = compiled
    if not due:
        return
    import py_compile

    os.nice(19)  # nobody waits for it
    new = f".{os.getpid()}.new"  # another agent may do the same
    for path, compiled in due.items():
        py_compile.compile(path, compiled + new)
    flush()
    for compiled in due.values():
        os.rename(compiled + new, compiled)


def _is_newer(compiled: str, path: str) -> bool:
    try:
        return os.stat(compiled).st_mtime_ns >= os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return False
