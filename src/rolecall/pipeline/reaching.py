"""Reach machines: their ways, host keys, backups, logins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rolecall.deploy import backups as stage
from rolecall.deploy.connection import AgentFailedError
from rolecall.deploy.session import Session
from rolecall.deploy.target import IN_LAB
from rolecall.errors import Fault, Faults, fault, listed
from rolecall.model.plan import Damage
from rolecall.pipeline.answering import ask, first_answering
from rolecall.pipeline.choosing import chosen_from
from rolecall.pipeline.ways import Ways, ways_of
from rolecall.service.interfaces import Backups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Literal

    from rolecall.deploy.backups import Archive, Offers
    from rolecall.deploy.target import Lab, Target
    from rolecall.model.exports import Exported
    from rolecall.model.inventory import Loaded
    from rolecall.pipeline.answering import Answer
    from rolecall.pipeline.choosing import Choice
    from rolecall.pipeline.ways import Way
    from rolecall.pipeline.workspace import Workspace
    from rolecall.service.interfaces import Network


def ways(workspace: Workspace, machines: Iterable[str]) -> Mapping[str, Ways]:
    """Return the ways to each of these machines.

    If the networks cannot be evaluated because of a fault elsewhere, these are their targets alone. The fault is then
    among those of each machine that has no way left.

    Raises:
        Faults: As `Workspace.loaded`; also when a machine is not declared, or could be reached both in the lab and
            really, and the user has not chosen.
    """
    return ways_as_declared(workspace, workspace.loaded(), machines)


def declared_ways(workspace: Workspace, choice: Choice) -> tuple[Mapping[str, Ways], tuple[Fault, ...]]:
    """Return the ways to the machines of a choice, as far as an inventory with faults declares them.

    Returns:
        The ways, and the faults of the inventory's shape.

    Raises:
        Faults: When a file of the inventory cannot be read, or a part of the choice matches nothing; as `ways` for a
            machine that could be reached both in the lab and really.
    """
    loaded, faults = workspace.read()
    return ways_as_declared(workspace, loaded, chosen_from(loaded, choice)), faults


def ways_as_declared(workspace: Workspace, loaded: Loaded, machines: Iterable[str]) -> Mapping[str, Ways]:
    """Return the ways to each of these machines, as `ways`, in an inventory that may have faults.

    Raises:
        Faults: As `ways`, but for those of the inventory.
    """
    found = _ways(workspace, loaded, machines, workspace.lab)
    if twins := _twins(workspace, loaded, found):
        verbs = ("runs", "has") if len(twins) == 1 else ("run", "have")
        both = f"{verbs[0]} in the lab and {verbs[1]} a real target, too: {found[twins[0]].text}"
        raise fault(f"{listed(twins)} {both}", hint="choose one with `--lab` or `--real`")
    return found


def _twins(workspace: Workspace, loaded: Loaded, machines: Iterable[str]) -> list[str]:
    """Return the machines that could be reached both in the lab and really, unless the user has chosen."""
    lab, declared = workspace.lab, loaded.inventory.machines
    if not lab or lab.side:
        return []
    return [name for name in machines if lab.is_twin(name, declared[name].deploy.target_host)]


def _ways(workspace: Workspace, loaded: Loaded, machines: Iterable[str], lab: Lab | None) -> Mapping[str, Ways]:
    """Do what `ways` does, but leave the choice to `lab`."""
    if unknown := [name for name in machines if name not in loaded.inventory.machines]:
        raise Faults(map(loaded.unknown_machine, unknown))
    networks: Sequence[Exported[Network]] = ()
    faults: tuple[Fault, ...] = ()
    try:
        networks = workspace.networks()
    except Faults as error:
        faults = tuple(error.faults)
    found = ways_of(workspace.project, loaded, lab, networks, machines)
    return {machine: each if each.ways or not faults else Ways((), faults) for machine, each in found.items()}


def real_ways(workspace: Workspace, machine: str) -> Ways:
    """Return the ways to a real machine, also while it runs in the lab.

    Raises:
        Faults: As `Workspace.loaded`; also when it is not declared.
    """
    return _ways(workspace, workspace.loaded(), [machine], None)[machine]


def reach(workspace: Workspace, machine: str) -> Target:
    """Return the target by which a machine is reached now: the first of its ways that answers.

    If it has several and answers by none, the first one, with which ssh(1) then says why.

    Raises:
        Faults: When it is not declared, or has no way.
    """
    found = _some_ways(workspace, machine)
    return (found[0] if len(found) == 1 else first_answering(found)).target


def _some_ways(workspace: Workspace, machine: str) -> tuple[Way, ...]:
    found = ways(workspace, [machine])[machine]
    if not found.ways:
        raise Faults(found.faults)
    return found.ways


def ask_ways(workspace: Workspace, machines: Sequence[str]) -> Mapping[str, tuple[list[Answer], Sequence[Fault]]]:
    """Log in to machines by each of their ways.

    Args:
        workspace: The project.
        machines: Their names.

    Returns:
        By machine: which ways answer, and what is wrong with others.

    Raises:
        Faults: As `ways`.
    """
    found = ways(workspace, machines)
    answers = iter(ask([way for each in found.values() for way in each.ways]))
    return {name: ([next(answers) for _ in each.ways], each.faults) for name, each in found.items()}


def targets(workspace: Workspace, machines: Sequence[str]) -> dict[str, str]:
    """Return how each of these machines is reached, in words; "" for one without a way.

    Raises:
        Faults: As `Workspace.loaded`.
    """
    loaded = workspace.loaded()
    twins = _twins(workspace, loaded, machines)
    found = _ways(workspace, loaded, machines, workspace.lab)
    return {name: each.text + (f", or {IN_LAB}" if name in twins else "") for name, each in found.items()}


def target_of(workspace: Workspace, machine: str) -> str:
    """Return how a machine is reached, in words, as far as that is known without trying it.

    Raises:
        Faults: As `reach`.
    """
    return _some_ways(workspace, machine)[0].target.text


def login(workspace: Workspace, machine: str, words: Sequence[str]) -> list[str]:
    """Return the argument vector that logs in to a machine, or runs a command there as root.

    Args:
        workspace: The project.
        machine: The machine.
        words: The command; () to log in.

    Raises:
        Faults: When the machine has no target, or it is a directory.
    """
    target = reach(workspace, machine)
    if target.root is not None:
        raise fault(f"cannot log in to {machine}: its target is the directory {target.root}")
    shell = ["sh", "-c", " ".join(words)]  # as ssh(1) itself: the words are joined and a shell reads them
    return target.command(shell if words else [])


@dataclass(frozen=True, slots=True)
class InterruptedSwitch:
    """A switch of one machine that neither succeeded nor was undone.

    Attributes:
        machine: The machine.
        run: The id of its run.
        user: Who ran it.
        at: When (RFC 3339).
        source: The number of the generation before it; 0 for none.
        target: The number of the generation to which it was to go.
        decided: Whether all machines of the run could commit, so that it will be completed.
        resources: Keys of the resources that it may have touched.
        units: Names of the units that it may have touched.
        damage: What the last undo could not put back.
    """

    machine: str
    run: str
    user: str
    at: str
    source: int
    target: int
    decided: bool
    resources: tuple[str, ...]
    units: tuple[str, ...]
    damage: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class RecoveredMachine:
    """The answer of `recover_machine`.

    Attributes:
        interrupted: The interrupted switch as it was before; None when there was none.
        settled: How it was settled: ``undone``, ``committed`` or ``accepted``; "" when it was not.
    """

    interrupted: InterruptedSwitch | None
    settled: str

    def as_json(self) -> dict[str, Any]:
        """Return the documented form of ``rolecall machines recover --json`` (docs/reference/json.md)."""
        return asdict(self)


def recover_machine(
    workspace: Workspace, name: str, mode: Literal["show", "retry", "accept"] = "show", give_up: Sequence[str] = ()
) -> RecoveredMachine:
    """Show or settle an interrupted switch of a machine.

    Args:
        workspace: The project.
        name: The machine.
        mode: ``show`` changes nothing; ``retry`` undoes it; ``accept`` leaves everything as it is.
        give_up: With ``retry``: keys of resources that are left as they are.

    Raises:
        Faults: When the machine cannot be reached, or the undo fails again.
    """
    try:
        with Session(reach(workspace, name)) as session:
            answer = session.recover("abandon" if give_up else mode, give_up)
    except OSError as error:
        raise fault(f"{name} is not recovered: {error}") from None
    except AgentFailedError as error:
        damage = [indent(str(Damage(**each)), "  ") for each in error.damage]
        detail = error.detail if not damage else ""  # it lists the same
        raise fault("\n".join(filter(None, [f"{name} is not recovered: {error}", detail, *damage]))) from None
    found = answer["interrupted"]
    if found is None:
        return RecoveredMachine(None, answer["settled"])
    meta = found["meta"]
    interrupted = InterruptedSwitch(
        *(name, meta["run"], meta["user"], meta["at"], found["source"], found["target"], found["decided"]),
        *(tuple(found["resources"]), tuple(found["units"])),
        tuple(Damage(**each) for each in found["damage"]),
    )
    return RecoveredMachine(interrupted, answer["settled"])


def backups(
    workspace: Workspace, machine: str, instance: str | None = None, server: str | None = None
) -> MachineBackups:
    """Return what backup services offer for a machine.

    Args:
        workspace: The project.
        machine: The machine.
        instance: Limits it to one instance.
        server: Limits it to one server.

    Raises:
        Faults: When nothing backs the machine up, or it has no target.
    """
    evaluation = workspace.evaluation_of([machine])
    offers = [export for export in evaluation.world.exports.get(Backups, ()) if export.machine == machine]
    if not offers:
        hint = "give it a role in an instance of a backup service, then update"
        raise fault(f"nothing backs {machine} up", hint=hint)
    chosen = stage.choose(offers, machine, instance, server)
    return MachineBackups(reach(workspace, machine), chosen)


@dataclass(frozen=True, slots=True)
class MachineBackups:
    """The backups of one machine, as backup services offer them.

    Args:
        target: The machine.
        offers: One for each instance and server.
    """

    _target: Target
    _offers: Offers

    @property
    def target(self) -> str:
        """How the machine is reached, in words."""
        return self._target.text

    def create(self) -> tuple[list[Archive], list[Fault]]:
        """Back the machine up now, to every server; return the archives that were made, and what failed."""
        return stage.create(self._target, self._offers)

    def archives(self) -> tuple[list[Archive], list[Fault]]:
        """Return the archives of the machine, oldest first, and what failed."""
        return stage.archives(self._target, self._offers)

    def choose(self, name: str | None) -> tuple[Archive, list[Fault]]:
        """Return the archive of this name, by default the newest one, and what failed.

        Raises:
            Faults: When there is none.
        """
        archives, faults = self.archives()
        try:
            return stage.newest(self._target, archives, name), faults
        except Faults as error:
            raise Faults([*faults, *error.faults]) from None

    def restore(self, archive: Archive, paths: Sequence[str]) -> str:
        """Restore files of an archive, by default all; return what the service printed.

        Raises:
            Faults: When it fails.
        """
        return stage.restore(self._target, self._offers, archive, paths)
