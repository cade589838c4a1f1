"""What a run makes: a recipe for each var, and which stored vars it replaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from rolecall.model.exports import Interface
    from rolecall.model.generators import Generator
    from rolecall.model.vars import Values, VarKey


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a file of a var is delivered to the machines of the members that have it.

    Attributes:
        owner: User name.
        group: Group name.
        mode: Permission bits.
        needed_for: ``services``; or ``packages``, to deliver it before packages are installed and accounts created.
        restarts: Units that are restarted when it changes, if they run; units of the distribution, too.
    """

    owner: str = "root"
    group: str = "root"
    mode: int = 0o400
    needed_for: Literal["services", "packages"] = "services"
    restarts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """One var that members want, with all that is needed to generate it.

    Attributes:
        key: The var.
        generator: How it is made.
        origin: The ``instance.role`` that wants it, for messages.
        settings: Final settings of the member.
        inputs: Vars of the same member whose values the generator reads, by the names that it uses.
        peers: Vars of other roles likewise, by name and machine; one table, shared by all members of the role.
        interfaces: The interfaces whose exports the generator reads.
        validation: A digest of what it is made for; when that changes, it is regenerated with all that reads it.
        wanted: What it is made for, as data; `validation` is its digest.
        binds: What would be lost with its value, or "".
        accepted: Whether peers can accept two values of it at once.
        extends: Whether the generator makes a new value out of the earlier one, unless a person rotates it.
    """

    key: VarKey
    generator: Generator[Any]
    origin: str
    settings: Any = None
    inputs: tuple[tuple[str, VarKey], ...] = ()
    peers: Mapping[str, Mapping[str, VarKey]] = field(default_factory=dict)
    interfaces: tuple[type[Interface], ...] = ()
    validation: str = ""
    wanted: Any = None
    binds: str = ""
    accepted: bool = False
    extends: bool = False

    @property
    def file_names(self) -> set[str]:
        """The names of the files that it makes."""
        return {file.name for file in self.generator.files}


@dataclass(frozen=True, slots=True)
class Replacement:
    """Which stored vars a run replaces.

    Attributes:
        rotate: Vars that get a new value.
        advance: Stored vars whose rotation advances by one of its `STEPS`; the first one starts it.
        given: Values that a person gives instead of the generators.
        versions: The versions of given values by var and file, if they are known.
        force: Whether vars that bind something may be regenerated because their inputs or settings changed.
    """

    rotate: Container[VarKey] = ()
    advance: Container[VarKey] = ()
    given: Mapping[VarKey, Values] = field(default_factory=dict)
    versions: Mapping[VarKey, Mapping[str, str]] = field(default_factory=dict)
    force: bool = False
