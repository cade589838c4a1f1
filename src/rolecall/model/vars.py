"""Values made once and kept: what a generator promises, what it made, and where the value stands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from rolecall.model.exports import Exported, Interface, InterfaceT
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


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a file of a var stands on the machines whose members have it, without the service yielding it.

    Attributes:
        owner: User name.
        group: Group name.
        mode: Permission bits.
        needed_for: ``services``, or ``packages``: then it is there before packages are installed and accounts made.
        restarts: Names of units that are restarted when it changes, if they run: also of units of the distribution.
    """

    owner: str = "root"
    group: str = "root"
    mode: int = 0o400
    needed_for: Literal["services", "packages"] = "services"
    restarts: tuple[str, ...] = ()


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


Values = Mapping[str, bytes]
"""What a var holds, by file; secret values included: a generator is the one place where they may be seen."""


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


@dataclass(frozen=True, slots=True)
class Recipe:
    """One var that members want, ready to run.

    Attributes:
        key: The var.
        generator: How it is made.
        origin: ``instance.role`` that wants it, for messages.
        settings: Final settings of the member.
        inputs: Vars of the same member whose values the generator reads, by the names it knows them under.
        peers: Vars of other roles likewise, by name and machine; one table, shared by all members of the role.
        interfaces: What of the exports the generator reads.
        validation: A digest of what it is made for: when that changes it is made anew, and so is what reads it.
        binds: What would be lost with it, or "".
        accepted: Whether peers can accept two values of it at once.
    """

    key: VarKey
    generator: Generator[Any]
    origin: str
    settings: Any = None
    inputs: tuple[tuple[str, VarKey], ...] = ()
    peers: Mapping[str, Mapping[str, VarKey]] = field(default_factory=dict)
    interfaces: tuple[type[Interface], ...] = ()
    validation: str = ""
    binds: str = ""
    accepted: bool = False

    @property
    def file_names(self) -> set[str]:
        """The names of the files that it makes."""
        return {file.name for file in self.generator.files}


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
"""By the name of the file. While peers accept two values, those of the other one are here too, as ``.next/FILE`` (not
used yet) or ``.old/FILE`` (used no longer)."""

NEXT, OLD = ".next/", ".old/"
STEPS = 3
"""Of a rotation without a gap: accept the new value beside the old one, use it, drop the old one."""


def current(var: StoredVar) -> StoredVar:
    """The value that is in use."""
    return slot(var, "")


def slot(var: StoredVar, prefix: str) -> StoredVar:
    """The value under `NEXT` or `OLD`, {} when there is none; under "" the one in use."""
    cut = len(prefix)
    return {name[cut:]: file for name, file in var.items() if name.rpartition("/")[0] == prefix[:-1]}


def step_of(var: StoredVar) -> int:
    """How many of the `STEPS` of a rotation are done: 0 when none is under way."""
    names = " ".join(var)
    return 1 if NEXT in names else 2 if OLD in names else 0


@dataclass(frozen=True, slots=True)
class Replacement:
    """Which stored vars a run replaces.

    Attributes:
        rotate: Vars that get a new value.
        advance: Stored vars whose rotation goes on by one of its `STEPS`; it begins with the first one.
        given: Values that a person provides, in place of what the generators would make.
        versions: The versions of those values by var and file, where they are known.
        force: Whether vars that bind something may be replaced because their inputs are.
    """

    rotate: Container[VarKey] = ()
    advance: Container[VarKey] = ()
    given: Mapping[VarKey, Values] = field(default_factory=dict)
    versions: Mapping[VarKey, Mapping[str, str]] = field(default_factory=dict)
    force: bool = False
