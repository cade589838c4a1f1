"""A cache of results for long-running processes; an entry is reused while its inputs are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from rolecall.model.equality import same
from rolecall.model.world import View

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from rolecall.evaluate.members import Resolved
    from rolecall.model.world import Read, World
    from rolecall.service.registry import Registry

T = TypeVar("T")
_Entry = tuple[object, "dict[Read, object]", Any]  # what was given, what was read with the answers, the result


class Memory:
    """The results of earlier evaluations of one project.

    Args:
        registry: As below.

    Attributes:
        registry: The services that were found; None for a new one.
        resolved: The members of each instance, for `resolve`.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry
        self.resolved: dict[str, Resolved] = {}
        self._before: dict[Hashable, _Entry] = {}
        self._now: dict[Hashable, _Entry] = {}

    def turn(self) -> None:
        """Begin an evaluation of everything: entries that it does not use are dropped at the next turn."""
        self._before, self._now = self._now, {}

    def call(self, world: World, key: Hashable, given: object, function: Callable[[View], T]) -> T:
        """Return the function's result, or an earlier one while what it was given and what it read are the same.

        Args:
            world: What the function can read, through the view that it gets.
            key: Names the call.
            given: What else the result depends on, compared exactly (`rolecall.model.equality`).
            function: What it raises is not stored.
        """
        entry = self._now.get(key) or self._before.get(key)
        if not (
            entry
            and same(entry[0], given)
            and all(same(world.answer(read), answer) for read, answer in entry[1].items())
        ):
            with View(world) as view:
                entry = (given, view.reads, function(view))
        self._now[key] = entry
        return cast("T", entry[2])
