"""The contract for service authors: a service, its roles, what they make, publish and need.

Everything is declared by plain values and decorated functions, so that it can be listed without running any of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from rolecall.model.inventory import NAME_PATTERN
from rolecall.service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rolecall.model.vars import Generator
    from rolecall.service.member import Member
    from rolecall_agent.configuration import Check
    from rolecall_agent.resources import Resource

SettingsT = TypeVar("SettingsT", bound=Settings)
ValuesT = TypeVar("ValuesT")
InterfaceT = TypeVar("InterfaceT", bound="Interface")


class ContractError(Exception):
    """A service breaks the contract; the message says how."""


class Interface(BaseModel):
    """Base of what members publish for others: typed data, from declarations and public vars only."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NoSettings(Settings):
    """The settings of a role that has none."""


@dataclass(frozen=True, eq=False, slots=True)
class Var(Generic[ValuesT]):
    """A handle to a var that every member of a role has: ``me[handle]``.

    Attributes:
        role: The role that declared it.
        name: Unique in the service; the var of a member is called ``INSTANCE.NAME``.
        generator: How it is made.
        needs: Vars of the same role: the generator reads the values that they have for the same member.
    """

    role: Role[Any]
    name: str
    generator: Generator[ValuesT]
    needs: tuple[Var[Any], ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Publisher:
    """A step that publishes data of one interface.

    Attributes:
        interface: Of what it publishes.
        function: What it publishes for a member.
        needs: Vars of this service and interfaces that must be there before it runs: all that it may read.
    """

    interface: type[Interface]
    function: Callable[[Any], Iterable[Interface]]
    needs: tuple[Var[Any] | type[Interface], ...]


@dataclass(eq=False, slots=True)
class Role(Generic[SettingsT]):
    """A part that machines play. Made by `Service.role`.

    Attributes:
        service: The service it belongs to.
        name: Its name in the inventory.
        settings: The model of its settings.
        description: One sentence.
        minimum: Fewest machines that must play it in an instance that has members.
        maximum: Most machines that may, or None.
    """

    service: Service
    name: str
    settings: type[SettingsT]
    description: str
    minimum: int
    maximum: int | None
    vars: dict[str, Var[Any]] = field(default_factory=dict)
    publishers: list[Publisher] = field(default_factory=list)
    configurers: list[Callable[[Any], Iterable[Resource]]] = field(default_factory=list)
    checkers: list[Callable[[Any], Iterable[Check]]] = field(default_factory=list)

    def var(self, name: str, generator: Generator[ValuesT], *, needs: Iterable[Var[Any]] = ()) -> Var[ValuesT]:
        """Declares a var that is made once for every member of this role.

        Args:
            name: Unique in the service.
            generator: How it is made.
            needs: Vars of this role whose values the generator reads in `Context.inputs`.

        Raises:
            ContractError: When the service has a var of that name, or a need is no var of this role.
        """
        _require_name(name, f"{self.service.name}.{self.name}: var")
        if any(name in role.vars for role in self.service.roles.values()):
            raise ContractError(f"{self.service.name} declares the var {name!r} twice")
        handle = Var(self, name, generator, tuple(needs))
        for need in handle.needs:
            if getattr(need, "role", None) is not self:
                raise ContractError(
                    f"{self.service.name}.{self.name}: the var {name!r} needs {_named(need)}; "
                    "what a generator can read is vars of its own role"
                )
        self.vars[name] = handle
        return handle

    def exports(
        self, interface: type[InterfaceT], *, needs: Iterable[Var[Any] | type[Interface]] = ()
    ) -> Callable[
        [Callable[[Member[SettingsT]], Iterable[InterfaceT]]], Callable[[Member[SettingsT]], Iterable[InterfaceT]]
    ]:
        """Marks the step that publishes data of this interface for every member.

        Args:
            interface: Of what it publishes.
            needs: Vars of this service and interfaces: the function may read these, and no others.

        Raises:
            ContractError: When a need is anything else.
        """
        needed = tuple(needs)
        for need in needed:
            if not _readable(need, self.service):
                raise ContractError(
                    f"{self.service.name}.{self.name}: the export of {interface.__name__} needs {_named(need)}; "
                    "what a member can read is vars of its own service and interfaces"
                )

        def mark(
            function: Callable[[Member[SettingsT]], Iterable[InterfaceT]],
        ) -> Callable[[Member[SettingsT]], Iterable[InterfaceT]]:
            self.publishers.append(Publisher(interface, function, needed))
            return function

        return mark

    def configure(
        self, function: Callable[[Member[SettingsT]], Iterable[Resource]]
    ) -> Callable[[Member[SettingsT]], Iterable[Resource]]:
        """Marks the function that yields what a member's machine must have."""
        self.configurers.append(function)
        return function

    def check(
        self, function: Callable[[Member[SettingsT]], Iterable[Check]]
    ) -> Callable[[Member[SettingsT]], Iterable[Check]]:
        """Marks the function that yields the commands that show that a member works."""
        self.checkers.append(function)
        return function


@dataclass(eq=False, slots=True)
class Service:
    """What a module offers: named roles, in the order in which their machines switch.

    Attributes:
        name: The module's name.
        description: One sentence.
    """

    name: str
    description: str
    roles: dict[str, Role[Any]] = field(default_factory=dict)
    machine_configurers: list[Callable[[Any], Iterable[Resource]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        _require_name(self.name, "service")

    def role(
        self,
        name: str,
        settings: type[SettingsT] = NoSettings,  # type: ignore[assignment]  # a default for a type variable
        *,
        description: str,
        minimum: int = 0,
        maximum: int | None = None,
    ) -> Role[SettingsT]:
        """Declares a role. Machines of earlier roles switch before those of later ones.

        Raises:
            ContractError: When the name is taken or no name, or the bounds exclude every number.
        """
        _require_name(name, f"{self.name}: role")
        if name in self.roles:
            raise ContractError(f"{self.name} declares the role {name!r} twice")
        if minimum < 0 or (maximum is not None and maximum < minimum):
            raise ContractError(f"{self.name}.{name}: no number of machines is at least {minimum}, at most {maximum}")
        role = Role(self, name, settings, description, minimum, maximum)
        self.roles[name] = role
        return role

    def machine(
        self, function: Callable[[tuple[Member[Any], ...]], Iterable[Resource]]
    ) -> Callable[[tuple[Member[Any], ...]], Iterable[Resource]]:
        """Marks a function that gets all members of this service on one machine, once, whatever their roles."""
        self.machine_configurers.append(function)
        return function


def _readable(need: object, service: Service) -> bool:
    if isinstance(need, Var):
        return need.role.service is service
    return isinstance(need, type) and issubclass(need, Interface)


def _named(need: object) -> str:
    if isinstance(need, Var):
        return f"the var {need.name!r} of {need.role.service.name}.{need.role.name}"
    return need.__name__ if isinstance(need, type) else repr(need)


def _require_name(name: str, what: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ContractError(f"{what}: {name!r} is no name (letters, digits, _ and -)")
