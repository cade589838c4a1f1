"""Plans (what would change, where and why) and reports of what an update did."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rolecall.errors import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.errors import Fault
    from rolecall.model.vars import StoredVar, VarKey
    from rolecall_agent.protocol import Generation, Provenance, Shown
    from rolecall_agent.protocol import RebootMode as RebootMode  # noqa: PLC0414 - for the command line


FORMAT = 1
"""The version of the form of plans under ``--json`` and in files. A key that is added does not change it."""

PARALLEL = 32
"""How many machines a run works on at once, by default."""


Cause = Literal[
    "declared",  # nothing was declared there before
    "setting",  # a setting of the member changed
    "service",  # the code of the service changed
    "var",  # a var that the member reads was made, or replaced
    "peer",  # what the member reads of other machines changed
    "drift",  # the machine no longer has what was declared for it
    "undeclared",  # nothing declares it any more
    "rollback",  # the machine goes back to an earlier generation
    "agent",  # Rolecall needs it for itself
    "unknown",  # the machine does not say from what its generation was made, as an earlier version wrote it
]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a resource changes.

    Attributes:
        cause: What happened.
        origin: The ``INSTANCE.ROLE`` that it happened to, or "".
        subjects: The settings, vars or machines that changed; () if they are many, or there are none.
        place: Where the inventory says it, as ``FILE:LINE``, or "".
    """

    cause: Cause
    origin: str = ""
    subjects: tuple[str, ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True)
