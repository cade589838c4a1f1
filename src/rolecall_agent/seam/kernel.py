"""The interface to what the kernel has now."""

from __future__ import annotations

from typing import Iterable, Optional, Protocol


class Kernel(Protocol):
    """What the kernel has now, by kind of resource and name. Every method raises Failure or OSError when it fails."""

    def prefetch(self, kind: str, names: Iterable[str]) -> None:
        """Announce values that will be needed, so that one call gets all of them."""
        ...

    def value(self, kind: str, name: str) -> Optional[str]:
        """Return a value; None when there is none."""
        ...

    def change(self, kind: str, name: str, value: Optional[str]) -> None:
        """Set a value; None, to take it away if nothing uses it."""
        ...
