"""Take machines back: to what they had before a run, or to an earlier generation of one of them.

A generation comes from the machine itself, so that going back needs no working inventory. It never brings back a secret
that was replaced since: what was made with one stays as it is now, public keys included.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rolecall import vars as var_store
from rolecall.deploy.asking import ask_machines
from rolecall.deploy.fleet import Fleet
from rolecall.deploy.machine import MachineUpdate
from rolecall.errors import Fault, Faults, fault, listed
from rolecall.evaluate.provenance import versions_digest
from rolecall.model.plan import PARALLEL, Plan, Why
from rolecall.model.vars import VarKey
from rolecall.pipeline.choosing import Choice
from rolecall.pipeline.places import Labels
from rolecall.pipeline.plans import decided_folder, new_meta, steps_alone
from rolecall.pipeline.reaching import declared_ways
from rolecall.pipeline.runs import history
from rolecall.plan.causes import origins_of
from rolecall.plan.explaining import explained
from rolecall_agent.configuration import Configuration, Named
from rolecall_agent.protocol import Provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from rolecall.deploy.recalling import Recalled
    from rolecall.deploy.session import Session
    from rolecall.deploy.target import Target
    from rolecall.model.history import Run
    from rolecall.model.plan import Change, RebootMode, Report
    from rolecall.model.vars import StoredVar
    from rolecall.pipeline.workspace import Workspace
    from rolecall.project import Project
    from rolecall_agent.content import Secret
    from rolecall_agent.protocol import Inputs
    from rolecall_agent.resources import Resource

RUNS = 1_000  # of each machine that are asked for: all


@dataclass(frozen=True, slots=True)
class Rollback:
    """What is to be taken back; the last run if nothing is said.

    Attributes:
        run: The id of a run, or how it begins.
        generation: The number of the generation to which one machine goes back; 0 for nothing installed.
    """

    run: str = ""
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedRollback:
    """A plan of going back, with the machines that it concerns still connected.

    Attributes:
        plan: What would be done.
    """

    plan: Plan
    _project: Project
    _rehearses: bool
    _fleet: Fleet

    def apply(self, reboot: RebootMode = "planned") -> Report:
        """Do exactly what the plan shows; nothing when a machine could not be compared.

        Args:
            reboot: What to do about machines that must reboot.
        """
        if self.plan.failing or not self.plan.changing:
            return self._fleet.report()
        folder = decided_folder(self._project, rehearses=self._rehearses)
        reveal = partial(_reveal, self._project, rehearses=self._rehearses)
        return self._fleet.apply(new_meta(self._project), reveal, folder, reboot)


class _Destination(NamedTuple):
    """What a machine is to have again, and what it does not get back."""

    configuration: Configuration
    provenance: Provenance
    notes: tuple[Fault, ...]


@contextmanager
def planning_rollback(
    workspace: Workspace,
    choice: Choice,
    rollback: Rollback,
    progress: Callable[[str, str], None] = lambda *_: None,
    *,
    verbose: bool = False,
    full: bool = False,
    parallel: int = PARALLEL,
) -> Iterator[PlannedRollback]:
    """Compare machines with what they had. Connections last until the block ends, at most.

    Args:
        workspace: The project.
        choice: The machines that may go back.
        rollback: What is to be taken back.
        progress: As for `planning`.
        verbose: As for `planning`.
        full: As for `planning`.
        parallel: As for `planning`.

    Raises:
        Faults: When no such run or generation exists; when a machine cannot be reached, or did not record from what a
            generation was made.
    """
    project, rehearses = workspace.project, workspace.side == "lab"
    numbers, warnings = _numbers(workspace, choice, rollback)
    ways, faults = declared_ways(workspace, Choice(tuple(numbers)))
    if unreachable := [each for found in ways.values() if not found.ways for each in found.faults]:
        raise Faults(unreachable)
    targets = {name: [way.target for way in found.ways] for name, found in ways.items()}
    destinations = _destinations(workspace, numbers, _recall(targets, numbers))
    machines = workspace.read()[0].inventory.machines
    wanted = [
        MachineUpdate(
            *(targets[name], 0, found.configuration, _as_tuples(found.provenance["origins"])),
            *(machines[name].formerly, numbers[name]),
            provenance=partial(_the, found.provenance),
            reboot_seconds=machines[name].deploy.reboot_seconds,
        )
        for name, found in destinations.items()
    ]
    with Fleet(wanted, progress if verbose else steps_alone(progress), parallel) as fleet:
        label = Labels(project, None)
        plans = tuple(
            explained(
                each,
                destinations[each.plan.machine].configuration,
                partial(_reason, each.provenance),
                label,
                full=full,
            )
            for each in fleet.look(full=full)
        )
        notes = (*(replace(each, warning=True) for each in faults), *warnings)
        notes += tuple(note for found in destinations.values() for note in found.notes)
        yield PlannedRollback(Plan(plans, {}, {}, notes), project, rehearses, fleet)


def _numbers(workspace: Workspace, choice: Choice, rollback: Rollback) -> tuple[Mapping[str, int], tuple[Fault, ...]]:
    """Return to which generation each machine goes back; and warn of later runs, which are taken back, too."""
    if rollback.generation is not None:
        names = tuple(declared_ways(workspace, choice)[0])
        if len(names) != 1:
            raise fault("generations are numbered on each machine", hint="name the one that is to go back")
        return {names[0]: rollback.generation}, ()
    found, _ = history(workspace, choice, RUNS)
    if found.problems:
        hint = "to take back what a run did to the others, name them: `rolecall rollback MACHINE …`"
        raise Faults(Fault(f"{name}: {problem}", hint=hint) for name, problem in found.problems.items())
    committed = [run for run in found.runs if _changed(run)]
    matching = [run for run in committed if run.run.startswith(rollback.run)]
    if not matching:
        what = f"no run {rollback.run!r} changed" if rollback.run else "no run has changed"
        raise fault(f"{what} these machines", hint="`rolecall log` lists their runs")
    if rollback.run and len(matching) > 1:
        raise fault(f"several runs begin with {rollback.run!r}: {listed([run.run for run in matching])}")
    run = matching[0]
    numbers = _changed(run)
    later = {
        name: [each.run for each in committed[: committed.index(run)] if name in _changed(each)] for name in numbers
    }
    return numbers, tuple(_later(name, runs) for name, runs in later.items() if runs)


def _changed(run: Run) -> dict[str, int]:
    """Return the machines that a run changed, with their generations before it."""
    return {result.machine: result.source for result in run.machines if result.result == "committed"}


def _later(machine: str, runs: Sequence[str]) -> Fault:
    return Fault(f"{machine} was changed by later runs, which are taken back, too: {listed(runs)}", warning=True)


def _recall(targets: Mapping[str, Sequence[Target]], numbers: Mapping[str, int]) -> Mapping[str, list[Recalled]]:
    """Return of each machine the generation to which it goes back, and the current one."""

    def ask(machine: str, session: Session) -> list[Recalled]:
        wanted = [numbers[machine]] if numbers[machine] else []
        return session.generations([*wanted, 0])

    asked = ask_machines(targets, ask)
    if problems := {name: each.problem for name, each in asked.items() if each.problem}:
        raise Faults(Fault(f"{name}: {problem}") for name, problem in problems.items())
    return {name: each.answer or [] for name, each in asked.items()}


def _destinations(
    workspace: Workspace, numbers: Mapping[str, int], recalled: Mapping[str, list[Recalled]]
) -> dict[str, _Destination]:
    project = workspace.project
    stored = var_store.stored_all(project)
    found, faults = {}, []
    for machine, generations in recalled.items():
        if not numbers[machine]:
            found[machine] = _Destination(Configuration(machine), Provenance(inputs={}, origins={}), ())
            continue
        then, now = generations
        if not _is_recorded(then):
            message = f"generation {numbers[machine]} of {machine} does not record from which vars it was made"
            faults.append(
                Fault(message, hint="it may have secrets that were replaced since; update the inventory instead")
            )
            continue
        usable = _sent(project, stored, machine, rehearses=workspace.side == "lab").keys() | {
            secret.version for secret in now.configuration.secrets
        }
        kept = dict(_kept(then, now, stored, usable))
        notes = (_note(machine, numbers[machine], origin, why, now) for origin, why in kept.items())
        found[machine] = _Destination(*_joined(machine, then, now, kept.keys()), tuple(notes))
    if faults:
        raise Faults(faults)
    return found


def _is_recorded(generation: Recalled) -> bool:
    """Return whether a generation says of everything in it from what that was made; a very large one does not."""
    found = generation.provenance
    if found is None:
        return False
    names = (found["origins"].get(resource.key) for resource in generation.configuration.resources)
    return all(each and found["inputs"].keys() >= {*each} for each in names)


def _kept(
    then: Recalled, now: Recalled, stored: Mapping[VarKey, StoredVar], usable: AbstractSet[str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield each ``INSTANCE.ROLE`` of a generation that was made from vars that were replaced since, with these."""
    assert then.provenance  # noqa: S101 - `_destinations` requires it
    current = now.provenance["inputs"] if now.provenance else {}
    lost = {
        origin: resource.key
        for resource in then.configuration.resources
        if not {secret.version for secret in resource.secrets} <= usable
        for origin in then.provenance["origins"].get(resource.key, ())
    }
    for origin, inputs in then.provenance["inputs"].items():
        replaced = list(_replaced(inputs, current.get(origin), stored))
        if replaced or origin in lost:
            yield origin, replaced or [f"a secret of {lost[origin]}"]


