"""A member as service code sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rolecall.errors import nearest
from rolecall.model.frozen import frozen
from rolecall.model.generators import NotDeclaredError
from rolecall.model.vars import NEXT, OLD, VarKey, slot
from rolecall.service.handles import Var
from rolecall.service.interfaces import Network
from rolecall.service.settings import Settings
from rolecall_agent.content import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.model.exports import Exported, InterfaceT
    from rolecall.model.world import View
    from rolecall.service.handles import RoleHandle, ValuesT
    from rolecall.service.settings import SecretRef

SettingsT = TypeVar("SettingsT", bound=Settings)
PeerT = TypeVar("PeerT", bound=Settings)


class Member(Generic[SettingsT]):
    """One machine in one role of one instance, with its final settings.

    Attributes:
        machine: The machine's name.
        instance: The instance's name.
        role: The role's name.
        settings: Merged and validated.
    """

    __slots__ = ("_view", "instance", "machine", "role", "settings")

    def __init__(self, view: View, instance: str, role: str, machine: str, settings: SettingsT) -> None:
        self._view = view
        self.instance = instance
        self.role = role
        self.machine = machine
        self.settings = settings

    def __repr__(self) -> str:
        return f"<Member {self.instance}.{self.role}.{self.machine}>"

    def name(self, suffix: str) -> str:
        """Return a name that no other instance uses on the machine, e.g. a unit's: ``rolecall-INSTANCE.SUFFIX``.

        Instance names hold no dot, so two instances never meet.
        """
        return f"rolecall-{self.instance}.{suffix}"

    def path(self, name: str) -> str:
        """Return a path that no other instance uses on the machine: ``/etc/rolecall/INSTANCE/NAME``."""
        return f"/etc/rolecall/{self.instance}/{name}"

    @property
    def data_name(self) -> str:
        """The name under which the instance keeps data on machines: the one that it had before it was renamed.

        No two instances have the same. Use it for paths whose content must outlive a rename, such as repositories.
        """
        return self._view.data_name(self.instance)

    @property
    def address(self) -> str:
        """Name or address under which other machines reach this one."""
        return self._view.address(self.machine)

    def address_in(self, network: str | None) -> str:
        """Return the name or address under which other members of a network reach this machine.

        Args:
            network: An instance that publishes `Network` for its members; None for `address`.

        Raises:
            ValueError: When the machine is not in the network.
        """
        return self.address if network is None else self._in(network).address

    def port_in(self, network: str | None) -> int:
        """Return the port of the machine's SSH server in a network; as `address_in`."""
        return (self._in(network).port if network is not None else 0) or self.port

    def _in(self, network: str) -> Network:
        found = self.exports(Network, machine=self.machine, instance=network)
        if not found and self.exports(Network, instance=network):
            raise ValueError(f"{self.machine} is not in the network {network!r}; give it a role there")
        if not found:
            names = sorted({export.instance for export in self.exports(Network)})
            raise ValueError(f"{network!r} is not a network; {nearest(network, names, what='networks')}")
        return found[0].value

    @property
    def host_keys(self) -> tuple[str, ...]:
        """The machine's pinned SSH host keys, each ``TYPE BASE64``."""
        return self._view.host(self.machine).host_keys

    @property
    def port(self) -> int:
        """Port of the machine's SSH server."""
        return self._view.host(self.machine).port

    def members(self, role: RoleHandle[PeerT]) -> Sequence[Member[PeerT]]:
        """Return all members of a role of this instance, sorted by machine."""
        return members_of(self._view, self.instance, role.name)

    def exports(
        self,
        interface: type[InterfaceT],
        *,
        machine: str | None = None,
        instance: str | None = None,
        role: str | None = None,
        service: str | None = None,
    ) -> Sequence[Exported[InterfaceT]]:
        """Return the exports of an interface, sorted by machine: all, or those that match every argument given.

        Raises:
            NotDeclaredError: When a step that publishes something did not declare to need the interface.
        """
        self._view.require(interface, f"exports of {interface.__name__}")
        return self._view.published(interface, machine, instance, role, service)

    def secret(self, reference: SecretRef) -> Secret:
        """Return the secret that a setting names: of a var of this machine, or of one that all machines share.

        Raises:
            NotDeclaredError: When it does not exist, or in a step that publishes something: exports are public.
        """
        self._view.require(reference, f"the secret {reference.place!r}")
        for machine in (self.machine, ""):
            stored = self._view.var(VarKey(machine, reference.name)) or {}
            if (file := stored.get(reference.file)) and file.secret:
                return Secret(reference.name, reference.file, file.version)
        raise NotDeclaredError(f"{self!r} has no secret {reference.place!r}")

    def __getitem__(self, var: Var[ValuesT]) -> ValuesT:
        """Return this member's value of a var: public parts as text, secret parts as references.

        Raises:
            NotDeclaredError: When the member's role does not have that var, or the step does not declare to need it.
        """
        view, world, name = self._view, self._view.world, (var, self.instance, self.role, self.machine)
        if name in world.values:
            if view.needs is not None:
                view.require(var, f"the var {var.name!r}")
        else:
            if not isinstance(var, Var):
                raise NotDeclaredError(f"{var!r} is not a var: write `me[HANDLE]` with what `role.var(…)` returns")
            value, key = frozen(var.generator.view(self.files(var))), var.key(self.instance, self.machine)
            world.values[name] = (("var", key), world.vars[key], value)
        known: ValuesT
        read, stored, known = world.values[name]
        view.reads[read] = stored
        return known

    def accepted(self, var: Var[ValuesT]) -> Sequence[ValuesT]:
        """Return all values of a var that peers must accept now: the current one and, during a rotation, the other one.

        Raises:
            NotDeclaredError: As for ``me[var]``; and when the var is not declared as ``accepted=True``.
        """
        if not var.accepted:
            raise NotDeclaredError(f"the var {var.name!r} is not declared as accepted=True")
        return [var.generator.view(files) for prefix in ("", NEXT, OLD) if (files := self.files(var, prefix))]

    def files(self, var: Var[Any], prefix: str = "") -> Mapping[str, str | Secret]:
        """Return the files of a var by name: of the current value, or of the one in the slot `prefix`."""
        if self.role != var.role.name:
            raise NotDeclaredError(f"{self!r} has no var {var.name!r}: it belongs to the role {var.role.name!r}")
        key = var.key(self.instance, self.machine)
        self._view.require(var, f"the var {var.name!r}")
        stored = self._view.var(key)
        if stored is None:
            raise NotDeclaredError(f"{self!r} has no var {var.name!r}: no service of {self.instance!r} declares it")
        return {
            file: Secret(key.name, prefix + file, value.version) if value.secret else value.public
            for file, value in slot(stored, prefix).items()
        }

    def var_path(self, var: Var[Any], file: str) -> str:
        """Return the path on the machine (a tmpfs) of a file that the var's role delivers or `secret_file` yields."""
        return Secret(var.key(self.instance, self.machine).name, file, "").path


def member_of(view: View, instance: str, role: str, machine: str) -> Member[Any]:
    """Return the member that sees the world through a view; there is one object for each."""
    members = view.members.setdefault((instance, role), {})
    if machine not in members:
        settings = view.world.members[instance, role][machine]
        members[machine] = Member(view, instance, role, machine, settings)
    member: Member[Any] = members[machine]
    return member


def members_of(view: View, instance: str, role: str) -> Sequence[Member[Any]]:
    """Return all members of a role, sorted by machine, each as `member_of` does."""
    key = (instance, role)
    if (sequence := view.sequences.get(key)) is None:
        known, world = view.members.get(key, {}), view.world
        members = view.members[key] = {
            machine: known.get(machine) or Member(view, instance, role, machine, settings)
            for machine, settings in world.members.get(key, {}).items()
        }
        sequence = view.sequences[key] = tuple(members.values())
    return sequence
