"""A member as service code sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rolecall.model.vars import VarKey
from rolecall.service.contract import InterfaceT, SettingsT
from rolecall_agent.content import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.model.vars import StoredVar
    from rolecall.service.contract import Interface, Role, Var

OtherT = TypeVar("OtherT")


@dataclass(frozen=True, slots=True)
class Host:
    """What is declared of a machine for others to reach it.

    Attributes:
        address: Name or address under which other machines reach it.
        host_keys: Its pinned SSH host keys, each ``TYPE BASE64``, sorted.
    """

    address: str
    host_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported(Generic[InterfaceT]):
    """Data that somebody published.

    Attributes:
        value: The data.
        machine: The machine whose member published it.
        instance: The instance, or "" when the machine itself declares it in the inventory.
        role: The role, or "" likewise.
    """

    value: InterfaceT
    machine: str
    instance: str = ""
    role: str = ""


@dataclass(slots=True)
class World:
    """Everything that members may read of one another. One object, shared by all members of an evaluation.

    Attributes:
        members: By instance and role, sorted by machine.
        hosts: By machine.
        vars: What is made so far; complete before any `configure` runs.
        exports: What is published so far, by interface; likewise.
    """

    members: Mapping[tuple[str, str], Sequence[Member[Any]]]
    hosts: Mapping[str, Host]
    vars: dict[VarKey, StoredVar] = field(default_factory=dict)
    exports: dict[type[Interface], list[Exported[Any]]] = field(default_factory=dict)


class NotDeclaredError(Exception):
    """Service code asked for what its step did not declare or what no member has."""


class Member(Generic[SettingsT]):
    """One machine in one role of one instance, with its final settings.

    Attributes:
        machine: The machine's name.
        instance: The instance's name.
        role: The role's name.
        settings: Merged and validated.
    """

    __slots__ = ("_world", "instance", "machine", "role", "settings")

    def __init__(self, world: World, instance: str, role: str, machine: str, settings: SettingsT) -> None:
        self._world = world
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
        return self._world.hosts[self.machine].address

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The machine's pinned SSH host keys, each ``TYPE BASE64``."""
        return self._world.hosts[self.machine].host_keys

    def members(self, role: Role[OtherT]) -> Sequence[Member[OtherT]]:  # type: ignore[type-var]
        """All members of a role of this instance, sorted by machine; a shared sequence, never copied."""
        return self._world.members.get((self.instance, role.name), ())

    def exports(
        self, interface: type[InterfaceT], *, machine: str | None = None, instance: str | None = None
    ) -> list[Exported[InterfaceT]]:
        """What is published of an interface, by anybody, or by one machine or instance alone."""
        return [
            export
            for export in self._world.exports.get(interface, ())
            if (machine is None or export.machine == machine) and (instance is None or export.instance == instance)
        ]

    def __getitem__(self, var: Var[OtherT]) -> OtherT:
        """This member's value of a var: public parts as text, secret parts as references.

        Raises:
            NotDeclaredError: When the member's role does not have that var, or it is not made yet at this step.
        """
        if self.role != var.role.name:
            raise NotDeclaredError(f"{self!r} has no var {var.name!r}: it belongs to the role {var.role.name!r}")
        name = f"{self.instance}.{var.name}"
        try:
            stored = self._world.vars[VarKey(self.machine, name)]
        except KeyError:
            raise NotDeclaredError(
                f"{name!r} of {self.machine} is not made at this step; declare it in the step's needs="
            ) from None
        return var.generator.view(
            {
                file: Secret(f"{name}", file, value.version) if value.secret else value.public
                for file, value in stored.items()
            }
        )