class Diff:
    """How a content changes. Names of secrets stand in place of their values.

    Attributes:
        lines: As a unified diff, without the names of files.
        added: How many lines are added.
        removed: How many lines are removed.
        note: What there is to say instead of lines: sizes and digests, or why nothing is shown.
    """

    lines: tuple[str, ...] = ()
    added: int = 0
    removed: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that changes on one machine.

    Attributes:
        key: ``KIND:NAME``.
        action: As in rolecall_agent.protocol.Change: create, change, adopt, overwrite, remove, repair.
        detail: How it differs; never a secret.
        origins: The ``INSTANCE.ROLE`` that declare it, or for what is removed, that declared it.
        label: What to call it, if its key says little to a person, else "".
        why: Why it changes: everything that may be the reason since the current generation, what is most likely first.
        diff: How its content changes; None if it has none, or nobody asked for it.
    """

    key: str
    action: str
    detail: str
    origins: tuple[str, ...] = ()
    label: str = ""
    why: tuple[Why, ...] = ()
    diff: Diff | None = None


@dataclass(frozen=True, slots=True)
class UnitChange:
    """What happens to a unit beyond its file: ``stop``, ``restart``, ``reload``, ``start``; ``run`` for an action.

    ``reboot`` happens to the machine.

    Attributes:
        name: Its name; what a reboot is for.
        verb: One of these words.
        also: Other running units that stop or restart along with it; of a reboot, the keys of what changes.
    """

    name: str
    verb: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Damage:
    """Something on a machine that an undo could not put back.

    Attributes:
        key: ``KIND:NAME`` of the resource.
        path: Its file, or "".
        reason: Why it could not be put back.
        hint: What to do about it, or "".
    """

    key: str
    path: str
    reason: str
    hint: str

    def __str__(self) -> str:
        """Return it for a person, with the hint on a line of its own."""
        path = f" ({self.path})" if self.path.rpartition("/")[2] not in self.key else ""
        hint = f"\n  {self.hint}" if self.hint else ""
        return f"{self.key}{path} could not be put back: {self.reason}{hint}"


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """What happens on one machine.

    Attributes:
        machine: Its name.
        target: How it is reached, in words.
        wave: Place in the order of switching, from 0.
        digest: Of the configuration that it is to have.
        changes: In the order in which resources are applied; () when nothing changes.
        units: What happens to units.
        comparison: The agent's digest of what was compared, "" when nothing changes.
        generation: Number of its current generation, 0 when there is none.
        recovered: How an interrupted switch was recovered while planning, or "".
        failure: Why it could not be compared, or "".
        unreachable: Whether that is because no SSH server answers there.
        formerly: The earlier name under which it is still installed, or "".
        back: The number of the earlier generation that it goes back to, 0 for nothing installed; None for an update.
        damage: What the undo of an interrupted switch could not put back, so that it could not be compared.
    """

    machine: str
    target: str
    wave: int
    digest: str
    changes: tuple[Change, ...] = ()
    units: tuple[UnitChange, ...] = ()
    comparison: str = ""
    generation: int = 0
    recovered: str = ""
    failure: str = ""
    unreachable: bool = False
    formerly: str = ""
    back: int | None = None
    damage: tuple[Damage, ...] = ()

    @property
    def reboots(self) -> bool:
        """Whether the machine must reboot."""
        return any(unit.verb == "reboot" for unit in self.units)

    @property
    def same(self) -> bool:
        """Whether the machine has its configuration already."""
        return not self.comparison and not self.failure


@dataclass(frozen=True, slots=True)
class Compared:
    """What a machine said when it was compared with its configuration.

    Attributes:
        plan: What happens on it.
        contents: By key: what it shows of contents that change.
        provenance: Where its current generation comes from; None if it does not say.
        current: This generation; None if there is none.
    """

    plan: MachinePlan
    contents: Mapping[str, Shown] = field(default_factory=dict)
    provenance: Provenance | None = None
    current: Generation | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A machine that a run goes on without, since it is unreachable.

    Attributes:
        plan: What it should have, and why it could not be compared.
        readers: By ``INSTANCE.ROLE``: the other machines on which this depends on what is declared for the machine.
    """

    plan: MachinePlan
    readers: Mapping[str, tuple[str, ...]]

    @property
    def machine(self) -> str:
        """Its name."""
        return self.plan.machine

    @property
    def dependents(self) -> str:
        """What depends on it, in words, or ""."""
        return ", ".join(f"{origin} on {listed(names)}" for origin, names in self.readers.items())


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that an update would do.

    Attributes:
        machines: Those that take part, sorted by wave, then name.
        makes: Pending vars, which the update promotes.
        modules: By instance: the module and the distribution that brings it.
        warnings: Problems that do not stop an update.
        verbs: Of each pending var: ``generate``; ``set`` when a person gave the value; ``rotate`` when an earlier step
            of its rotation generated it.
        skipped: The machines that do not take part, since they are unreachable.
    """

    machines: tuple[MachinePlan, ...]
    makes: Mapping[VarKey, StoredVar]
    modules: Mapping[str, str]
    warnings: tuple[Fault, ...] = ()
    verbs: Mapping[VarKey, str] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    @property
    def changing(self) -> tuple[MachinePlan, ...]:
        """The machines on which something changes."""
        return tuple(machine for machine in self.machines if machine.comparison)

    @property
    def failing(self) -> tuple[MachinePlan, ...]:
        """The machines that could not be compared."""
        return tuple(machine for machine in self.machines if machine.failure)

    @property
    def empty(self) -> bool:
        """Whether an update would do nothing at all."""
        return not self.makes and not self.changing and not self.failing

    @property
    def digest(self) -> str:
        """Digest of what an update by this plan would do: lower-case hex SHA-256, without warnings and places."""
        made = sorted((str(key), sorted(file.version for file in files.values())) for key, files in self.makes.items())
        machines = sorted((plan.machine, plan.digest, plan.comparison, plan.failure) for plan in self.machines)
        return hashlib.sha256(json.dumps([made, machines, sorted(self.modules.items())]).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the documented form under ``--json`` (docs/reference/json.md)."""
        return {
            "format_version": FORMAT,
            "digest": self.digest,
            "machines": {plan.machine: {**asdict(plan), "same": plan.same} for plan in self.machines},
            "makes": [
                {
                    "var": str(key),
                    "verb": self.verbs[key],
                    "files": {name: file.version for name, file in files.items()},
                }
                for key, files in self.makes.items()
            ],
            "modules": dict(self.modules),
            "skipped": {
                each.machine: {
                    "target": each.plan.target,
                    "failure": each.plan.failure,
                    "readers": {origin: list(names) for origin, names in each.readers.items()},
                }
                for each in self.skipped
            },
            "warnings": [warning.as_json() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an update on one machine.

    Attributes:
        machine: Its name.
        result: ``unchanged``; ``updated``; ``restored`` (back as it was before the run); ``untouched`` (never
            switched); ``damaged`` (its switch was undone, but not all of it: see ``damage``); ``unknown`` (it cannot be
            reached; the next run recovers it); ``skipped`` (it was unreachable, and the run went on without it).
        message: Why the update failed on it, or "".
        detail: Lines that help to find the cause, or "".
        generation: Number of its current generation afterwards.
        damage: What could not be put back.
        target: How it was reached, in words.
    """

    machine: str
    result: str
    message: str = ""
    detail: str = ""
    generation: int = 0
    damage: tuple[Damage, ...] = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run.

    Attributes:
        outcomes: Sorted by machine.
        seconds: Duration.
        execs: Commands started on machines, over all of them.
        noted: Of how many stored vars it is written down now what is lost with them; these files are to be committed.
    """

    outcomes: tuple[Outcome, ...]
    seconds: float
    execs: int
    noted: int = 0

    @property
    def done(self) -> bool:
        """Whether every machine is as planned."""
        return all(outcome.result in {"unchanged", "updated", "skipped"} for outcome in self.outcomes)

    def with_result(self, *results: str) -> list[str]:
        """Return the machines with one of these results."""
        return [outcome.machine for outcome in self.outcomes if outcome.result in results]

    def as_json(self) -> dict[str, Any]:
        """Return the documented form under ``--json`` (docs/reference/json.md)."""
        return {
            "done": self.done,
            "machines": {outcome.machine: asdict(outcome) for outcome in self.outcomes},
            "seconds": round(self.seconds, 3),
            "execs": self.execs,
            "noted": self.noted,
        }
