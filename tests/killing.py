"""Processes that die in the middle of their work, and what they leave in a project."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project


def everything(project: Project) -> dict[str, str]:
    """Return the text of each file of a project by its path, without locks."""
    files = (path for path in project.root.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(project.root)): path.read_text(errors="surrogateescape") for path in files}


def killed_at(move: int, work: Callable[[], None]) -> bool:
    """Do work in a process that dies at its nth rename(2) of a file, before it; whether it died."""
    pid = os.fork()
    if pid == 0:
        left = move

        def hook(event: str, _: object) -> None:
            nonlocal left
            left -= event == "os.rename"
            if left < 0:
                os._exit(9)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
