"""What every kind of resource answers: the only questions that the rest of the agent asks about one."""
# ruff: noqa: B027 - what does nothing by default

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import (
    TYPE_CHECKING,
    AbstractSet,
    Any,
    Callable,
    ClassVar,
    Container,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from rolecall_agent.content import Part, Secret
from rolecall_agent.originals import with_known_owner

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.protocol import ChangeAction
    from rolecall_agent.system import System
    from rolecall_agent.work import Surroundings

ABSENT = "absent"
"""The reason to change of something that does not exist yet."""

Captured = Dict[str, Any]
"""What was in the place of a resource, as JSON; ``{"type": "absent"}`` for nothing."""

Report = Callable[[str, str], None]


class Resource(ABC):
    """One thing that a machine must have. Each kind is a frozen dataclass in a module of this package.

    Attributes:
        kind: Name of the kind, in keys and in encoded configurations.
        follows_links: Whether it changes what a link at its path leads to, and not the link.
    """

    __dataclass_fields__: ClassVar[Dict[str, Any]]
    kind: ClassVar[str]
    follows_links: ClassVar[bool] = False

    @property
    def interrupts(self) -> bool:
        """Whether units that are to stop must do so before it is applied."""
        return True

    @property
    @abstractmethod
    def key(self) -> str:
        """Its name among all resources of a machine: ``KIND:NAME``."""

    @property
    def parts(self) -> Tuple[Part, ...]:
        """The contents that it needs: blobs and secrets."""
        return ()

    @property
    def content_parts(self) -> Tuple[Part, ...]:
        """The parts of what `content_on` returns, once it is as declared; () for a kind without content."""
        return self.parts

    @property
    def secrets(self) -> Tuple[Secret, ...]:
        """The secrets that it needs."""
        return tuple(part for part in self.parts if isinstance(part, Secret))

    @property
    def needed_early(self) -> bool:
        """Whether it is applied before packages are installed and accounts created."""
        return False

    @property
    def partial(self) -> bool:
        """Whether it leaves parts of what is there as they are, which another definition of the same thing may set."""
        return False

    @property
    def volatile(self) -> bool:
        """Whether it is lost at a shutdown, so that each boot applies it again."""
        return False

    @property
    def folders(self) -> Tuple[str, ...]:
        """The folders that stay while it is declared, even if they are empty."""
        return ()

    @property
    def units(self) -> Tuple[str, ...]:
        """The names of the units that are restarted when it changes."""
        return ()

    @property
    def started_units(self) -> Tuple[str, ...]:
        """The names of the units that must run while it is declared."""
        return ()

    def paths_on(self, system: System) -> Tuple[str, ...]:  # noqa: ARG002 - some kinds need it
        """Return the paths of what it creates."""
        return ()

    def content_on(self, system: System) -> Optional[bytes]:  # noqa: ARG002 - some kinds need it
        """Return the bytes in its place for which it declares others; None for none.

        Raises:
            Failure: When something else is there.
        """
        return None

    def announce(self, system: System) -> None:
        """Announce the packages and units whose state will be needed."""
        system.units.prefetch(self.units)

    # Comparing

    @abstractmethod
    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        """Return how the machine differs from this definition, for a person; None when it does not."""

    def change_from(
        self, before: Optional[Resource], system: System, store: ContentStore
    ) -> Optional[Tuple[ChangeAction, str]]:
        """Return the action and detail of a `protocol.Change`; None when nothing changes.

        Args:
            before: What was declared under the same key, if anything.
            system: The machine.
            store: Its state directory.
        """
        reason = self.reason_to_change(system, store)
        if reason is None:
            return None if before == self else ("adopt", "")
        if before:
            return ("repair" if before == self else "change", reason)
        return ("create", "") if reason == ABSENT else ("overwrite", reason)

    def obstacle(self, system: System) -> str:  # noqa: ARG002 - some kinds need it
        """Return why it cannot be applied or removed, whatever else changes, with a hint; "" if nothing is known."""
        return ""

    def lacks(self, system: System) -> str:  # noqa: ARG002 - some kinds need it
        """Return what it needs and the machine does not have, with a hint; "" for nothing.

        What is applied before it may bring that: a package, a kernel module.
        """
        return ""

    def note(self, system: System) -> str:  # noqa: ARG002 - some kinds need it
        """Return what a person should know before it is applied, or ""."""
        return ""

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:  # noqa: ARG002
        """Return what a person should know about its removal, or "".

        Args:
            original: What was in its place before.
            ending: The paths of everything that is removed.
            system: The machine.
        """
        return ""

    def plan(self, before: Optional[Resource], around: Surroundings) -> None:
        """Add what follows for units and actions from declaring it, where ``before`` was declared under its key."""

    def plan_removal(self, around: Surroundings) -> None:
        """Add what follows for units and actions from undeclaring it."""

    @classmethod
    def verify(cls, resources: Sequence[Any], changed: Set[str], system: System, store: ContentStore) -> None:
        """Raise Failure when one of these resources, all of this kind, would not work. Nothing was changed yet."""

    # Changing

    @abstractmethod
    def capture(self, system: System, store: ContentStore) -> Dict[str, Captured]:
        """Return what is in its place now: under its key, and the paths under ``made:PATH`` that it will create."""

    def before_switch(
        self,
        captured: Captured,
        made: AbstractSet[str],  # noqa: ARG002 - some kinds need it
        units: Mapping[str, Mapping[str, bool]],  # noqa: ARG002 - some kinds need it
    ) -> Captured:
        """Return what was captured, without what earlier steps of the same switch have done.

        Args:
            captured: What `capture` returned under its key.
            made: The folders that they have made, as keys of originals.
            units: What each unit was before them: ``enabled``, ``active`` and ``failed``.
        """
        return captured

    def original_with(self, original: Captured, captured: Captured) -> Captured:
        """Return the original, with what was captured of what only this switch changes."""
        return {**captured, **original} if self.partial and "type" not in {*original, *captured} else original

    @abstractmethod
    def apply(self, system: System, store: ContentStore) -> None:
        """Make the machine match this definition."""

    @classmethod
    def apply_all(cls, resources: Sequence[Any], system: System, store: ContentStore, report: Report) -> None:
        """Apply resources of this kind, where that is needed."""
        for resource in resources:
            if resource.reason_to_change(system, store):
                report(resource.kind, resource.key.partition(":")[2])
                resource.apply(system, store)

    @abstractmethod
    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        """Put back what `capture` returned under its key."""

    def in_place(self, system: System, store: ContentStore) -> bool:
        """Return whether `apply` has nothing to do; states of units do not count."""
        return self.reason_to_change(system, store) is None

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        """Return how the machine differs from what was captured, for a person; "" when it does not."""
        return difference(captured, self.capture(system, store)[self.key], system)

    @classmethod
    def settle(cls, ended: Mapping[str, Captured], declared: Iterable[Captured], system: System) -> List[str]:  # noqa: ARG003
        """Remove what an undo might have needed, once there will be none; return notes on what failed.

        Args:
            ended: What was in the place of those that are no longer declared, by key.
            declared: What was in the place of those that are.
            system: The machine.
        """
        return []

    @classmethod
    def left(cls, ended: Mapping[str, Captured], made: AbstractSet[str], system: System) -> Dict[str, Captured]:  # noqa: ARG003
        """Return what stays on the machine until a purge, by key.

        Args:
            ended: What was in the place of those that are no longer declared, by key.
            made: The paths that were created.
            system: The machine.
        """
        return {}

    @classmethod
    def remove_left(cls, name: str, left: Captured, system: System, *, homes: bool) -> List[str]:  # noqa: ARG003
        """Remove what `left` returned for a name; return notes on what stays. Only with ``homes``, also homes."""
        return []


def difference(captured: Captured, now: Captured, system: System) -> str:
    """Return how what is there now differs from what was captured, for a person; "" when it does not."""
    captured, now = with_known_owner(captured, system), with_known_owner(now, system)
    if now == captured:
        return ""
    if ABSENT in (captured.get("type"), now.get("type")):
        return "it is still there" if captured.get("type") == ABSENT else "it is gone"
    names = [name for name in sorted({*now, *captured}) if now.get(name) != captured.get(name)]
    return f"not as before: {', '.join(names)}"
