"""How machines and services are now, as the machines say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.errors import Fault
    from rolecall.model.plan import Damage


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """A run that is not settled on a machine.

    Attributes:
        run: Its id.
        user: Who ran it.
        at: When (RFC 3339).
        decided: Whether it will be completed, and not undone.
        damage: What its undo could not put back.
    """

    run: str
    user: str
    at: str
    decided: bool
    damage: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """The result of a check, or what a service reports about itself on one machine.

    Attributes:
        instance: The instance.
        role: The role; "" if the service as a whole.
        name: What was checked, or is reported.
        level: ``ok``, ``warning`` or ``error``.
        text: What it says.
        at: Of when it is (RFC 3339), or "".
    """

    instance: str
    role: str
    name: str
    level: str
    text: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """How one machine is.

    Attributes:
        machine: Its name.
        target: By which way it was asked, in words.
        problem: Why it could not be asked, or "": then nothing else is known.
        generation: Number of its current generation; 0 for none.
        run: The run that made it, or "".
        user: Who ran that.
        commit: The commit of the project then, or "".
        since: Since when it is current (RFC 3339), or "".
        declared: ``same`` if the generation is what the inventory declares now, ``pending`` if an update would change
            that, ``unknown`` if the inventory cannot be evaluated.
        formerly: The other name under which it is installed, or "".
        drift: What differs from the generation: keys of resources, with how they differ.
        more_drift: How many others do.
        failed_units: Names.
        reboot: Why it must reboot; None if that cannot be known.
        interrupted: A run that is not settled.
        locked: Which run is at work on it, or "": then drift and checks are not known.
        reports: Results of checks, and what services report.
        problems: Why something of this is missing.
    """

    machine: str
    target: str = ""
    problem: str = ""
    generation: int = 0
    run: str = ""
    user: str = ""
    commit: str = ""
    since: str = ""
    declared: str = "unknown"
    formerly: str = ""
    drift: tuple[tuple[str, str], ...] = ()
    more_drift: int = 0
    failed_units: tuple[str, ...] = ()
    reboot: tuple[str, ...] | None = None
    interrupted: InterruptedRun | None = None
    locked: str = ""
    reports: tuple[ServiceReport, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether nothing is wrong. An update or a reboot that is pending is not, nor a report with a warning."""
        unsettled = self.interrupted and not self.locked
        wrong = self.problem or self.drift or self.failed_units or unsettled or self.problems
        return not wrong and all(report.level != "error" for report in self.reports)


@dataclass(frozen=True, slots=True)
class Status:
    """How all machines are.

    Attributes:
        machines: Sorted by name.
        roles: By instance and role: its machines. What the machines say, if the inventory cannot be evaluated.
        services: By instance: the name of its service, as far as known.
        faults: What is wrong with the inventory; this stops nothing.
    """

    machines: tuple[MachineStatus, ...]
    roles: Mapping[str, Mapping[str, tuple[str, ...]]]
    services: Mapping[str, str]
    faults: tuple[Fault, ...]

    @property
    def well(self) -> bool:
        """Whether nothing is wrong anywhere."""
        return not self.faults and all(machine.well for machine in self.machines)

    def as_json(self) -> dict[str, Any]:
        """Return the documented form of ``rolecall status --json`` (docs/reference/json.md)."""
        return {
            "format_version": 1,
            "well": self.well,
            "machines": {each.machine: _as_json(each) for each in self.machines},
            "instances": {
                instance: {
                    "service": self.services.get(instance),
                    "roles": {name: list(at) for name, at in roles.items()},
                }
                for instance, roles in self.roles.items()
            },
            "faults": [fault.as_json() for fault in self.faults],
        }


def _as_json(machine: MachineStatus) -> dict[str, Any]:
    drift = [{"key": key, "reason": reason} for key, reason in machine.drift]
    return {**asdict(machine), "well": machine.well, "drift": drift}
