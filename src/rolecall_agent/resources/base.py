"""What every kind of resource has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional, Protocol

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


class Resource(Protocol):
    """One thing that a machine must have. Each kind is a frozen dataclass in a module of this package.

    Attributes:
        kind: Name of the kind, in keys and in encoded configurations.
    """

    __dataclass_fields__: ClassVar[Dict[str, Any]]
    kind: ClassVar[str]

    @property
    def key(self) -> str:
        """Its name among all resources of a machine: ``KIND:NAME``."""
        ...

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        """Return how the machine differs from this definition, for a person; None when it does not."""
        ...

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        """Return what is in its place now, as entries of `ContentStore.originals`: by its key, and those of parents."""
        ...

    def apply(self, system: System, store: ContentStore) -> None:
        """Make the machine match this definition."""
        ...

    def restore(self, system: System, store: ContentStore, original: Dict[str, Any]) -> None:
        """Put back what `capture` returned as its own entry."""
        ...
