"""Retire a machine: undo what is installed there, and remove it from the project."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.deploy import pins
from rolecall.deploy.session import Session
from rolecall.errors import Faults
from rolecall.inventory import machines
from rolecall.model.plan import PARALLEL
from rolecall.pipeline.access import known_to
from rolecall.pipeline.judging import judge_of, note_bound
from rolecall.pipeline.machines import RemovedMachine, forget_machine, remove_machine
from rolecall.pipeline.plans import Leaving, planned, purge_machine
from rolecall.pipeline.reaching import ways
from rolecall.pipeline.rotation import Rotatable, rotatable
from rolecall.pipeline.without import Without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolecall.pipeline.plans import Planned
    from rolecall.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Retiring:
    """What it takes to retire a machine. Nothing has changed yet.

    Attributes:
        planned: The update of all machines, with this one left without resources.
        rotatable: What is to be rotated after it, so that the secrets that the machine knew become useless.
        pinned: Whether it has pinned host keys.
    """

    planned: Planned
    rotatable: Rotatable
    pinned: bool


@contextmanager
def planning_retirement(
    workspace: Workspace,
    name: str,
    progress: Callable[[str, str], None] = lambda *_: None,
    *,
    own: bool = False,
    offline: bool = False,
) -> Iterator[Retiring]:
    """Compare the machines with what they are to have when a machine has left the inventory, which is not written.

    Args:
        workspace: The project.
        name: The machine.
        progress: As for `planning`.
        own: Whether the user's own inventory file may be written too.
        offline: Whether the machine is gone for good, so that only its peers are updated.

    Raises:
        Faults: As `remove_machine` and `planning`; also when the machine has no target.
    """
    note_bound(workspace)
    sources = machines.without(workspace.project, name, own=own, judge=judge_of(workspace.project))
    found = ways(workspace, [name])[name]
    if not (found.ways or offline):
        raise Faults(found.faults)
    formerly = tuple(workspace.loaded().inventory.machines[name].formerly)
    leaving = Leaving(name, () if offline else tuple(way.target for way in found.ways), formerly)
    after = workspace.with_sources(sources)
    known, others = known_to(after, name)
    to_rotate = rotatable(after, name) if known or others else Rotatable((), (), ())
    with planned(
        *(after, (), progress),
        verbose=False,
        full=False,
        parallel=PARALLEL,
        without=Without(),
        connect=Session,
        leaving=leaving,
    ) as plan:
        yield Retiring(plan, to_rotate, bool(pins.pinned(workspace.project, name)))


def retire_machine(
    workspace: Workspace, name: str, *, own: bool = False, offline: bool = False
) -> tuple[RemovedMachine, list[str]]:
    """Purge a machine that has no resources any more, and remove it and its pinned keys from the project.

    Args:
        workspace: The project.
        name: The machine.
        own: As for `planning_retirement`.
        offline: As for `planning_retirement`; it is not purged then.

    Returns:
        What became of the removal, and notes on what stays on the machine.

    Raises:
        Faults: As `purge_machine` and `remove_machine`.
    """
    notes = [] if offline else purge_machine(workspace, name, homes=False)
    removed = remove_machine(workspace, name, own=own)
    if pins.pinned(workspace.project, name):
        forget_machine(workspace, name)
    return removed, notes
