"""Whether this checkout contains what machines run."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING

from rolecall.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolecall.model.plan import Compared
    from rolecall.project import Project

_SHORT = 10  # characters of a commit
_NOT_AN_ANCESTOR = 1  # the exit status of git-merge-base(1)
_SHOWN = 5  # machines in a message


def head(project: Project) -> str:
    """Return the commit that is checked out, or "" if there is none, or no git."""
    status, printed = _git(project, "rev-parse", "HEAD")
    return printed if status == 0 else ""


def behind(project: Project, machines: Iterable[Compared]) -> Iterator[Fault]:
    """Yield a fault for each commit that changing machines run and this checkout does not contain.

    An update would take back what these commits changed. Outside of git, nothing is known, and nothing is yielded.
    """
    here = head(project)
    running = defaultdict(list)
    for each in machines:
        commit = each.current["commit"] if each.current and each.plan.comparison else ""
        if here and commit not in {"", here}:
            running[commit].append(each.plan.machine)
    for commit, names in running.items():
        status, _ = _git(project, "merge-base", "--is-ancestor", commit, here)
        if status:
            who = f"{', '.join(names[:_SHOWN])}{' and others' if len(names) > _SHOWN else ''}"
            verb = "runs" if len(names) == 1 else "run"
            newer = "is newer than this checkout or beside it" if status == _NOT_AN_ANCESTOR else "is not known here"
            hint = "bring this checkout up to date first: `git pull`"
            hint += "; if that commit was given up, as by `git commit --amend`, use `rolecall update --any-commit`"
            yield Fault(f"{who} {verb} commit {commit[:_SHORT]}, which {newer} ({here[:_SHORT]})", hint=hint)


def _git(project: Project, *arguments: str) -> tuple[int, str]:
    """Run git in the project; return its exit status, and what it printed."""
    git = ["git", "-C", str(project.root), *arguments]
    try:
        run = subprocess.run(git, capture_output=True, text=True, check=False)
    except OSError:
        return 128, ""  # a computer without git
    return run.returncode, run.stdout.strip()
