"""The contract for service authors: a service, its roles, and their vars, exports, needs and functions.

Everything is declared with plain values and decorated functions, so it can be listed without running any of it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from rolecall.model.exports import Interface, InterfaceT
from rolecall.model.generators import Prompt
from rolecall.model.names import NAME_PATTERN
from rolecall.model.recipes import Delivery
from rolecall.model.vars import VarFile
from rolecall.service.handles import Need, Scope, ValuesT, Var
from rolecall.service.member import Member, SettingsT
from rolecall.service.settings import Settings
from rolecall_agent.content import Secret
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rolecall.model.generators import Generator
    from rolecall_agent.configuration import Check
    from rolecall_agent.resources import Resource

# By scope of a var: the scopes of the vars of its own role that it can need.
_WIDER = {"instance": ("instance", "machine", "shared"), "machine": ("machine",), "shared": ("shared",)}
FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")
_NOTHING: Any = object()  # in place of the function, when a decorator is written with parentheses


class ContractError(Exception):
    """A service breaks the contract; the message says how. It is raised in the line that breaks it."""


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
        binds: str = "",
        scope: Scope = "instance",
        deliver: Mapping[str, Delivery] | None = None,
        accepted: bool = False,
    ) -> Var[ValuesT]:
        """Declare a var that is generated once for every member of this role, or for several together.

        Args:
            name: Unique in the service.
            generator: How it is generated.
            needs: The vars of this service and the interfaces that the generator can read.
            validation: Returns, from a member's settings, what the value is generated for, as data that JSON can hold.
                When this changes, the var is regenerated, and so are the vars that read it.
            binds: What would be lost with it, e.g. ``"the repositories are encrypted with it"``: it is then replaced
                only with ``--force``.
            scope: ``"instance"``: each member has its own. ``"machine"``: a machine has one for all instances of the
                service. ``"shared"``: all members of the role in an instance have one together. A var of several
                members cannot depend on settings, and only on vars of the same scope or wider.
            accepted: Whether all peers that check it accept every value of ``member.accepted(handle)``. It can then be
                rotated without a gap: one update adds the new value, the next one uses it, the third one drops the
                old value.
            deliver: Its files, by name, to install on every machine of the role at ``me.var_path(handle, name)``.

        Raises:
            ContractError: When the service has a var of that name, or an argument is not of its type.
        """
        what = f"{self.service.name}.{self.name}: the var {name!r}"
        _require_name(name, f"{self.service.name}.{self.name}: var")
        for other in (other for role in self.service.roles.values() for other in role.vars):
            if other.casefold() == name.casefold():  # some file systems ignore case
                also = "" if other == name else f": {other!r} differs only in case"
                raise ContractError(f"{self.service.name} declares the var {name!r} twice{also}")
        _require_generator(generator, what)
        if not isinstance(binds, str):
            raise ContractError(f"{what}: binds must be a string about what would be lost, not {binds!r}")
        checked = _function(validation, f"{what}: its validation") if validation else None
        self.vars[name] = handle = Var(
            self,
            name,
            generator,
            _readable(needs, self.service, what),
            checked,
            binds,
            scope,
            dict(deliver or {}),
            accepted,
        )
        _require_scope(handle, what)
        _require_deliveries(handle, what)
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
        _require_interface(interface, what)
        needed = _readable(needs, self.service, what)

        def mark(
            function: Callable[[Member[SettingsT]], Iterable[InterfaceT]],
        ) -> Callable[[Member[SettingsT]], Iterable[InterfaceT]]:
            self.publishers.append(Publisher(interface, _function(function, what), needed))
            return function

        return mark

    def configure(
        self, function: Callable[[Member[SettingsT]], Iterable[Resource]] = _NOTHING
    ) -> Callable[[Member[SettingsT]], Iterable[Resource]]:
        """Mark the function that yields the resources of a member's machine: ``@role.configure``."""
        self.configurers.append(_function(function, f"{self.service.name}.{self.name}: configure", "@role.configure"))
        return function

    @overload
    def check(
        self, function: Callable[[Member[SettingsT]], Iterable[Check]], *, peers: bool = False
    ) -> Callable[[Member[SettingsT]], Iterable[Check]]: ...

    @overload
    def check(
        self, *, peers: bool = False
    ) -> Callable[[Callable[[Member[SettingsT]], Iterable[Check]]], Callable[[Member[SettingsT]], Iterable[Check]]]: ...

    def check(self, function: Any = _NOTHING, *, peers: bool = False) -> Any:
        """Mark the function that yields checks: commands that show that a member works: ``@role.check``.

        Args:
            function: The function.
            peers: Whether all its checks need other machines, like a single ``Check(…, peers=True)``:
                ``@role.check(peers=True)``.
        """

        def mark(function: FunctionT) -> FunctionT:
            what = f"{self.service.name}.{self.name}: check"
            self.checkers.append(Checker(_function(function, what, "@role.check"), peers))
            return function

        return mark if function is _NOTHING else mark(function)


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
        _require_name(self.name, "service")
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
        _require_name(name, f"{self.name}: role")
        if name in self.roles:
            raise ContractError(f"{self.name} declares the role {name!r} twice")
        if minimum < 0:
            raise ContractError(f"{self.name}.{name}: minimum must be 0 or more, not {minimum}")
        if maximum is not None and maximum < minimum:
            raise ContractError(f"{self.name}.{name}: minimum {minimum} exceeds maximum {maximum}")
        _require_settings(settings, f"{self.name}.{name}")
        role = Role(self, name, settings, description, minimum, maximum)
        for other in excludes:
            if getattr(other, "service", None) is not self:
                raise ContractError(f"{self.name}.{name} excludes {_named(other)}, which is not a role of {self.name}")
            role.excluded.add(other.name)
            other.excluded.add(name)
        self.roles[name] = role
        return role

    def machine(
        self, function: Callable[[tuple[Member[Any], ...]], Iterable[Resource]] = _NOTHING
    ) -> Callable[[tuple[Member[Any], ...]], Iterable[Resource]]:
        """Mark a function that is called once for each machine, with all its members of this service."""
        self.machine_configurers.append(_function(function, f"{self.name}: machine", "@service.machine"))
        return function


