"""What evaluations remember of one another where a process lives on: results, while what they came from is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from rolecall.model.equality import same

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from rolecall.evaluate.members import Resolved
    from rolecall.service.member import Question, World
    from rolecall.service.registry import Registry

A = TypeVar("A")
T = TypeVar("T")
_Kept = tuple[
    object, "dict[Question, object]", Any
]  # what was given, what the world was asked and answered, the result


class Memory:
    """Of a project, for as long as a process works on it; a new one remembers nothing.

    Attributes:
        registry: The services that were found.
        resolved: What became of each instance, for `resolve`.
    """

    def __init__(self) -> None:
        self.registry: Registry | None = None
        self.resolved: dict[str, Resolved] = {}
        self._before: dict[Hashable, _Kept] = {}
        self._now: dict[Hashable, _Kept] = {}

    def turn(self) -> None:
        """A new evaluation of everything begins: what it does not take again is forgotten at the next turn."""
        self._before, self._now = self._now, {}

    def call(self, world: World, key: Hashable, given: object, function: Callable[[A], T], argument: A) -> T:
        """``function(argument)``; the earlier result while what is given, and what it read of the world, is the same.

        Args:
            world: What the function may read besides its argument.
            key: Names the call.
            given: What the argument holds, compared exactly (`rolecall.model.equality`).
            function: What it raises is not remembered.
            argument: Its argument.
        """
        kept = self._now.get(key) or self._before.get(key)
        if not (
            kept
            and same(kept[0], given)
            and all(same(world.answer(asked), answer) for asked, answer in kept[1].items())
        ):
            with world.listening() as asked:
                kept = (given, asked, function(argument))
        self._now[key] = kept
        return cast("T", kept[2])
