"""The contract for service authors: a service, its roles, and their vars, exports, needs and functions.

Everything is declared with plain values and decorated functions, so it can be listed without running any of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, overload

from rolecall.service.declarations import (
    NOTHING,
    ContractError,
    named,
    readable,
    require_deliveries,
    require_function,
    require_generator,
    require_interface,
    require_name,
    require_scope,
    require_settings,
)
from rolecall.service.handles import Need, Scope, ValuesT, Var
from rolecall.service.member import Member, SettingsT
from rolecall.service.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rolecall.model.exports import Interface, InterfaceT
    from rolecall.model.generators import Generator
    from rolecall.model.recipes import Delivery
    from rolecall.service.declarations import FunctionT
    from rolecall_agent.configuration import Check
    from rolecall_agent.resources import Resource


class NoSettings(Settings):
    """The settings of a role that has none."""


@dataclass(frozen=True, eq=False, slots=True)
class Publisher:
    """A step that publishes data of one interface.

    Attributes:
        interface: The interface of the data.
        function: Yields the data for a member.
        needs: The vars of this service and the interfaces that it can read, complete before it runs.
    """

    interface: type[Interface]
    function: Callable[[Any], Iterable[Interface]]
    needs: tuple[Need, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Checker:
    """A function that yields checks of a member.

    Attributes:
        function: Yields the checks.
        peers: Whether all of them need other machines.
    """

    function: Callable[[Any], Iterable[Check]]
    peers: bool


@dataclass(eq=False, slots=True)
class Role(Generic[SettingsT]):
    """A part that machines play. Created by `Service.role`.

    Attributes:
        service: The service it belongs to.
        name: Its name in the inventory.
        settings: The model of its settings.
        description: One sentence.
        minimum: Lowest number of machines in an instance that has members.
        maximum: Highest number of machines, or None.
        excluded: Names of the roles that the same machine must not play in the same instance.
    """

    service: Service
    name: str
    settings: type[SettingsT]
    description: str
    minimum: int
    maximum: int | None
    excluded: set[str] = field(default_factory=set)
    vars: dict[str, Var[Any]] = field(default_factory=dict)
    publishers: list[Publisher] = field(default_factory=list)
    configurers: list[Callable[[Any], Iterable[Resource]]] = field(default_factory=list)
    checkers: list[Checker] = field(default_factory=list)

    def var(
        self,
        name: str,
        generator: Generator[ValuesT],
        *,
        needs: Iterable[Need] = (),
        validation: Callable[[SettingsT], object] | None = None,
        instance_validation: Callable[[Mapping[str, Mapping[str, Any]]], object] | None = None,
        binds: str = "",
        scope: Scope = "instance",
        deliver: Mapping[str, Delivery] | None = None,
        accepted: bool = False,
        extends: bool = False,
    ) -> Var[ValuesT]:
        """Declare a var that is generated once for every member of this role, or for several together.

        Args:
            name: Unique in the service, unless several roles declare the same var with the scope ``"machine"``.
            generator: How it is generated.
            needs: The vars of this service and the interfaces that the generator can read.
            validation: Returns, from a member's settings, what the value is generated for, as data that JSON can hold.
                When this changes, the var is regenerated, and so are the vars that read it.
            instance_validation: Likewise for a shared var, from the settings of all members by role and machine.
            binds: What would be lost with it, e.g. ``"the repositories are encrypted with it"``: it is then replaced
                only with ``--force``.
            scope: ``"instance"``: each member has its own. ``"machine"``: a machine has one for all instances of the
                service, and for all roles that declare it with the same name, generator and ``binds``. ``"shared"``:
                all members of the role in an instance have one together. A var of several members cannot depend on
                settings, and only on vars of the same scope or wider.
            accepted: Whether all peers that check it accept every value of ``member.accepted(handle)``. It can then be
                rotated without a gap: one update adds the new value, the next one uses it, the third one drops the
                old value.
            extends: Whether its generator makes a new value out of the earlier one (`Context.earlier`), so that
                nothing is lost when settings change. With ``binds``, such a change then needs no ``--force``.
            deliver: Its files, by name, to install on every machine of the role at ``me.var_path(handle, name)``.

        Raises:
            ContractError: When the service has a var of that name, or an argument is not of its type.
        """
        what = f"{self.service.name}.{self.name}: the var {name!r}"
        require_name(name, f"{self.service.name}.{self.name}: var")
        for other in (other for role in self.service.roles.values() for other in role.vars.values()):
            same = (name, scope, generator, binds) == (other.name, "machine", other.generator, other.binds)
            if same and other.role is not self:  # the machine has one value for all roles that declare it
                continue
            if other.name.casefold() == name.casefold():  # some file systems ignore case
                also = "" if other.name == name else f": {other.name!r} differs only in case"
                raise ContractError(f"{self.service.name} declares the var {name!r} twice{also}")
        require_generator(generator, what)
        if not isinstance(binds, str):
            raise ContractError(f"{what}: binds must be a string about what would be lost, not {binds!r}")
        for function in (validation, instance_validation):
            if function:
                require_function(function, f"{what}: its validation")
        self.vars[name] = handle = Var(
            self,
            name,
            generator,
            readable(needs, self.service, what),
            validation,
            instance_validation,
            binds,
            scope,
            dict(deliver or {}),
            accepted,
            extends,
        )
        require_scope(handle, what)
        require_deliveries(handle, what)
        return handle

    def exports(
        self, interface: type[InterfaceT], *, needs: Iterable[Need] = ()
    ) -> Callable[
        [Callable[[Member[SettingsT]], Iterable[InterfaceT]]], Callable[[Member[SettingsT]], Iterable[InterfaceT]]
    ]:
        """Mark the step that publishes data of an interface for every member.

        Args:
            interface: The interface of the data.
            needs: The vars of this service and the interfaces that the function can read.

        Raises:
            ContractError: When the interface or a need is not of its type.
        """
        what = f"{self.service.name}.{self.name}: the export of {getattr(interface, '__name__', repr(interface))}"
        require_interface(interface, what)
        needed = readable(needs, self.service, what)

        def mark(
            function: Callable[[Member[SettingsT]], Iterable[InterfaceT]],
        ) -> Callable[[Member[SettingsT]], Iterable[InterfaceT]]:
            self.publishers.append(Publisher(interface, require_function(function, what), needed))
            return function

        return mark

    def configure(
        self, function: Callable[[Member[SettingsT]], Iterable[Resource]] = NOTHING
    ) -> Callable[[Member[SettingsT]], Iterable[Resource]]:
        """Mark the function that yields the resources of a member's machine: ``@role.configure``."""
        self.configurers.append(
            require_function(function, f"{self.service.name}.{self.name}: configure", "@role.configure")
        )
        return function

    @overload
    def check(
        self, function: Callable[[Member[SettingsT]], Iterable[Check]], *, peers: bool = False
    ) -> Callable[[Member[SettingsT]], Iterable[Check]]: ...

    @overload
    def check(
        self, *, peers: bool = False
    ) -> Callable[[Callable[[Member[SettingsT]], Iterable[Check]]], Callable[[Member[SettingsT]], Iterable[Check]]]: ...

    def check(self, function: Any = NOTHING, *, peers: bool = False) -> Any:
        """Mark the function that yields checks: commands that show that a member works: ``@role.check``.

        Args:
            function: The function.
            peers: Whether all its checks need other machines, like a single ``Check(…, peers=True)``:
                ``@role.check(peers=True)``.
        """

        def mark(function: FunctionT) -> FunctionT:
            what = f"{self.service.name}.{self.name}: check"
            self.checkers.append(Checker(require_function(function, what, "@role.check"), peers))
            return function

        return mark if function is NOTHING else mark(function)


