"""Rotate vars: new values, and the updates that put them in place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import Fault, Faults, fault, nearest
from rolecall.model.recipes import Replacement
from rolecall.model.vars import STEPS, current, step_of
from rolecall.pipeline.access import admins, known_to
from rolecall.pipeline.connecting import planning
from rolecall.pipeline.noting import sent
from rolecall.pipeline.vars import needs_force, recipes_named, refuse_to_replace_bound, regenerate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Rotated:
    """A var that was rotated, or was brought one step further on the way there.

    Attributes:
        key: The var.
        step: Which of the `STEPS` of a rotation without a gap the next update does; 0 when it does all at once.
        binds: What depends on the old value and is not converted, or "".
    """

    key: VarKey
    step: int
    binds: str = ""

    def __str__(self) -> str:
        """In words."""
        what = (
            "the new value takes the place of the old one",
            f"step 1 of {STEPS}: the new value is accepted beside the old one",
            f"step 2 of {STEPS}: the new value is used, and the old one is still accepted",
            f"step 3 of {STEPS}: the old value is dropped",
        )
        lost = f"; nothing converts what depends on the old one: {self.binds}" if self.binds else ""
        return f"{self.key}  {what[self.step]}{lost}"


def rotate(workspace: Workspace, names: Sequence[str], *, force: bool = False, at_once: bool = False) -> list[Rotated]:
    """Generate new values of vars, and of the vars that read them, into the pending set, for the next update.

    Where peers can accept two values at once, that takes three updates, and this before each: the new value is
    accepted beside the old one; it is used; the old one is dropped.

    Args:
        workspace: The project.
        names: Vars, as ``rolecall vars list`` names them, without the file.
        force: Whether those with which something would be lost are rotated too.
        at_once: Whether the old value is dropped at once, even where that leaves a gap.

    Returns:
        What was generated.

    Raises:
        Faults: As `Workspace.sound`; when the var does not exist; when a step fails; when machines lack the last step
            of a rotation. Nothing is generated then.
    """
    project, found = workspace.project, workspace.sound()
    known = recipes_named(found, names)
    wanted = {known[name].key: known[name] for name in names}
    refuse_to_replace_bound(workspace, wanted.values(), force=force, pending=True)
    pending, stored = var_store.pending_and_stored(project, wanted)
    advance = set() if at_once else {key for key, recipe in wanted.items() if recipe.accepted and key in stored}
    if not at_once and (late := [key for key in pending if wanted[key].accepted and var_store.replaces(project, key)]):
        hint = "update first; or `rolecall vars discard`; or do all at once with --at-once"
        raise Faults(Fault(f"a new value of {key} is already pending", hint=hint) for key in late)
    if any(step_of(stored[key]) for key in advance):
        _require_updated(workspace)
    made = regenerate(workspace, found, Replacement(wanted.keys() - advance, advance, force=force))
    binds = {recipe.key: recipe.binds for recipe in known.values()}
    return [Rotated(key, _step(stored.get(key, {}), var), binds.get(key, "")) for key, var in made.items()]


def _step(before: StoredVar, after: StoredVar) -> int:
    """Return the step of a rotation that leads from a stored var to a pending one; 0 for none."""
    return step_of(after) or (STEPS if step_of(before) and after == current(before) else 0)


def left_behind(workspace: Workspace, rotated: Sequence[Rotated]) -> list[Fault]:
    """Return a warning for each machine that lacks stored secrets of an instance whose other vars were rotated at once.

    It missed an update. The rotation can take away the last values that it shares with the others.
    """
    at_once = [each.key for each in rotated if not each.step]
    try:
        evaluation = workspace.evaluation() if at_once else None
    except Faults:  # the next plan reports them
        return []
    if evaluation is None:
        return []
    instances = {recipe.key: recipe.origin.partition(".")[0] for recipe in evaluation.members.recipes}
    warnings = []
    for instance in dict.fromkeys(instances[key] for key in at_once):
        names = {key.name for key in at_once if instances[key] == instance}
        to_get = {
            place: machines for place, machines in sent(evaluation).items() if instances.get(place[0]) == instance
        }
        for machine, keys in var_store.lacking(workspace.project, to_get).items():
            if others := [str(key) for key in keys if names - {key.name}]:
                what = f"{machine} missed an update: it has not received {', '.join(others)}"
                hint = f"run `rolecall update {machine}` first, or it may share no valid value with the others; "
                hint += "to drop the new values, run `rolecall vars discard`"
                warnings.append(Fault(what, hint=hint, warning=True))
    return warnings


def rotate_with_updates(
    workspace: Workspace,
    names: Sequence[str],
    report: Callable[[list[Rotated]], None],
    update: Callable[[], bool],
    *,
    again: Collection[str] = (),
    force: bool = False,
    at_once: bool = False,
) -> bool:
    """Rotate vars, and run all updates that this takes. A rotation that was begun before is finished.

    Args:
        workspace: The project.
        names: As for `rotate`.
        report: Called with what each step has generated, before its update.
        update: Runs an update; returns whether it is done.
        again: Those of them that are rotated once more after that, as `Rotatable.begun` has them.
        force: As for `rotate`.
        at_once: As for `rotate`.

    Returns:
        Whether all updates are done; after one that is not, no other is begun.

    Raises:
        Faults: As `rotate`.
    """
    last, others = _pending_rotations(workspace, names)
    if (last or others) and not _done(workspace, update):
        return False
    left = [name for name in names if name not in last]
    for each_time in (left, [] if at_once else [name for name in names if name in again]):
        left = each_time
        while left:
            made = rotate(workspace, left, force=force, at_once=at_once)
            report(made)
            if not _done(workspace, update):
                return False
            left = [str(each.key) for each in made if 0 < each.step < STEPS]
    return True


@dataclass(frozen=True, slots=True)
class Rotatable:
    """The vars to rotate so that the secrets that someone could read become useless.

    Attributes:
        names: The vars.
        begun: Those of them whose rotation was begun before: the value that it ends with may be known, too.
        bound: A warning for each var that is left out since something would be lost with it.
    """

    names: tuple[str, ...]
    begun: tuple[str, ...]
    bound: tuple[Fault, ...]


def rotatable(workspace: Workspace, who: str, names: Collection[str] = (), *, force: bool = False) -> Rotatable:
    """Return the vars to rotate so that the secrets that someone could read become useless.

    Args:
        workspace: The project.
        who: A machine, or a public key, with or without a comment.
        names: Vars that are to be rotated even if something is lost with them.
        force: Whether all are.

    Raises:
        Faults: As `Workspace.members`; when `who` is neither a machine nor a key that could read anything.
    """
    who = " ".join(who.split()[:2])
    known, others = known_to(workspace, who)
    machines = workspace.loaded().inventory.machines
    if not known and not others and who not in {*machines, *(admin.public_key for admin in admins(workspace))}:
        hint = nearest(who, machines, what="machines")
        raise fault(f"{who!r} is neither a machine nor a public key that could read a secret", hint=hint)
    bound = [recipe for recipe in known if recipe.binds and not force and str(recipe.key) not in names]
    chosen = {str(recipe.key): recipe.key for recipe in known if recipe not in bound}
    stored = var_store.stored_all(workspace.project)
    begun = tuple(
        name
        for name, key in chosen.items()
        if step_of(stored.get(key, {})) or var_store.replaces(workspace.project, key)
    )
    return Rotatable(tuple(chosen), begun, tuple(replace(needs_force(recipe), warning=True) for recipe in bound))


def _pending_rotations(workspace: Workspace, names: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the vars whose rotation the next update finishes, and those whose rotation it continues."""
    project = workspace.project
    pending = {str(key): var for key, var in var_store.pending(project).items() if var_store.replaces(project, key)}
    steps = {name: step_of(pending[name]) for name in names if name in pending}
    return {name for name, step in steps.items() if not step}, {name for name, step in steps.items() if step}


def _done(workspace: Workspace, update: Callable[[], bool]) -> bool:
    done = update()
    workspace.refresh()
    return done


def _require_updated(workspace: Workspace) -> None:
    """Require that every machine has the step before.

    Raises:
        Faults: When one has not, or cannot be reached.
    """
    with planning(workspace) as planned:
        plan = planned.plan
        late = [each.machine for each in plan.machines if not each.same]
    if not plan.empty or late:
        what = ", ".join(late) if late else "what is pending"
        raise fault(
            f"a rotation continues when all machines are up to date, and {what} is not",
            hint="run `rolecall update` first; to do all at once anyway, use --at-once",
        )
