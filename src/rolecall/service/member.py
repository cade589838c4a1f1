"""A member as service code sees it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rolecall.model.generators import NotDeclaredError
from rolecall.model.vars import NEXT, OLD, VarKey, slot
from rolecall.service.contract import SettingsT, Var
from rolecall_agent.content import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rolecall.model.exports import Exported, Interface, InterfaceT
    from rolecall.model.vars import StoredVar
    from rolecall.service.contract import Need, Role
    from rolecall.service.settings import SecretRef

OtherT = TypeVar("OtherT")
Filter = tuple["str | None", "str | None", "str | None", "str | None"]  # as FILTERS, each None for any
FILTERS = ("machine", "instance", "role", "service")
Question = tuple[Any, ...]  # the name of a method of World, and its arguments


class NotMadeError(BaseException):
    """Service code read what is not made yet, where nothing is to be made. No service's `except Exception` stops it."""


@dataclass(frozen=True, slots=True)
class Host:
    """What is declared of a machine for others to reach it.

    Attributes:
        address: Name or address under which other machines reach it.
        host_keys: Its pinned SSH host keys, each ``TYPE BASE64``, sorted.
        port: Where its SSH server listens.
    """

    address: str
    host_keys: tuple[str, ...] = ()
    port: int = 22


@dataclass(slots=True)
class World:
    """Everything that members may read of one another. One object, shared by all members of an evaluation.

    Attributes:
        members: By instance and role, sorted by machine.
        hosts: By machine.
        vars: Complete before any step or `configure` reads them.
        exports: By interface, each from `publish`; likewise.
        unmade: Vars that are wanted and not made, where nothing is to be made: whoever reads one goes no further.
        withheld: By interface, who could not publish for lack of those, each by the values of `FILTERS`.
    """

    members: Mapping[tuple[str, str], Sequence[Member[Any]]]
    hosts: Mapping[str, Host]
    vars: dict[VarKey, StoredVar] = field(default_factory=dict)
    exports: dict[type[Interface], Sequence[Exported[Any]]] = field(default_factory=dict)
    unmade: set[VarKey] = field(default_factory=set)
    withheld: dict[type[Interface], list[tuple[str, ...]]] = field(default_factory=dict)
    _index: dict[tuple[Any, ...], dict[Any, list[Exported[Any]]]] = field(default_factory=dict)
    _needs: tuple[Need, ...] | None = None
    _heard: dict[Question, object] | None = None

    def publish(self, interface: type[InterfaceT], exports: Iterable[Exported[InterfaceT]]) -> None:
        """Everything that there is of an interface, at once; from then on members see it."""
        self.exports[interface] = sorted(exports, key=lambda export: (export.machine, export.instance, export.role))

    def published(self, interface: type[InterfaceT], *wanted: str | None) -> Sequence[Exported[InterfaceT]]:
        """What is published of an interface; found at once, however much there is.

        Args:
            interface: The interface.
            wanted: A value for each of `FILTERS`, None for any.

        Raises:
            NotMadeError: When something of it is withheld.
        """
        for lacking in self.withheld.get(interface, ()):
            if all(value in {None, own} for value, own in zip(wanted, lacking, strict=True)):
                raise NotMadeError
        chosen = tuple(name for name, value in zip(FILTERS, wanted, strict=True) if value is not None)
        found: Sequence[Exported[Any]] = self.exports.get(interface, ())
        if chosen and found:
            key = attrgetter(*chosen)
            if (interface, chosen) not in self._index:
                groups = self._index[interface, chosen] = {}
                for export in found:
                    groups.setdefault(key(export), []).append(export)
            values = tuple(value for value in wanted if value is not None)
            found = self._index[interface, chosen].get(values if len(values) > 1 else values[0], ())
        if self._heard is not None:
            self._heard["published", interface, *wanted] = found
        return found

    def host(self, machine: str) -> Host:
        """What is declared of a machine."""
        found = self.hosts[machine]
        if self._heard is not None:
            self._heard["host", machine] = found
        return found

    def var(self, key: VarKey) -> StoredVar | None:
        """A var as it is stored, if it is.

        Raises:
            NotMadeError: When it is `unmade`.
        """
        if key in self.unmade:
            raise NotMadeError
        found = self.vars.get(key)
        if self._heard is not None:
            self._heard["var", key] = found
        return found

    def reread(self, var: Var[Any], key: VarKey) -> None:
        """As `require` and `var`, for what a member has read before."""
        if self._needs is not None:
            self.require(var, f"the var {var.name!r}")
        if self._heard is not None:
            self._heard["var", key] = self.vars.get(key)

    @contextmanager
    def listening(self) -> Iterator[dict[Question, object]]:
        """Gives what members ask of the world while the block runs, with the answers."""
        outer = self._heard
        heard: dict[Question, object] = {}
        self._heard = heard
        try:
            yield heard
        finally:
            self._heard = outer
            if outer is not None:
                outer |= heard

    def answer(self, question: Question) -> object:
        """What the world says now to a question of an earlier one; None for a machine that is gone."""
        name, *arguments = question
        return self.hosts.get(*arguments) if name == "host" else getattr(self, name)(*arguments)

    @contextmanager
    def limited(self, needs: tuple[Need, ...]) -> Iterator[None]:
        """While a step runs, its members see the vars and exports that it declares to need, and no others."""
        self._needs = needs
        try:
            yield
        finally:
            self._needs = None

    def require(self, need: Need | SecretRef, what: str) -> None:
        """Lets a step read only what it declared, so that nothing depends on the order of steps.

        Raises:
            NotDeclaredError: When the step that runs did not declare it.
        """
        if self._needs is not None and need not in self._needs:
            raise NotDeclaredError(f"this step reads {what} and does not declare it in its needs=")


