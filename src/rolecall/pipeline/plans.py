"""From configurations to machines: the plan, and its update."""

from __future__ import annotations

import datetime as dt
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from rolecall import inventory
from rolecall import vars as var_store
from rolecall.deploy import decisions
from rolecall.deploy.connection import AgentFailedError
from rolecall.deploy.fleet import Fleet
from rolecall.deploy.machine import MachineUpdate
from rolecall.deploy.session import Session, user
from rolecall.deploy.target import pinned_keys
from rolecall.errors import Fault, Faults, fault
from rolecall.evaluate.configure import Configured
from rolecall.evaluate.provenance import Provenances
from rolecall.model.plan import Plan, Report
from rolecall.pipeline.addresses import addresses_used
from rolecall.pipeline.commits import behind, head
from rolecall.pipeline.evaluation import Evaluation, Members, note_recipes
from rolecall.pipeline.noting import borrowed, expiring, former_holders, rotating, sent, taken_back
from rolecall.pipeline.places import Labels, Places
from rolecall.pipeline.reaching import reach, ways
from rolecall.pipeline.skipping import skip, skipped_outcome
from rolecall.plan import saved
from rolecall.plan.causes import Declared, reasons
from rolecall.plan.explaining import explained
from rolecall_agent.configuration import Configuration
from rolecall_agent.resources import KINDS, File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rolecall.deploy.target import Target
    from rolecall.model.plan import Compared, MachinePlan
    from rolecall.pipeline.without import Without
    from rolecall.pipeline.workspace import Workspace
    from rolecall.project import Project
    from rolecall_agent import protocol
    from rolecall_agent.content import Secret

    Progress = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with the machines that it concerns still connected.

    Attributes:
        plan: What an update would do.
        only: The machines that it is limited to; () for all.
        behind: A fault for each commit that machines run, and that this checkout does not contain.
        rehearses: Whether it is done in the lab alone, so that nothing of it is recorded in the project.
    """

    plan: Plan
    only: tuple[str, ...]
    behind: tuple[Fault, ...]
    rehearses: bool
    _project: Project
    _evaluation: Evaluation
    _fleet: Fleet

    def save(self, path: Path) -> None:
        """Write the plan to a file, with the pending vars that it stores.

        Raises:
            Faults: When a machine could not be compared, or the file cannot be written.
        """
        saved.save(path, self.plan, self.only, var_store.pack(self._project, self.plan.makes))

    def apply(self, reboot: protocol.RebootMode = "planned") -> Report:
        """Do exactly what the plan shows; nothing when a machine could not be compared.

        Args:
            reboot: What to do about machines that must reboot.
        """
        if self.plan.failing:
            return self._fleet.report()
        noted = 0 if self.rehearses else self._record()
        if self.plan.changing:
            reveal = revealer(self._project, self._evaluation)
            decided = decided_folder(self._project, rehearses=self.rehearses)
            report = self._fleet.apply(new_meta(self._project), lambda _, needed: reveal(needed), decided, reboot)
        else:
            report = self._fleet.report()
        left_out = (skipped_outcome(each, failed=not report.done) for each in self.plan.skipped)
        outcomes = sorted((*report.outcomes, *left_out), key=lambda outcome: outcome.machine)
        return replace(report, outcomes=tuple(outcomes), noted=noted)

    def _record(self) -> int:
        """Store the pending vars, and note who receives secrets; return how many vars got a note of what they bind."""
        var_store.promote(self._project, self.plan.makes)
        noted = note_recipes(self._project, self._evaluation.members)
        skipped = {each.machine for each in self.plan.skipped}
        received = {place: {*machines} - skipped for place, machines in sent(self._evaluation).items()}
        var_store.note_machines(self._project, received)
        return noted


@dataclass(frozen=True, slots=True)
class Leaving:
    """A machine that the inventory does not have any more, but that a plan is to leave without resources.

    Attributes:
        name: Its name.
        targets: How it is reached; () to leave it as it is.
        formerly: Names under which it may still be installed.
    """

    name: str
    targets: tuple[Target, ...]
    formerly: tuple[str, ...] = ()

    @property
    def configured(self) -> Configured:
        """What it is to have: nothing."""
        return Configured(Configuration.of(self.name, ()), {})


@contextmanager
def planned(
    workspace: Workspace,
    only: Sequence[str],
    progress: Progress,
    *,
    verbose: bool,
    full: bool,
    parallel: int,
    without: Without,
    connect: Callable[[Target], Session],
    leaving: Leaving | None = None,
) -> Iterator[Planned]:
    """Compare the machines with their configurations over sessions that `connect` begins, or has begun.

    The other arguments are those of `connecting.planning`, and a machine that leaves the inventory.
    """
    project = workspace.project
    evaluation = _evaluation(workspace, only)
    provenances = Provenances(evaluation.members.membership, evaluation.world)
    wanted, warnings = _wanted(workspace, evaluation, provenances, without, leaving)
    with Fleet(wanted, progress if verbose else steps_alone(progress), parallel, connect) as fleet:
        rehearses = workspace.side == "lab"
        notes = (*evaluation.members.warnings, *warnings, *rotating(evaluation), *expiring(evaluation))
        notes += tuple(borrowed(evaluation)) if rehearses else ()
        if not only:
            notes += tuple(former_holders(project, evaluation, leaving.name if leaving else ""))
        folder = decided_folder(project, rehearses=rehearses)
        decided = decisions.load(folder)
        compared = fleet.look(full=full, wait=without.wait)
        skipped, reasons = skip(without, project, evaluation, provenances, compared)
        left_out = {each.machine for each in skipped}
        compared = tuple(each for each in compared if each.plan.machine not in left_out)
        fleet.leave_out(left_out)
        notes += tuple(reasons)
        declared = {*evaluation.members.loaded.inventory.machines, *([leaving.name] if leaving else ())}
        notes += tuple(fleet.settle(folder, decided, declared))
        notes += tuple(taken_back(compared))
        configured = {**evaluation.configured, **({leaving.name: leaving.configured} if leaving else {})}
        machines = tuple(_explained(project, evaluation, configured, provenances, compared, full=full))
        verbs = {key: var_store.verb(project, key, var) for key, var in evaluation.makes.items()}
        plan = Plan(machines, evaluation.makes, _modules(evaluation.members), notes, verbs, skipped)
        yield Planned(plan, tuple(only), tuple(behind(project, compared)), rehearses, project, evaluation, fleet)


def _explained(
    project: Project,
    evaluation: Evaluation,
    every: Mapping[str, Configured],
    provenances: Provenances,
    compared: Sequence[Compared],
    *,
    full: bool,
) -> Iterator[MachinePlan]:
    """Yield the plan of each machine, with reasons and diffs."""
    places, label = Places(evaluation), Labels(project, evaluation)
    for each in compared:
        if not each.plan.changes:
            yield each.plan
            continue
        name, configured = each.plan.machine, every[each.plan.machine]
        place, installed = partial(places.of, name), each.plan.generation > 0
        why = partial(reasons, declared=Declared(provenances.of(configured), each.provenance, installed, place))
        yield _with_readers(explained(each, configured.configuration, why, label, full=full), configured)


def decided_folder(project: Project, *, rehearses: bool) -> Path:
    """Return the folder of `decisions`; that of a rehearsal goes with the lab."""
    return project.lab / "decided" if rehearses else project.decided


def _evaluation(workspace: Workspace, only: Sequence[str]) -> Evaluation:
    if only:
        workspace.sound()  # the rest may concern them too, as a peer that is missing
        return workspace.evaluation_of(only)
    evaluation = workspace.evaluation()
    if faults := var_store.unsettled(workspace.project):
        raise Faults(faults)
    return evaluation


def _modules(members: Members) -> dict[str, str]:
    """Return the service of each instance, and where it was found."""
    return {
        name: f"{service.name} ({members.registry.origin(service)})"
        for name, service in members.membership.services.items()
    }


def steps_alone(progress: Progress) -> Progress:
    """Return a progress that leaves out resources."""

    def show(machine: str, text: str) -> None:
        if text.split(" ", 1)[0] not in KINDS:
            progress(machine, text)

    return show


def purge_machine(workspace: Workspace, name: str, *, homes: bool) -> list[str]:
    """Remove from a machine what is left of Rolecall: kept generations, originals and secrets, and accounts it made.

    With ``homes``, also the homes of these accounts. Return notes on what stays.

    Raises:
        Faults: When it is not declared, or cannot be reached; when something that was installed is still there.
    """
    try:
        with Session(reach(workspace, name)) as session:
            session.open(None, workspace.loaded().inventory.machines[name].formerly)
            return session.purge(homes=homes)
    except (AgentFailedError, OSError) as error:
        raise fault(f"{name} is not purged: {error}") from None


def _with_readers(plan: MachinePlan, configured: Configured) -> MachinePlan:
    """Return a machine's plan that says which groups can read the secrets in its files."""
    files = (each for each in configured.configuration.resources if isinstance(each, File))
    groups = {file.key: f"readable by the group {file.shared_with}" for file in files if file.shared_with}
    changes = (
        replace(change, detail=", ".join(filter(None, (change.detail, groups[change.key]))))
        if change.key in groups and change.action != "remove"
        else change
        for change in plan.changes
    )
    return replace(plan, changes=tuple(changes))


