"""The data that members can read of one another, and the view of it that each step gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

from rolecall.model.generators import NotDeclaredError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from rolecall.model.exports import Exported, Interface, InterfaceT
    from rolecall.model.vars import StoredVar, VarKey

FILTERS = ("machine", "instance", "role", "service")  # of exports, each by a value or None for any
Read = tuple[Any, ...]  # the name of a method of World, and its arguments


class NotMadeError(BaseException):
    """Service code read a var that does not exist yet, in a run that makes none.

    A `BaseException`, so that no service's `except Exception` stops it.
    """


@dataclass(frozen=True, slots=True)
class Host:
    """How other machines reach a machine, as declared.

    Attributes:
        address: Name or address under which other machines reach it.
        host_keys: Its pinned SSH host keys, each ``TYPE BASE64``, sorted.
        port: Port of its SSH server.
        declared_at: Key path in the inventory of what says the address; () if nothing does.
        problem: Why other machines cannot be given the address, or "".
    """

    address: str
    host_keys: tuple[str, ...] = ()
    port: int = 22
    declared_at: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that members can read of one another: one object for an evaluation.

    It only grows, and what was read once never changes: a var or an interface is complete before any step reads it.

    Attributes:
        members: Final settings by instance and role, then by machine, sorted.
        hosts: By machine.
        vars: Stored or pending vars.
        exports: By interface, each from `publish`.
        unmade: Vars that are wanted but do not exist, in a run that makes none: a step that reads one ends there.
        withheld: By interface, the members that could not publish it for lack of those, each by its `FILTERS`.
        queries: Every query for exports, answered or not: `published` with its arguments.
        values: A cache for `Member`: in a mesh every member reads the vars of all others.
        data_names: The names under which instances keep data, where these are not their own.
    """

    members: Mapping[tuple[str, str], Mapping[str, Any]]
    hosts: Mapping[str, Host]
    vars: dict[VarKey, StoredVar] = field(default_factory=dict)
    exports: dict[type[Interface], Sequence[Exported[Any]]] = field(default_factory=dict)
    unmade: set[VarKey] = field(default_factory=set)
    withheld: dict[type[Interface], list[tuple[str, ...]]] = field(default_factory=dict)
    queries: set[Read] = field(default_factory=set)
    values: dict[tuple[Any, ...], tuple[Read, StoredVar | None, Any]] = field(default_factory=dict)
    data_names: Mapping[str, str] = field(default_factory=dict)
    _index: dict[tuple[Any, ...], dict[Any, tuple[Exported[Any], ...]]] = field(default_factory=dict)

    def publish(self, interface: type[InterfaceT], exports: Iterable[Exported[InterfaceT]]) -> None:
        """Add all exports of an interface, at once."""
        self.exports[interface] = tuple(
            sorted(exports, key=lambda export: (export.machine, export.instance, export.role))
        )

    def published(self, interface: type[InterfaceT], *filters: str | None) -> Sequence[Exported[InterfaceT]]:
        """Return the exports of an interface, in a time that does not depend on how many there are.

        Args:
            interface: The interface.
            filters: A value for each of `FILTERS`, None for any.

        Raises:
            NotMadeError: When one of them is withheld.
        """
        for publisher in self.withheld.get(interface, ()):
            if all(value in {None, own} for value, own in zip(filters, publisher, strict=True)):
                raise NotMadeError
        self.queries.add(("published", interface, *filters))
        exports: Sequence[Exported[Any]] = self.exports.get(interface, ())
        chosen = tuple(name for name, value in zip(FILTERS, filters, strict=True) if value is not None)
        if not (chosen and exports):
            return exports
        if (groups := self._index.get((interface, chosen))) is None:
            key = attrgetter(*chosen)
            lists: dict[Any, list[Exported[Any]]] = {}
            for export in exports:
                lists.setdefault(key(export), []).append(export)
            groups = {value: tuple(each) for value, each in lists.items()}
            self._index[interface, chosen] = groups  # only now: another thread may look
        values = tuple(value for value in filters if value is not None)
        return groups.get(values if len(values) > 1 else values[0], ())

    def host(self, machine: str) -> Host | None:
        """Return how a machine is reached; None when it is not declared."""
        return self.hosts.get(machine)

    def address(self, machine: str) -> str | None:
        """Return the address of a machine; None when it is not declared."""
        host = self.hosts.get(machine)
        return host.address if host else None

    def data_name(self, instance: str) -> str:
        """Return the name under which an instance keeps data."""
        return self.data_names.get(instance, instance)

    def var(self, key: VarKey) -> StoredVar | None:
        """Return a var; None when nothing declares it.

        Raises:
            NotMadeError: When it is `unmade`.
        """
        if key in self.unmade:
            raise NotMadeError
        return self.vars.get(key)

    def answer(self, read: Read) -> object:
        """Return what this world answers to a read of an earlier one."""
        name, *arguments = read
        return getattr(self, name)(*arguments)


class View:
    """The world as one step sees it: limited to the needs that the step declares, with a record of what it read.

    Each step has a view of its own, so steps can run inside one another and in threads.

    Args:
        world: What is read.
        needs: The vars and interfaces that can be read; None for all.

    Attributes:
        world: The same.
        needs: The same.
        reads: What was read, with the answers.
        members: A cache for `Member`: those that see the world through this view, by instance and role, then machine.
        sequences: The same: all members of a role.
    """

    __slots__ = ("members", "needs", "reads", "sequences", "world")

    def __init__(self, world: World, needs: Container[object] | None = None) -> None:
        self.world = world
        self.reads: dict[Read, object] = {}
        self.members: dict[tuple[str, str], dict[str, Any]] = {}
        self.sequences: dict[tuple[str, str], Sequence[Any]] = {}
        self.needs = needs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Empty the caches, so that view and members, which refer to one another, are freed at once."""
        self.members.clear()
        self.sequences.clear()

    def require(self, need: object, what: str) -> None:
        """Refuse a read that the step did not declare, so that nothing depends on the order of steps.

        Raises:
            NotDeclaredError: When it is none of the needs.
        """
        if self.needs is not None and need not in self.needs:
            raise NotDeclaredError(f"this step reads {what} and does not declare it in its needs=")

    def published(self, interface: type[InterfaceT], *filters: str | None) -> Sequence[Exported[InterfaceT]]:
        """Return exports as `World.published` does."""
        exports = self.world.published(interface, *filters)
        self.reads["published", interface, *filters] = exports
        return exports

    def host(self, machine: str) -> Host:
        """Return how a declared machine is reached."""
        host = self.reads["host", machine] = self.world.hosts[machine]
        return host

    def address(self, machine: str) -> str:
        """Return the address of a declared machine."""
        address = self.reads["address", machine] = self.world.hosts[machine].address
        return address

    @property
    def addresses(self) -> tuple[str, ...]:
        """The machines whose addresses were read."""
        return tuple(read[1] for read in self.reads if read[0] == "address")

    def data_name(self, instance: str) -> str:
        """Return the name under which an instance keeps data."""
        name = self.reads["data_name", instance] = self.world.data_name(instance)
        return name

    def var(self, key: VarKey) -> StoredVar | None:
        """Return a var as `World.var` does."""
        stored = self.reads["var", key] = self.world.var(key)
        return stored
