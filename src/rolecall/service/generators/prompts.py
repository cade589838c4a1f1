"""Values that a person brings: a password of somebody else's server, a licence key."""

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
    """What a person answers, as it is.

    Attributes:
        name: Of the prompt, and of the file.
        description: What it is for, in words for who is asked.
        kind: How it is asked for.
        secret: Whether it is.
    """

    name: str
    description: str
    kind: Literal["line", "hidden", "multiline"] = "hidden"
    secret: bool = True

    @property
    def files(self) -> tuple[VarFile, ...]:
        """One, of the prompt's name."""
        return (VarFile(self.name, secret=self.secret),)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompt."""
        return (Prompt(self.name, self.description, self.kind),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Nothing more."""
        del context
        return {}

    def view(self, files: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        """By file: text where it is public, else a reference."""
        return dict(files)