@dataclass(eq=False, slots=True)
class Service:
    """What a module offers: named roles, in the order in which their machines switch.

    Attributes:
        name: The module's name.
        description: One sentence.
        maximum_instances: Highest number of instances with members in an inventory, or None.
    """

    name: str
    description: str
    maximum_instances: int | None = None
    roles: dict[str, Role[Any]] = field(default_factory=dict, init=False)
    machine_configurers: list[Callable[[Any], Iterable[Resource]]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        require_name(self.name, "service")
        if self.maximum_instances is not None and self.maximum_instances < 1:
            raise ContractError(f"{self.name}: maximum_instances must be 1 or more, not {self.maximum_instances}")

    @overload
    def role(
        self,
        name: str,
        *,
        description: str,
        minimum: int = 0,
        maximum: int | None = None,
        excludes: Iterable[Role[Any]] = (),
    ) -> Role[NoSettings]: ...

    @overload
    def role(
        self,
        name: str,
        settings: type[SettingsT],
        *,
        description: str,
        minimum: int = 0,
        maximum: int | None = None,
        excludes: Iterable[Role[Any]] = (),
    ) -> Role[SettingsT]: ...

    def role(
        self,
        name: str,
        settings: type[Settings] = NoSettings,
        *,
        description: str,
        minimum: int = 0,
        maximum: int | None = None,
        excludes: Iterable[Role[Any]] = (),
    ) -> Role[Any]:
        """Declare a role. Machines of earlier roles switch before those of later ones.

        Args:
            name: Its name in the inventory.
            settings: The model of its settings.
            description: One sentence.
            minimum: Lowest number of machines in an instance that has members.
            maximum: Highest number of machines.
            excludes: Roles declared before that the same machine must not play in the same instance.

        Raises:
            ContractError: When the name is taken or invalid, the settings are not a class below `Settings`, the bounds
                exclude every number, or an excluded role belongs to another service.
        """
        require_name(name, f"{self.name}: role")
        if name in self.roles:
            raise ContractError(f"{self.name} declares the role {name!r} twice")
        if minimum < 0:
            raise ContractError(f"{self.name}.{name}: minimum must be 0 or more, not {minimum}")
        if maximum is not None and maximum < minimum:
            raise ContractError(f"{self.name}.{name}: minimum {minimum} exceeds maximum {maximum}")
        require_settings(settings, f"{self.name}.{name}")
        role = Role(self, name, settings, description, minimum, maximum)
        for other in excludes:
            if getattr(other, "service", None) is not self:
                raise ContractError(f"{self.name}.{name} excludes {named(other)}, which is not a role of {self.name}")
            role.excluded.add(other.name)
            other.excluded.add(name)
        self.roles[name] = role
        return role

    def machine(
        self, function: Callable[[tuple[Member[Any], ...]], Iterable[Resource]] = NOTHING
    ) -> Callable[[tuple[Member[Any], ...]], Iterable[Resource]]:
        """Mark a function that is called once for each machine, with all its members of this service."""
        self.machine_configurers.append(require_function(function, f"{self.name}: machine", "@service.machine"))
        return function