def _replaced(then: Inputs, now: Inputs | None, stored: Mapping[VarKey, StoredVar]) -> Iterator[str]:
    """Yield the vars that had other values then than the machine, and the project, have now."""
    for name, digest in then["vars"].items():
        if now and now["vars"].get(name) == digest:
            continue
        key = VarKey.read(name)
        var = stored.get(key)
        if not name:
            yield "vars of other machines"
        elif var is None or (versions_digest(key, var) != digest and any(file.secret for file in var.values())):
            yield name


def _note(machine: str, number: int, origin: str, replaced: Sequence[str], now: Recalled) -> Fault:
    there = now.provenance and origin in now.provenance["inputs"]
    what = f"{origin} stays as it is on {machine}" if there else f"{origin} does not come back on {machine}"
    message = f"{what}: generation {number} was made with {listed(replaced)}, replaced or removed since"
    return Fault(
        message, hint="a secret that was replaced never comes back; change the inventory instead", warning=True
    )


def _joined(machine: str, then: Recalled, now: Recalled, kept: AbstractSet[str]) -> tuple[Configuration, Provenance]:
    """Return what a generation had, but for what is kept: that is as it is now."""
    none = Provenance(inputs={}, origins={})
    old, new = then.provenance or none, now.provenance or none

    def is_kept(resource: Resource, origins: Mapping[str, list[str]]) -> bool:
        return not kept.isdisjoint(origins.get(resource.key, ()))

    def chosen(were: Sequence[Named], are: Sequence[Named]) -> list[Named]:
        """Return checks, or what reports health; the name of each begins with its origin."""
        sides = ((were, False), (are, True))
        return [each for items, keep in sides for each in items if (each.name.partition(": ")[0] in kept) is keep]

    before, after = then.configuration, now.configuration
    resources = {each.key: each for each in before.resources if not is_kept(each, old["origins"])}
    resources |= {each.key: each for each in after.resources if is_kept(each, new["origins"])}
    checks, health = chosen(before.checks, after.checks), chosen(before.health, after.health)
    inputs = {origin: each for origin, each in old["inputs"].items() if origin not in kept}
    inputs |= {origin: each for origin, each in new["inputs"].items() if origin in kept}
    origins = {key: new["origins"].get(key) or old["origins"].get(key) or [] for key in resources}
    return Configuration.of(machine, resources.values(), checks, health), Provenance(inputs=inputs, origins=origins)


