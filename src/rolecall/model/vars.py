"""Values made once and kept: what a generator promises, what it made, and where the value stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall_agent.content import Secret


@dataclass(frozen=True, slots=True, order=True)
class VarKey:
    """Names one var of a project.

    Attributes:
        machine: The machine it is made for, or "" for one that all machines share.
        name: ``INSTANCE.NAME`` for a var of an instance, ``NAME`` for one of the machine or project.
    """

    machine: str
    name: str

    def __str__(self) -> str:
        """``jon/backup.ssh``, or ``shared/ca``."""
        return f"{self.machine or 'shared'}/{self.name}"


@dataclass(frozen=True, slots=True)
class VarFile:
    """One value of a var.

    Attributes:
        name: File name inside the var, e.g. ``"private"``.
        secret: Whether it is stored encrypted and never shown.
    """

    name: str
    secret: bool = True


ValuesT_co = TypeVar("ValuesT_co", covariant=True)


class Generator(Protocol[ValuesT_co]):
    """A recipe. Ready-made ones are in `rolecall.service.generators`; any frozen dataclass of this shape will do."""

    @property
    def files(self) -> tuple[VarFile, ...]:
        """What it makes, known without running it."""

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Makes every file of `files`. It runs on the controller and may use randomness, never the network.

        Raises:
            Faults: When an input is not usable.
        """

    def view(self, files: Mapping[str, str | Secret]) -> ValuesT_co:
        """What service code sees: public values as text, secrets as references."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a generator may know while it runs.

    Attributes:
        key: The var being made.
        settings: The member's settings.
        inputs: Values of the vars named as inputs, by their names and files. Secret ones are included: a generator
            is the one place where values may be seen.
    """

    key: VarKey
    settings: Any
    inputs: Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One var that members want, ready to run.

    Attributes:
        key: The var.
        generator: How it is made.
        origin: ``instance.role`` that wants it, for messages.
        settings: Final settings of the member.
        inputs: Vars whose values the generator reads, by the names it knows them under.
    """

    key: VarKey
    generator: Generator[Any]
    origin: str
    settings: Any = None
    inputs: tuple[tuple[str, VarKey], ...] = ()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One value as it stands in the project.

    Attributes:
        secret: Whether it is encrypted.
        version: Random public id of the value (22 characters of URL-safe base64); survives re-encryption.
        public: The value as text when it is public, else "".
    """

    secret: bool
    version: str
    public: str = ""


StoredVar = dict[str, StoredFile]
