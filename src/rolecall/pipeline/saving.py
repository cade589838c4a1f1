"""Carry out a plan that was saved, in this checkout or another one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.model.plan import PARALLEL
from rolecall.pipeline.choosing import Choice
from rolecall.pipeline.connecting import NOTHING, planning
from rolecall.plan import saved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolecall.pipeline.plans import Planned
    from rolecall.pipeline.without import Without
    from rolecall.pipeline.workspace import Workspace


@contextmanager
def planning_saved(
    workspace: Workspace,
    path: Path,
    progress: Callable[[str, str], None] = lambda *_: None,
    *,
    verbose: bool = False,
    parallel: int = PARALLEL,
    without: Without = NOTHING,
) -> Iterator[Planned]:
    """Compare the machines again, and require that the plan is the one in a file.

    The vars that were pending when it was saved are pending here while the block runs.

    Args:
        workspace: The project.
        path: The file.
        progress: As for `planning`.
        verbose: As for `planning`.
        parallel: As for `planning`.
        without: As for `planning`.

    Raises:
        Faults: As `planning`; also when the file is not a plan, or something changed since it was saved.
    """
    plan = saved.read(path)
    with (
        var_store.unpacked(workspace.project, plan.packed),
        planning(
            workspace, Choice(plan.only), progress, verbose=verbose, parallel=parallel, without=without
        ) as planned,
    ):
        saved.require_same(plan, planned.plan)
        yield planned
