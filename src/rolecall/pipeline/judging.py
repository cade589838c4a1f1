"""What comes before a change of the inventory: what it must not lose, and the faults that it must not cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults
from rolecall.evaluate.memory import Memory
from rolecall.pipeline.addresses import hosts_of
from rolecall.pipeline.evaluation import further_faults, members_of, note_recipes, published
from rolecall.pipeline.ways import ways_of
from rolecall.service.interfaces import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolecall.model.inventory import Loaded
    from rolecall.pipeline.workspace import Workspace
    from rolecall.project import Project


def note_bound(workspace: Workspace) -> None:
    """Note what stored vars bind before their recipes may go, as far as the inventory says it."""
    try:
        found = workspace.members()
    except Faults:
        return  # whoever changes the inventory reports what is wrong with it
    note_recipes(workspace.project, found)


def judge_of(project: Project) -> Callable[[Loaded, Sequence[Fault]], list[Sequence[Fault]]]:
    """Return what finds the faults of an inventory: of its members, then, where there are none, what `check` finds."""
    memory = Memory()

    def judge(loaded: Loaded, faults: Sequence[Fault]) -> list[Sequence[Fault]]:
        try:
            found = members_of(project, loaded, faults, memory)
        except Faults as error:
            return [error.faults]
        return [(), [*further_faults(project, found), *_faults_of_ways(project, loaded, memory), *found.warnings]]

    return judge


def _faults_of_ways(project: Project, loaded: Loaded, memory: Memory) -> list[Fault]:
    """Return what is wrong with the ways to machines, such as a jump host that does not exist any more."""
    try:
        networks = published(project, loaded, hosts_of(project, loaded, None), Network, memory)
    except Faults:
        return []  # `check` says what is wrong there
    return [fault for each in ways_of(project, loaded, None, networks).values() for fault in each.faults]
