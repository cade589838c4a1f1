"""Who uses what is mounted."""

from __future__ import annotations

import contextlib
import os
from typing import Iterator, List

_NAMED = 5


def users(where: str) -> List[str]:
    """Return some of the processes that use a file or folder at or below a path, with their ids, for a person."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            if any(f"{path}/".startswith(f"{where}/") for path in _used(f"/proc/{pid}")):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    found.append(f"{file.read().strip()} (process {pid})")
    return found[:_NAMED]


def _used(process: str) -> Iterator[str]:
    links = [*("cwd", "root", "exe"), *(f"fd/{name}" for name in os.listdir(f"{process}/fd"))]
    for link in links:
        with contextlib.suppress(OSError):  # a thread of the kernel has none
            yield os.readlink(f"{process}/{link}")
