"""The failure that ends a step of the agent."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - usually a problem of the machine, not an error of the program
    """The agent could not do something.

    Attributes:
        message: For a person; never contains a secret.
        detail: Longer text from a program, or "".
        machine_unchanged: Whether the machine is as it was before the request.
    """

    def __init__(self, message: str, detail: str = "", *, machine_unchanged: bool = True) -> None:
        self.message = message
        self.detail = detail
        self.machine_unchanged = machine_unchanged
        super().__init__(message)