class Member(Generic[SettingsT]):
    """One machine in one role of one instance, with its final settings.

    Attributes:
        machine: The machine's name.
        instance: The instance's name.
        role: The role's name.
        settings: Merged and validated.
    """

    __slots__ = ("_views", "_world", "instance", "machine", "role", "settings")

    def __init__(self, world: World, instance: str, role: str, machine: str, settings: SettingsT) -> None:
        self._world = world
        self._views: dict[Var[Any], tuple[VarKey, Any]] = {}  # in a mesh every member reads everybody's
        self.instance = instance
        self.role = role
        self.machine = machine
        self.settings = settings

    def __repr__(self) -> str:
        return f"<Member {self.instance}.{self.role}.{self.machine}>"

    def name(self, suffix: str) -> str:
        """A name on the machine that no other instance uses, e.g. a unit's: ``rolecall-INSTANCE.SUFFIX``.

        Instance names hold no dot, so two instances never meet.
        """
        return f"rolecall-{self.instance}.{suffix}"

    def path(self, name: str) -> str:
        """A path on the machine that no other instance uses: ``/etc/rolecall/INSTANCE/NAME``."""
        return f"/etc/rolecall/{self.instance}/{name}"

    @property
    def address(self) -> str:
        """Name or address under which other machines reach this one."""
        return self._world.host(self.machine).address

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The machine's pinned SSH host keys, each ``TYPE BASE64``."""
        return self._world.host(self.machine).host_keys

    @property
    def port(self) -> int:
        """Where the machine's SSH server listens."""
        return self._world.host(self.machine).port

    def members(self, role: Role[OtherT]) -> Sequence[Member[OtherT]]:  # type: ignore[type-var]
        """All members of a role of this instance, sorted by machine; a shared sequence, never copied."""
        return self._world.members.get((self.instance, role.name), ())

    def exports(
        self,
        interface: type[InterfaceT],
        *,
        machine: str | None = None,
        instance: str | None = None,
        role: str | None = None,
        service: str | None = None,
    ) -> Sequence[Exported[InterfaceT]]:
        """What is published of an interface, sorted by machine; by everybody, or where all that is named fits.

        Raises:
            NotDeclaredError: When a step that publishes something did not declare to need the interface.
        """
        self._world.require(interface, f"exports of {interface.__name__}")
        return self._world.published(interface, machine, instance, role, service)

    def secret(self, reference: SecretRef) -> Secret:
        """The secret that a setting names: a var of this machine, or one that all machines share.

        Raises:
            NotDeclaredError: When there is none, or a step that publishes something asks: it publishes no secrets.
        """
        self._world.require(reference, f"the secret {reference.place!r}")
        for machine in (self.machine, ""):
            stored = self._world.var(VarKey(machine, reference.name)) or {}
            if (file := stored.get(reference.file)) and file.secret:
                return Secret(reference.name, reference.file, file.version)
        raise NotDeclaredError(f"{self!r} has no secret {reference.place!r}")

    def __getitem__(self, var: Var[OtherT]) -> OtherT:
        """This member's value of a var: public parts as text, secret parts as references.

        Raises:
            NotDeclaredError: When the member's role does not have that var, or the step does not declare to need it.
        """
        known = self._views.get(var)
        if known is None:
            if not isinstance(var, Var):
                raise NotDeclaredError(f"{var!r} is not a var: write `me[HANDLE]` with what `role.var(…)` returns")
            view = var.generator.view(self.files(var))
            self._views[var] = (var.key(self.instance, self.machine), view)
            return view
        key, view = known
        self._world.reread(var, key)
        return view

    def accepted(self, var: Var[OtherT]) -> Sequence[OtherT]:
        """All values of a var that peers must let in now: the one in use, and while it is made anew the other one.

        Raises:
            NotDeclaredError: As for ``me[var]``; and when the var is not declared as ``accepted=True``.
        """
        if not var.accepted:
            raise NotDeclaredError(f"the var {var.name!r} is not declared as accepted=True")
        return [var.generator.view(files) for prefix in ("", NEXT, OLD) if (files := self.files(var, prefix))]

    def files(self, var: Var[Any], prefix: str = "") -> Mapping[str, str | Secret]:
        """The files of a var, by name, of the value in use or of another one; see `__getitem__`."""
        if self.role != var.role.name:
            raise NotDeclaredError(f"{self!r} has no var {var.name!r}: it belongs to the role {var.role.name!r}")
        key = var.key(self.instance, self.machine)
        self._world.require(var, f"the var {var.name!r}")
        stored = self._world.var(key)
        if stored is None:
            raise NotDeclaredError(f"{self!r} has no var {var.name!r}: no service of {self.instance!r} declares it")
        return {
            file: Secret(key.name, prefix + file, value.version) if value.secret else value.public
            for file, value in slot(stored, prefix).items()
        }

    def var_path(self, var: Var[Any], file: str) -> str:
        """Where a file of a var stands on the machine (a tmpfs) that its role delivers, or `secret_file` yields."""
        return Secret(var.key(self.instance, self.machine).name, file, "").path