def _reason(before: Provenance | None, change: Change) -> tuple[tuple[str, ...], tuple[Why, ...]]:
    return origins_of(change, before), (Why("rollback"),)


def _as_tuples(origins: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(names) for key, names in origins.items()}


def _the(provenance: Provenance) -> Provenance:
    return provenance


def _sent(
    project: Project, stored: Mapping[VarKey, StoredVar], machine: str, *, rehearses: bool
) -> dict[str, tuple[VarKey, str]]:
    """Return the stored secrets that were sent to a machine before, by version; in a rehearsal, all."""
    sent = {(each.key, each.file) for each in var_store.known_to(project, machine)}
    return {
        file.version: (key, name)
        for key, var in stored.items()
        for name, file in var.items()
        if file.secret and (rehearses or (key, name) in sent)
    }


def _reveal(project: Project, machine: str, needed: Sequence[Secret], *, rehearses: bool) -> Mapping[str, bytes]:
    """Return the values of secrets that were sent to a machine before, by version.

    Raises:
        Faults: When it asks for another one, which it may have made up.
    """
    where = _sent(project, var_store.stored_all(project), machine, rehearses=rehearses)
    if others := [secret for secret in needed if secret.version not in where]:
        hint = "to install what the inventory declares, update it"
        raise Faults(
            Fault(f"the secret {secret.name}/{secret.file} was never sent to {machine}, or was replaced", hint=hint)
            for secret in others
        )
    values = var_store.decrypt(project, [where[secret.version] for secret in needed])
    return {secret.version: values[where[secret.version]] for secret in needed}
