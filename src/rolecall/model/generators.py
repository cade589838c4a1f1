"""What makes the values of vars: generators, what they may read, and what a person is asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from rolecall.model.exports import Exported, Interface, InterfaceT
    from rolecall.model.vars import StoredVar, Values, VarFile, VarKey
    from rolecall_agent.content import Secret


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person is asked for a var.

    Attributes:
        name: Unique in the var. Where the var has a file of that name, the answer is kept there; else it is forgotten.
        description: What it is for, in words for who is asked.
        kind: ``line``, shown while it is typed; ``hidden``, typed twice; ``multiline``, up to the end of input.
    """

    name: str
    description: str
    kind: Literal["line", "hidden", "multiline"] = "hidden"


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt of one var."""

    key: VarKey
    prompt: Prompt
    origin: str

    def __str__(self) -> str:
        """``jon/mail.smtp/password``."""
        return f"{self.key}/{self.prompt.name}"


Asker = Callable[["Sequence[Question]"], "Mapping[Question, bytes]"]
"""Asks a person, or a file of answers, all questions of a run at once.

Raises:
    Faults: When one stays without an answer.
"""


ValuesT_co = TypeVar("ValuesT_co", covariant=True)


Published = Callable[..., "Sequence[Exported[Any]]"]
"""Gives what is published of an interface by machine, instance, role and service, each None for any."""


Validity = tuple[dt.datetime, dt.datetime]
"""From when and until when a value is valid."""


class Generator(Protocol[ValuesT_co]):
    """A recipe. Ready-made ones are in `rolecall.service.generators`; any frozen dataclass of this shape will do.

    One that asks a person has ``prompts`` too, a tuple of `Prompt`. One whose values expire has ``validity``, which
    gives the `Validity` of them from the public ones by name. One whose files must fit one another has ``verify``: it
    takes their `Values`, and by name those of each var that it needs, and returns what does not fit, or "". Secret
    values are there only when they have been decrypted.
    """

    @property
    def files(self) -> tuple[VarFile, ...]:
        """What it makes, known without running it."""

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Makes every file of `files`, but for those of a prompt's name, which are there without it.

        It runs on the controller and may use randomness, never the network.

        Raises:
            Faults: When an input is not usable.
        """

    def view(self, files: Mapping[str, str | Secret]) -> ValuesT_co:
        """What service code sees: public values as text, secrets as references."""


class NotDeclaredError(Exception):
    """Service code asked for what its step did not declare or what no member has."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a generator may know while it runs: the member's settings, and what its var declares to need.

    Attributes:
        key: The var being made.
        settings: The member's settings.
        inputs: The vars of its own role that it needs, as this member has them, by name.
        peers: The vars of other roles that it needs: by name, then by the machine of each member of that role.
        prompts: What was answered to its prompts, by name.
        sandbox: Whether what it starts has to be confined.
    """

    key: VarKey
    settings: Any
    inputs: Mapping[str, Values]
    peers: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    prompts: Values = field(default_factory=dict)
    sandbox: bool = True
    _interfaces: tuple[type[Interface], ...] = ()
    _published: Published | None = None

    def exports(
        self,
        interface: type[InterfaceT],
        *,
        machine: str | None = None,
        instance: str | None = None,
        role: str | None = None,
        service: str | None = None,
    ) -> Sequence[Exported[InterfaceT]]:
        """What is published of an interface, as for `Member.exports`.

        Raises:
            NotDeclaredError: When the var does not declare to need the interface.
        """
        if interface not in self._interfaces or self._published is None:
            what = f"exports of {interface.__name__}"
            raise NotDeclaredError(f"this step reads {what} and does not declare it in its needs=")
        return self._published(interface, machine, instance, role, service)


def validity_of(generator: Generator[Any], var: StoredVar) -> Validity | None:
    """From when and until when what a generator made is valid; None when it is so for ever, or cannot be known."""
    if not (validity := getattr(generator, "validity", None)):
        return None
    try:
        found: Validity = validity({name: file.public for name, file in var.items() if not file.secret})
    except (ValueError, KeyError):  # a person may have brought anything
        return None
    return found


def prompts_of(generator: Generator[Any]) -> tuple[Prompt, ...]:
    """What a person is asked for a generator; most ask nothing, and need not say so."""
    return getattr(generator, "prompts", ())
