"""Values that come from a person, such as the password of another server or a licence key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rolecall.model.generators import Prompt
from rolecall.model.vars import VarFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.model.generators import Context
    from rolecall_agent.content import Secret


@dataclass(frozen=True, slots=True)
class Prompted:
    """The answer to a prompt, unchanged.

    Attributes:
        name: Of the prompt, and of the file.
        description: What it is for, shown in the prompt.
        kind: The kind of prompt.
        secret: Whether the answer is secret.
    """

    name: str
    description: str
    kind: Literal["line", "hidden", "multiline"] = "hidden"
    secret: bool = True

    @property
    def files(self) -> tuple[VarFile, ...]:
        """One file, with the prompt's name."""
        return (VarFile(self.name, secret=self.secret),)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompt."""
        return (Prompt(self.name, self.description, self.kind),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Return nothing: the answer is the value."""
        del context
        return {}

    def view(self, files: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        """Return the file by name: as text if public, else as a reference."""
        return dict(files)
