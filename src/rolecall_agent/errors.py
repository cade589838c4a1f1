"""The failure that ends a step of the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

if TYPE_CHECKING:
    from rolecall_agent.protocol import Damage


class Failure(Exception):  # noqa: N818 - usually a problem of the machine, not an error of the program
    """The agent could not do something.

    Attributes:
        message: For a person; never contains a secret.
        detail: Longer text from a program, or "".
        machine_unchanged: Whether the machine is as it was before the request.
        damage: What an undo could not put back.
    """

    def __init__(
        self, message: str, detail: str = "", *, machine_unchanged: bool = True, damage: Sequence[Damage] = ()
    ) -> None:
        self.message = message
        self.detail = detail
        self.machine_unchanged = machine_unchanged
        self.damage = list(damage)
        super().__init__(message)
