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

    def install_boot_unit(self) -> None:
        """Install and enable the boot unit, so that a boot recovers an interrupted switch. No switch undoes this."""
        unit, store = boot.unit(), self.store
        if not self.system.boots or not unit.reason_to_change(self.system, store):
            return
        store.add_blob(unit.blob.sha256, unit.blob.data or b"")  # no generation names it, so `Store.prune` removes it
        captured = unit.capture(self.system, store)
        store.add_originals({key: value for key, value in captured.items() if key not in store.originals})
        unit.apply(self.system, store)
        self.system.units.run("enable", [unit.name])

    def remove_boot_unit(self) -> None:
        """Remove the boot unit once nothing is declared, and no switch is interrupted any more."""
        unit = boot.unit()
        original = self.store.originals.get(unit.key)
        if original is None:
            return
        units = self.system.units
        state = units.state(unit.name)
        if state.active and units.settled:  # otherwise, this may be its own process
            units.run("stop", [unit.name])
        if state.enabled and not original["enabled"]:
            units.run("disable", [unit.name])
        unit.restore(self.system, self.store, original)
        units.run("daemon-reload", ())
