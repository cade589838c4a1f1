"""Connect to the machines of a plan while it is evaluated, since neither needs the other, and both take time.

What this module imports must be little: most of an evaluation's time is spent on imports.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rolecall.deploy.early import EarlySessions
from rolecall.deploy.target import Target, find_target
from rolecall.model.names import NAME_PATTERN
from rolecall.model.plan import PARALLEL
from rolecall.pipeline.choosing import Choice, chosen
from rolecall.pipeline.without import Without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolecall.pipeline.plans import Planned
    from rolecall.pipeline.workspace import Workspace

EVERY = Choice()
NOTHING = Without()


@contextmanager
def planning(
    workspace: Workspace,
    choice: Choice = EVERY,
    progress: Callable[[str, str], None] = lambda *_: None,
    *,
    verbose: bool = False,
    full: bool = False,
    parallel: int = PARALLEL,
    without: Without = NOTHING,
) -> Iterator[Planned]:
    """Compare the machines with their configurations. Connections last until the block ends, at most.

    Args:
        workspace: The project.
        choice: The machines to plan for.
        progress: Called with a machine and a step of the run, from several threads.
        verbose: Whether it is called for each resource, too.
        full: Whether the plan shows what is created and removed, too.
        parallel: How many machines are worked on at once.
        without: What an update may go on without.

    Raises:
        Faults: As `Workspace.evaluation` and `chosen`; also when a machine that would change has no target.
    """
    known = choice if choice.by_name else Choice(tuple(chosen(workspace, choice)))
    with EarlySessions(written_targets(workspace, known, parallel)) as early:
        from rolecall.pipeline.plans import planned

        only = chosen(workspace, choice) if choice != EVERY else ()
        with planned(
            *(workspace, only, progress),
            verbose=verbose,
            full=full,
            parallel=parallel,
            without=without,
            connect=early.take,
        ) as plan:
            yield plan


def written_targets(workspace: Workspace, choice: Choice, parallel: int = PARALLEL) -> list[Target]:
    """Return the targets of the machines as they are written, still unchecked; none for more than `parallel`."""
    hosts: dict[str, str | None] = {}
    for source in workspace.files().sources:
        for name, machine in _table(source.data.get("machines")).items():
            if re.fullmatch(NAME_PATTERN, name):
                host = _table(_table(machine).get("deploy")).get("targetHost")
                hosts[name] = host if isinstance(host, str) else hosts.get(name)
    names = choice.named(hosts)
    if len(names) > parallel:
        return []
    lab = workspace.lab
    if lab and not lab.side and any(lab.is_twin(name, hosts[name]) for name in names):
        return []  # the user must choose first
    found = (find_target(workspace.project, name, hosts[name], lab) for name in names)
    return [target for target in found if isinstance(target, Target)]


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
