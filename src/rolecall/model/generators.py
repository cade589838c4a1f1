"""What makes the values of vars: generators, their inputs, and their prompts."""

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
    """A value that a person types for a var.

    Attributes:
        name: Unique in the var. If the var has a file of that name, the answer is stored there; else it is forgotten.
        description: What the value is for, in words for that person.
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
"""Answers all questions of a run at once, from a person or a file of answers.

Raises:
    Faults: When a question stays without an answer.
"""


ValuesT_co = TypeVar("ValuesT_co", covariant=True)


Published = Callable[..., "Sequence[Exported[Any]]"]
"""Returns the exports of an interface by machine, instance, role and service, each None for any."""


Validity = tuple[dt.datetime, dt.datetime]
"""The times from which and until which a value is valid."""


class Generator(Protocol[ValuesT_co]):
    """Makes the values of a var.

    Ready-made generators are in `rolecall.service.generators`; any frozen dataclass of this shape will do. It may also
    have:

    - ``prompts``: a tuple of `Prompt`.
    - ``validity``, if values expire: takes the public values by name, and returns their `Validity`.
    - ``verify``, if files must match: takes their `Values`, and by name the `Values` of each var that it needs; returns
      what does not match, or "". Secret values are included only if they have been decrypted.
    """

    @property
    def files(self) -> tuple[VarFile, ...]:
        """The files that it makes, known without running it."""

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Make every file of `files`, except those named like a prompt, which take the answer.

        It runs on the controller and may use randomness, never the network.

        Raises:
            Faults: When an input is not usable.
        """

    def view(self, files: Mapping[str, str | Secret]) -> ValuesT_co:
        """Return what service code sees: public values as text, secrets as references."""


class NotDeclaredError(Exception):
    """Raised when service code reads what its step does not declare or no member has."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a generator can read while it runs: the member's settings, and what its var declares to need.

    Attributes:
        key: The var that is generated.
        settings: The member's settings.
        inputs: The vars of its own role that it needs, of the same member, by name.
        peers: The vars of other roles that it needs: by name, then by the machine of each member of that role.
        prompts: The answers to its prompts, by name.
        sandbox: Whether the processes that it starts must be sandboxed.
        wanted: What `validation` or `instance_validation` of its var returned; None without one.
        earlier: The values that the new ones will replace, if its var is declared with ``extends=True``; {} for the
            first ones, and when a person rotates the var.
    """

    key: VarKey
    settings: Any
    inputs: Mapping[str, Values]
    peers: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    prompts: Values = field(default_factory=dict)
    sandbox: bool = True
    wanted: Any = None
    earlier: Values = field(default_factory=dict)
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
        """Return the exports of an interface, as `Member.exports` does.

        Raises:
            NotDeclaredError: When the var does not declare to need the interface.
        """
        if interface not in self._interfaces or self._published is None:
            what = f"exports of {interface.__name__}"
            raise NotDeclaredError(f"this step reads {what} and does not declare it in its needs=")
        return self._published(interface, machine, instance, role, service)


def validity_of(generator: Generator[Any], var: StoredVar) -> Validity | None:
    """Return when the values of a var are valid; None if that is for ever or unknown."""
    if not (validity := getattr(generator, "validity", None)):
        return None
    try:
        period: Validity = validity({name: file.public for name, file in var.items() if not file.secret})
    except (ValueError, KeyError):  # a person may have given any value
        return None
    return period


def prompts_of(generator: Generator[Any]) -> tuple[Prompt, ...]:
    """Return the prompts of a generator; most have none, and need not declare that."""
    return getattr(generator, "prompts", ())