def _readable(needs: Iterable[Need], service: Service, what: str) -> tuple[Need, ...]:
    needed = tuple(needs)
    for need in needed:
        if isinstance(need, Var) and need.role.service is service:
            continue
        if not (isinstance(need, type) and issubclass(need, Interface)):
            raise ContractError(
                f"{what} cannot need {_named(need)}: a step can read interfaces and vars of its own service"
            )
        _require_interface(need, what)
    return needed


def _require_scope(var: Var[Any], what: str) -> None:
    if var.scope not in _WIDER:
        raise ContractError(f"{what} has an invalid scope {var.scope!r}; valid are: {', '.join(_WIDER)}")
    if var.scope != "instance" and var.validation:
        raise ContractError(
            f"{what} is shared by several members, so it cannot have a validation of one member's settings"
        )
    for need in var.needs:
        if isinstance(need, Var) and need.role is var.role and need.scope not in _WIDER[var.scope]:
            raise ContractError(
                f"{what} is shared by several members, so it cannot need {_named(need)}, which each has"
            )


def _require_deliveries(var: Var[Any], what: str) -> None:
    secrets = {file.name: file.secret for file in var.generator.files}
    for name, delivery in var.deliver.items():
        if name not in secrets:
            raise ContractError(f"{what} delivers an unknown file {name!r}; its files are: {', '.join(secrets)}")
        if not isinstance(delivery, Delivery):
            raise ContractError(f"{what} delivers {name!r} with {_named(delivery)}, which is not a Delivery")
        try:  # the same checks as for a file that a service yields
            secret = Secret("x", name, "")
            File(secret.path, secret if secrets[name] else "", **asdict(delivery))
        except ValueError as error:
            raise ContractError(f"{what} delivers {name!r}: {error}") from None


def _require_settings(settings: object, what: str) -> None:
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        raise ContractError(f"{what}: its settings are {_named(settings)}, which is not a class below Settings")


def _require_interface(interface: object, what: str) -> None:
    if inspect.isfunction(interface):
        raise ContractError(
            f"{what}: write `@role.exports(INTERFACE)`, with the interface of what {_named(interface)} yields"
        )
    if not (isinstance(interface, type) and issubclass(interface, Interface)) or interface is Interface:
        raise ContractError(f"{what}: {_named(interface)} is not an interface, which is a class below Interface")
    for key, value in Interface.model_config.items():
        if interface.model_config.get(key) != value:
            raise ContractError(f"{what}: the interface {interface.__name__} must keep {key}={value!r}")


def _require_generator(generator: object, what: str) -> None:
    files = getattr(generator, "files", None)
    if (
        isinstance(generator, type)
        or not (isinstance(files, tuple) and files and all(isinstance(file, VarFile) for file in files))
        or not all(callable(getattr(generator, method, None)) for method in ("generate", "view"))
    ):
        raise ContractError(f"{what}: {_named(generator)} is not a generator, which has files, generate and view")
    _function(generator.generate, f"{what}: generate of {_named(generator)}")  # type: ignore[attr-defined]
    if len({file.name.casefold() for file in files}) < len(files):
        raise ContractError(f"{what} has two files with the same name")
    prompts = getattr(generator, "prompts", ())
    if not (isinstance(prompts, tuple) and all(isinstance(prompt, Prompt) for prompt in prompts)):
        raise ContractError(f"{what}: prompts must be a tuple of Prompt")
    for prompt in prompts:
        _require_name(prompt.name, f"{what}: prompt")
    if len({prompt.name for prompt in prompts}) < len(prompts):
        raise ContractError(f"{what} has two prompts with the same name")


def _function(function: FunctionT, what: str, decorator: str = "") -> FunctionT:
    """Return the function if it is a plain one that can be called with one argument."""
    if function is _NOTHING:
        raise ContractError(f"{what}: write `{decorator}` without parentheses")
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        raise ContractError(f"{what} takes a function of one argument, not {_named(function)}") from None
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ContractError(f"{what} takes a plain function, but {_named(function)} is async")
    return function


def _named(thing: object) -> str:
    match thing:
        case Var():
            return f"the var {thing.name!r} of {thing.role.service.name}.{thing.role.name}"
        case Role():
            return f"the role {thing.service.name}.{thing.name}"
        case _:
            return str(getattr(thing, "__name__", None) or repr(thing))


def _require_name(name: object, what: str) -> None:
    if not (isinstance(name, str) and re.fullmatch(NAME_PATTERN, name)):
        raise ContractError(f"{what}: invalid name {name!r} (use letters, digits, _ and -)")
