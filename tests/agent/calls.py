"""System calls that end an agent, or fail, at a chosen point."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

CHANGING = ("rename", "unlink", "rmdir", "mkdir", "symlink", "fchmod", "fsync", "setxattr", "removexattr", "utime",
            "link")  # fmt: skip


class Calls:
    """Counts the system calls of a block that change something, and raises what is chosen for each.

    Args:
        end: Returns the exception for the n-th call, counted from 0; None to let it pass.

    Attributes:
        count: The number of calls so far.
    """

    def __init__(self, end: Callable[[int], BaseException | None] = lambda _: None) -> None:
        self._end = end
        self.count = 0

    def __enter__(self) -> Self:
        self._before = {name: getattr(os, name) for name in (*CHANGING, "open")}
        for name, call in self._before.items():
            setattr(os, name, self._counted(name, call))
        return self

    def __exit__(self, *_: object) -> None:
        for name, call in self._before.items():
            setattr(os, name, call)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the call's
            if name != "open" or args[1] & os.O_CREAT:
                self.count += 1
                if error := self._end(self.count - 1):
                    raise error
            return call(*args, **options)

        return counted


def from_call(number: int, error: BaseException) -> Calls:
    """Let this call and all after it end with an error."""
    return Calls(lambda call: error if call >= number else None)