def _wanted(
    workspace: Workspace,
    evaluation: Evaluation,
    provenances: Provenances,
    without: Without,
    leaving: Leaving | None,
) -> tuple[list[MachineUpdate], list[Fault]]:
    """Return what each machine is to become; one without a target is a warning while it has no resources."""
    machines = evaluation.members.loaded.inventory.machines
    wanted: list[MachineUpdate] = []
    faults: list[Fault] = []
    warnings: list[Fault] = []
    found_ways = ways(workspace, evaluation.configured)
    without.require_checks(evaluation.configured.values())
    for name, configured in evaluation.configured.items():
        found, problems = found_ways[name]
        if found:
            warnings += [replace(problem, warning=True) for problem in problems]
            targets, wave = [way.target for way in found], evaluation.waves.get(name, 0)
            wanted.append(
                MachineUpdate(
                    *(targets, wave, configured.configuration, configured.origins, machines[name].formerly),
                    provenance=partial(provenances.of, configured),
                    skipped_checks=without.checks_of(configured),
                    addresses_used=partial(addresses_used, evaluation, name),
                    reboot_seconds=machines[name].deploy.reboot_seconds,
                )
            )
        elif configured.configuration.resources:
            faults += problems
        else:
            warnings += [replace(problem, warning=True) for problem in problems]
    if faults:
        raise Faults(faults)
    if leaving and leaving.targets:  # after its peers, which no longer need it then
        last = max((each.wave for each in wanted), default=0) + 1
        wanted.append(MachineUpdate(leaving.targets, last, leaving.configured.configuration, {}, leaving.formerly))
    sources = evaluation.members.loaded.sources
    warnings += [
        Fault(
            f"{name} is pinned, but no longer declared: what Rolecall installed there stays",
            hint="declare it without roles and update to uninstall that, or stop this warning with "
            f"`rolecall machines forget {name}`",
            warning=True,
        )
        for name in sorted(pinned_keys(workspace.project.known_hosts).keys() - machines.keys())
        if not (leaving and name == leaving.name)
    ]
    return wanted, [inventory.locate(warning, sources) for warning in warnings]


def revealer(project: Project, evaluation: Evaluation) -> Callable[[Sequence[Secret]], Mapping[str, bytes]]:
    """Return a function that decrypts secrets and returns their values by version.

    It also compares the files of each var that an earlier version stored and nobody has verified.
    """
    stored = evaluation.world.vars
    where = {file.version: (key, name) for key, files in stored.items() for name, file in files.items()}
    unmarked = set(var_store.unmarked(project, stored))
    recipes = {each.key: each for each in evaluation.members.recipes if each.key in unmarked} if unmarked else {}

    def reveal(needed: Sequence[Secret]) -> Mapping[str, bytes]:
        wanted = [where[secret.version] for secret in needed]
        values = var_store.decrypt(project, wanted, pending=evaluation.makes)
        var_store.refuse_mixed(recipes, stored, values)
        return {secret.version: values[where[secret.version]] for secret in needed}

    return reveal


def new_meta(project: Project) -> protocol.Meta:
    """Return who does this run, with which commit of the project."""
    now = dt.datetime.now(dt.UTC)
    run = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    return {
        "run": run,
        "user": user(),
        "commit": head(project),
        "at": now.isoformat(timespec="milliseconds"),
        "back": None,
    }
