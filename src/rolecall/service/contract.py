"""The contract for service authors: a service, its roles, what they make, publish and need.

Everything is declared by plain values and decorated functions, so that it can be listed without running any of it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from rolecall.model.exports import Interface, InterfaceT
from rolecall.model.generators import Prompt
from rolecall.model.inventory import NAME_PATTERN
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

# By scope, the scopes of what such a var may be made from in its own role.
_WIDER = {"instance": ("instance", "machine", "shared"), "machine": ("machine",), "shared": ("shared",)}
FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")
_NOTHING: Any = object()  # in place of the function, where a decorator is written with parentheses


class ContractError(Exception):
    """A service breaks the contract; the message says how. It is raised in the line that does."""


class NoSettings(Settings):
    """The settings of a role that has none."""


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
    needs: tuple[Need, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Checker:
    """A function that yields checks of a member.

    Attributes:
        function: What yields them.
        peers: Whether all of them need other machines.
    """

    function: Callable[[Any], Iterable[Check]]
    peers: bool


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
        excluded: Names of the roles of the service that no machine may play beside it in one instance.
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
        """Declares a var that is made once for every member of this role, or for more of them together.

        Args:
            name: Unique in the service.
            generator: How it is made.
            needs: Vars of this service and interfaces: the generator may read these, and no others.
            validation: Gives of a member's settings what the var is made for, as data that JSON can hold. When that
                changes, the var is made anew, and so are the vars that read it.
            binds: What would be lost with it, e.g. ``"the repositories are encrypted with it"``: it is then not made
                anew on request alone.
            scope: ``"instance"``: each member has its own. ``"machine"``: one of a machine for all instances of the
                service. ``"shared"``: one for all members of the role in an instance. What several have depends on
                nobody's settings, and on vars of the same scope or wider.
            accepted: Whether all who check it read ``member.accepted(handle)``, and let in whoever has one of these. It
                can be made anew without a gap then: in one update they accept the new value too, in the next it is
                used, and in the third the old one goes.
            deliver: Files of it, by name, that stand on every machine of the role at ``me.var_path(handle, name)``.

        Raises:
            ContractError: When the service has a var of that name, or the generator, a need or a delivery is none,
                or `binds` is no text.
        """
        what = f"{self.service.name}.{self.name}: the var {name!r}"
        _require_name(name, f"{self.service.name}.{self.name}: var")
        for other in (other for role in self.service.roles.values() for other in role.vars):
            if other.casefold() == name.casefold():  # some file systems take the two for one folder
                also = "" if other == name else f", for {other!r} differs from it only in case"
                raise ContractError(f"{self.service.name} declares the var {name!r} twice{also}")
        _require_generator(generator, what)
        if not isinstance(binds, str):
            raise ContractError(f"{what}: binds is {binds!r}; say in words what would be lost with it")
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
        """Marks the step that publishes data of this interface for every member.

        Args:
            interface: Of what it publishes.
            needs: Vars of this service and interfaces: the function may read these, and no others.

        Raises:
            ContractError: When the interface is none, or a need is anything else.
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
        """Marks the function that yields what a member's machine must have: ``@role.configure``."""
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
        """Marks the function that yields the commands that show that a member works: ``@role.check``.

        Args:
            function: The function.
            peers: Whether all its checks need other machines, as ``Check(…, peers=True)`` says of a single one:
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
        maximum_instances: Most instances with members that an inventory may have of it, or None.
    """

    name: str
    description: str
    maximum_instances: int | None = None
    roles: dict[str, Role[Any]] = field(default_factory=dict, init=False)
    machine_configurers: list[Callable[[Any], Iterable[Resource]]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        _require_name(self.name, "service")
        if self.maximum_instances is not None and self.maximum_instances < 1:
            raise ContractError(f"{self.name}: at most {self.maximum_instances} instances are none")

    def role(
        self,
        name: str,
        settings: type[SettingsT] = NoSettings,  # type: ignore[assignment]  # a default for a type variable
        *,
        description: str,
        minimum: int = 0,
        maximum: int | None = None,
        excludes: Iterable[Role[Any]] = (),
    ) -> Role[SettingsT]:
        """Declares a role. Machines of earlier roles switch before those of later ones.

        Args:
            name: Its name in the inventory.
            settings: The model of its settings.
            description: One sentence.
            minimum: Fewest machines that must play it in an instance that has members.
            maximum: Most machines that may.
            excludes: Roles declared before that no machine may play beside this one in the same instance.

        Raises:
            ContractError: When the name is taken or no name, the settings are no model of settings, the bounds exclude
                every number, or an excluded role is none of this service.
        """
        _require_name(name, f"{self.name}: role")
        if name in self.roles:
            raise ContractError(f"{self.name} declares the role {name!r} twice")
        if minimum < 0 or (maximum is not None and maximum < minimum):
            raise ContractError(f"{self.name}.{name}: no number of machines is at least {minimum}, at most {maximum}")
        _require_settings(settings, f"{self.name}.{name}")
        role = Role(self, name, settings, description, minimum, maximum)
        for other in excludes:
            if getattr(other, "service", None) is not self:
                raise ContractError(f"{self.name}.{name} excludes {_named(other)}, which is no role of {self.name}")
            role.excluded.add(other.name)
            other.excluded.add(name)
        self.roles[name] = role
        return role

    def machine(
        self, function: Callable[[tuple[Member[Any], ...]], Iterable[Resource]] = _NOTHING
    ) -> Callable[[tuple[Member[Any], ...]], Iterable[Resource]]:
        """Marks a function that gets all members of this service on one machine, once, whatever their roles."""
        self.machine_configurers.append(_function(function, f"{self.name}: machine", "@service.machine"))
        return function


def _readable(needs: Iterable[Need], service: Service, what: str) -> tuple[Need, ...]:
    needed = tuple(needs)
    for need in needed:
        if isinstance(need, Var) and need.role.service is service:
            continue
        if not (isinstance(need, type) and issubclass(need, Interface)):
            raise ContractError(
                f"{what} needs {_named(need)}; what a step can read is vars of its own service and interfaces"
            )
        _require_interface(need, what)
    return needed


def _require_scope(var: Var[Any], what: str) -> None:
    if var.scope not in _WIDER:
        raise ContractError(f"{what} has the scope {var.scope!r}; there are: {', '.join(_WIDER)}")
    if var.scope != "instance" and var.validation:
        raise ContractError(f"{what} belongs to several members, so no member's settings say what it is made for")
    for need in var.needs:
        if isinstance(need, Var) and need.role is var.role and need.scope not in _WIDER[var.scope]:
            raise ContractError(f"{what} is made once for several members, and needs {_named(need)}, which each has")


def _require_deliveries(var: Var[Any], what: str) -> None:
    secrets = {file.name: file.secret for file in var.generator.files}
    for name, delivery in var.deliver.items():
        if name not in secrets:
            raise ContractError(f"{what} delivers {name!r}; its files are: {', '.join(secrets)}")
        if not isinstance(delivery, Delivery):
            raise ContractError(f"{what} delivers {name!r} by {_named(delivery)}, which is no Delivery")
        try:  # what a machine would refuse is refused here
            secret = Secret("x", name, "")
            File(secret.path, secret if secrets[name] else "", **asdict(delivery))
        except ValueError as error:
            raise ContractError(f"{what} delivers {name!r}: {error}") from None


def _require_settings(settings: object, what: str) -> None:
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        raise ContractError(f"{what}: its settings are {_named(settings)}, which is no class below Settings")


def _require_interface(interface: object, what: str) -> None:
    if inspect.isfunction(interface):
        raise ContractError(
            f"{what}: write `@role.exports(INTERFACE)`, with the interface of what {_named(interface)} yields"
        )
    if not (isinstance(interface, type) and issubclass(interface, Interface)) or interface is Interface:
        raise ContractError(f"{what}: {_named(interface)} is no interface: a class of its own, below Interface")
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
        raise ContractError(f"{what} is made by {_named(generator)}, which is no generator (files, generate, view)")
    _function(generator.generate, f"{what}: generate of {_named(generator)}")  # type: ignore[attr-defined]
    if len({file.name.casefold() for file in files}) < len(files):
        raise ContractError(f"{what} has two files of one name")
    prompts = getattr(generator, "prompts", ())
    if not (isinstance(prompts, tuple) and all(isinstance(prompt, Prompt) for prompt in prompts)):
        raise ContractError(f"{what} has prompts that are no tuple of Prompt")
    for prompt in prompts:
        _require_name(prompt.name, f"{what}: prompt")
    if len({prompt.name for prompt in prompts}) < len(prompts):
        raise ContractError(f"{what} has two prompts of one name")


def _function(function: FunctionT, what: str, decorator: str = "") -> FunctionT:
    """The function, when it can be called with one argument and yields or returns what it gives."""
    if function is _NOTHING:
        raise ContractError(f"{what}: write `{decorator}` without parentheses")
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        raise ContractError(f"{what} takes a function of one argument, not {_named(function)}") from None
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ContractError(f"{what} takes a plain function, and {_named(function)} is async")
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
        raise ContractError(f"{what}: {name!r} is no name (letters, digits, _ and -)")
