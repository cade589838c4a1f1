"""A machine with its state directory, as switch and undo see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable

from rolecall_agent import boot

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.store import Store
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Machine:
    """A machine, its state, and where progress goes.

    Attributes:
        system: The machine.
        store: Its state directory.
        report: Called with each step and its detail.
    """

    system: System
    store: Store
    report: Callable[[str, str], None]

    def configuration(self, number: int) -> Configuration:
        """Return the configuration of a generation, with the boot unit."""
        return self.with_boot_unit(self.store.configuration(number))

    def with_boot_unit(self, configuration: Configuration) -> Configuration:
        """Return a configuration with the unit that the agent itself needs at boot."""
        if not self.system.boots or not configuration.resources:
            return configuration
        return replace(configuration, resources=(*configuration.resources, boot.unit()))

    def keep_boot_text(self, configuration: Configuration) -> None:
        """Store the text of the boot unit, which no generation names and `Store.prune` removes."""
        for blob in configuration.blobs:
            if blob.data is not None:
                self.store.add_blob(blob.sha256, blob.data)
