"""Resources whose paths lead to the same place: through a link that is followed, or a folder that is mounted twice."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, AbstractSet, Dict, List, Sequence, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks
from rolecall_agent.state import HOME

if TYPE_CHECKING:
    from rolecall_agent.resources import Resource
    from rolecall_agent.system import System
    from rolecall_agent.walk import Place

_ONE = "declare only one of them"


def collisions(
    system: System, declared: Sequence[Resource], listed: AbstractSet[str], removed: Sequence[Resource]
) -> List[str]:
    """Return why resources cannot be applied or removed: another one, or the agent itself, has their place.

    Args:
        system: The machine.
        declared: The resources that are declared.
        listed: The keys of those among them that are new or differ.
        removed: The resources that are no longer declared.
    """
    find = _Finder(system)
    ended = {item.key for item in removed}
    taken: Dict[object, Dict[str, Resource]] = {}
    problems = []
    for item in (*removed, *declared):
        # Users may share a file of keys, in which each key finds its own line.
        part = item.key.rpartition(":")[2] if item.kind == "authorized-key" else ""
        for path, place in find.places(item):
            others = taken.setdefault((place.identity, part), {})
            for name, other in others.items() if item.key not in ended else ():
                differs = other.key in ended or not listed.isdisjoint([item.key, other.key])
                if differs and (part or name != path):
                    hint = "undeclare both in an update of its own first" if other.key in ended else _ONE
                    problems.append(f"{item.key}: {path} is the same place as {name} of {other.key}; {hint}")
            others.setdefault(path, item)
            if item.key in listed and (owner := find.other_owner(item, path, place)):
                problems.append(f"{item.key}: {path} leads to another place: {owner}")
    return problems


class _Finder:
    """Finds the places of resources; looks at each folder once."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._folders: Dict[str, Place] = {}
        self._home = self._folder(HOME)  # which exists whenever machines are compared

    def places(self, item: Resource) -> List[Tuple[str, Place]]:
        """Return the paths of a resource, each with its place. A home is shared with what is declared in it."""
        found = []
        for path in item.paths_on(self._system) if item.kind != "user" else ():
            with contextlib.suppress(Failure, OSError):  # `Resource.obstacle` says what is wrong
                found.append((path, self._place(item, path)))
        return found

    def _place(self, item: Resource, path: str) -> Place:
        if item.kind == "directory":
            return self._folder(path)
        folder, _, name = (self._system.resolve(path) if item.follows_links else path).rpartition("/")
        return self._folder(folder).below(name)

    def other_owner(self, item: Resource, path: str, place: Place) -> str:
        """Return why nothing can be declared in a place, although it can be at the path; "" if it can."""
        inside = self._home.folders[-1] in place.folders
        try:
            checks.declarable_path(f"{HOME}/{path.rpartition('/')[2]}" if inside else place.path, item.kind)
        except checks.DefinitionError as error:
            return str(error)
        return ""

    def _folder(self, path: str) -> Place:
        if path not in self._folders:
            self._folders[path] = self._system.place(path)
        return self._folders[path]
