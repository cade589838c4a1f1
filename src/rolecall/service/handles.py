"""Handles to what a service declares: its vars, and of its roles what members and vars need to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from rolecall.model.exports import Interface
from rolecall.model.vars import VarKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolecall.model.generators import Generator
    from rolecall.model.recipes import Delivery

SettingsT_co = TypeVar("SettingsT_co", covariant=True)
ValuesT = TypeVar("ValuesT")

Scope = Literal["instance", "machine", "shared"]
"""Each member of an instance; each machine, in all instances of the service; all members of an instance together."""


class ServiceHandle(Protocol):
    """A service, for its name: `rolecall.service.contract.Service`."""

    @property
    def name(self) -> str:
        """The module's name."""


@runtime_checkable
class RoleHandle(Protocol[SettingsT_co]):
    """A role, for its name and the type of its settings: `rolecall.service.contract.Role`."""

    @property
    def service(self) -> ServiceHandle:
        """The service it belongs to."""

    @property
    def name(self) -> str:
        """Its name in the inventory."""

    @property
    def settings(self) -> type[SettingsT_co]:
        """The model of its settings."""


@dataclass(frozen=True, eq=False, slots=True)
class Var(Generic[ValuesT]):
    """A handle to a var that every member of a role has: ``me[handle]``.

    Attributes:
        role: The role that declared it.
        name: Unique in the service, but several roles can declare the same var of the machine. The var of a member is
            called ``INSTANCE.NAME``.
        generator: How it is generated.
        needs: What must exist before it is generated: all that its generator can read (see `Context`).
        validation: Returns, from a member's settings, what the value is generated for, as data that JSON can hold.
        instance_validation: Likewise for a shared var, from the settings of all members, by role and machine.
        binds: What would be lost with it, e.g. ``"the repositories are encrypted with it"``; "" when nothing.
        scope: Who shares one value.
        deliver: The files that are installed on the machines of the role, by name; others only where the service
            yields them.
        accepted: Whether peers accept all values that `Member.accepted` returns, so that it can be rotated without a
            gap.
        extends: Whether its generator makes a new value out of the earlier one (`Context.earlier`).
    """

    role: RoleHandle[Any]
    name: str
    generator: Generator[ValuesT]
    needs: tuple[Need, ...] = ()
    validation: Callable[[Any], object] | None = None
    instance_validation: Callable[[Mapping[str, Mapping[str, Any]]], object] | None = None
    binds: str = ""
    scope: Scope = "instance"
    deliver: Mapping[str, Delivery] = field(default_factory=dict)
    accepted: bool = False
    extends: bool = False

    def key(self, instance: str, machine: str) -> VarKey:
        """Return the key of the var that a member has."""
        match self.scope:
            case "instance":
                return VarKey(machine, f"{instance}.{self.name}")
            case "machine":
                return VarKey(machine, f"{self.role.service.name}.{self.name}")
            case "shared":
                return VarKey("", f"{instance}.{self.name}")


Need = Var[Any] | type[Interface]
"""What a step can declare to read: a var of its service, or the exports of an interface."""
