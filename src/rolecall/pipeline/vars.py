"""Generate, rotate, check and list vars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import Fault, Faults, fault, nearest
from rolecall.evaluate.steps import gather
from rolecall.model.recipes import Replacement
from rolecall.model.vars import STEPS, current, step_of
from rolecall.pipeline.evaluation import (
    Evaluation,
    Members,
    evaluate,
    faults_located_in,
    hosts_of,
    members,
    note_recipes,
    recipes,
    run_all_steps,
    sound,
    unverified,
)
from rolecall.pipeline.plans import planning, sent
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from rolecall.deploy.target import Lab
    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import VarKey
    from rolecall.project import Project
    from rolecall.vars import Bound, Sealed


def generate(project: Project, lab: Lab | None) -> list[VarKey]:
    """Makes the vars that are missing and keeps them, without waiting for an update.

    Returns:
        Those that were not kept before.

    Raises:
        Faults: As `sound`; also when a step fails. Nothing is made then.
    """
    found = sound(project)
    with faults_located_in(found.loaded):
        world = gather(found.membership, hosts_of(project, found.loaded, lab))
        run_all_steps(project, found, world)
    # What waits to take the place of a kept one goes on waiting.
    new = {key: var for key, var in world.vars.items() if not var_store.replaces(project, key)}
    kept = var_store.stored_all(project)
    var_store.promote(project, new)
    note_recipes(project, found)
    return [key for key in new if key not in kept]


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
            f"step 2 of {STEPS}: the new value is used, and the old one accepted still",
            f"step 3 of {STEPS}: the old value goes",
        )
        lost = f"; nothing converts what depends on the old one: {self.binds}" if self.binds else ""
        return f"{self.key}  {what[self.step]}{lost}"


def rotate(
    project: Project, lab: Lab | None, names: Sequence[str], *, force: bool = False, at_once: bool = False
) -> list[Rotated]:
    """Generate new values of vars, and of what reads them, into the pending set; the next update puts them in place.

    Where peers can accept two values at once, that takes three updates, and this once before each: the new value is
    accepted beside the old one; it is used; the old one goes.

    Args:
        project: The project.
        lab: The project's lab while it is up.
        names: Vars, as ``rolecall vars list`` names them, without the file.
        force: Whether those with which something would be lost are rotated too.
        at_once: Whether the old value goes at once, even where that leaves a gap.

    Returns:
        Those that were made.

    Raises:
        Faults: As `sound`; when there is no such var; when a step fails; when machines lack the last step of a
            rotation. Nothing is made then.
    """
    found = sound(project)
    known = _named_recipes(found, names)
    wanted = {known[name].key: known[name] for name in names}
    refuse_to_replace_bound(project, wanted.values(), force=force, pending=True)
    waiting, kept = var_store.pending_and_stored(project, wanted)
    advance = set() if at_once else {key for key, recipe in wanted.items() if recipe.accepted and key in kept}
    if not at_once and (late := [key for key in waiting if wanted[key].accepted and var_store.replaces(project, key)]):
        hint = "update first; or `rolecall vars discard`; or do all at once with --at-once"
        raise Faults(Fault(f"a new value of {key} waits for an update already", hint=hint) for key in late)
    if any(step_of(kept[key]) for key in advance):
        _require_updated(project, lab)
    made = regenerate(project, found, lab, Replacement(wanted.keys() - advance, advance, force=force))
    binds = {recipe.key: recipe.binds for recipe in known.values()}
    return [Rotated(key, (step_of(kept[key]) + 1) if key in advance else 0, binds.get(key, "")) for key in made]


def refuse_to_replace_bound(project: Project, recipes: Iterable[Recipe], *, force: bool, pending: bool = False) -> None:
    """Refuse to replace stored vars that bind something, unless forced; with ``pending``, pending ones too.

    Raises:
        Faults: For each.
    """
    bound = [recipe for recipe in recipes if recipe.binds and not force]
    waiting, kept = var_store.pending_and_stored(project, [recipe.key for recipe in bound])
    there = kept | waiting if pending else kept
    if faults := [needs_force(recipe) for recipe in bound if recipe.key in there]:
        raise Faults(faults)


def needs_force(recipe: Recipe) -> Fault:
    """Return the fault for a var that is replaced only with --force."""
    hint = "nothing converts what depends on the old value; to replace it all the same, name it with --force"
    return Fault(f"{recipe.key} is not replaced: {recipe.binds}", hint=hint)


def waiting(project: Project, names: Collection[str]) -> tuple[set[str], set[str]]:
    """Those of the vars of which a new value waits for an update: after which nothing is left to do, and others."""
    found = {str(key): var for key, var in var_store.pending(project).items() if var_store.replaces(project, key)}
    named = {name: step_of(found[name]) for name in names if name in found}
    return {name for name, step in named.items() if not step}, {name for name, step in named.items() if step}


def _require_updated(project: Project, lab: Lab | None) -> None:
    """A step may be done only when every machine has the one before.

    Raises:
        Faults: When one has not, or cannot be asked.
    """
    with planning(project, lab, (), lambda *_: None) as planned:
        plan = planned.plan
        late = [each.machine for each in plan.machines if not each.same]
    if not plan.empty or late:
        what = ", ".join(late) if late else "what is pending"
        raise fault(
            f"a rotation goes on when all machines are as the inventory says, and {what} is not",
            hint="`rolecall update` comes first; to do all at once in spite of that: --at-once",
        )


def set_var(
    project: Project, lab: Lab | None, name: str, values: Mapping[str, bytes], *, force: bool = False
) -> list[VarKey]:
    """Put what a person brings into the pending set, and regenerate the vars that read it.

    Args:
        project: The project.
        lab: The project's lab while it is up.
        name: The var, as for `rotate`.
        values: By file; "" stands for the only one that the var has. Others stay as they are.
        force: Whether one that is kept is replaced even if something is lost with it.

    Returns:
        What is pending now and was not before.

    Raises:
        Faults: As `rotate`; when the var has no such file, or would lack one.
    """
    found = sound(project)
    recipe = _named_recipes(found, [name])[name]
    files = [file.name for file in recipe.generator.files]
    values = {(files[0] if not file and len(files) == 1 else file): value for file, value in values.items()}
    if unknown := [file for file in values if file not in files]:
        told = f"has no file {unknown[0]!r}" if unknown[0] else "has several files"
        raise fault(f"the var {name} {told}", hint=f"say each as FILE=PATH; files there are: {', '.join(files)}")
    refuse_to_replace_bound(project, [recipe], force=force)
    return regenerate(project, found, lab, Replacement(given={recipe.key: values}, force=force))


def _named_recipes(found: Members, names: Iterable[str]) -> Mapping[str, Recipe]:
    known = {str(recipe.key): recipe for recipe in found.recipes}
    if unknown := [name for name in names if name not in known]:
        hints = {name: nearest(name, known, what="vars") for name in unknown}
        raise Faults(Fault(f"the inventory asks for no var {name!r}", hint=hint) for name, hint in hints.items())
    return known


def regenerate(project: Project, found: Members, lab: Lab | None, replacement: Replacement) -> list[VarKey]:
    """Regenerate vars, and what reads them, into the pending set; what is pending now and was not before.

    Raises:
        Faults: When a step fails. Nothing is made then.
    """
    before = var_store.pending(project)
    with faults_located_in(found.loaded):
        world = gather(found.membership, hosts_of(project, found.loaded, lab))
        run_all_steps(project, found, world, replacement)
    return [key for key, var in var_store.pending(project).items() if before.get(key) != var]


@dataclass(frozen=True, slots=True)
class Audience:
    """Who can read one secret.

    Attributes:
        secret: As `rolecall vars list` names it.
        pending: Whether it waits for an update.
        admins: Names of those to whom it is encrypted; a public key where that is no admin's.
        machines: Those to which it goes.
        formerly: Machines that have had it and get it no longer, and public keys that could read it before.
        groups: By machine: the groups whose members can read it there, beside root and the file's owner.
    """

    secret: str
    pending: bool
    admins: tuple[str, ...]
    machines: tuple[str, ...]
    formerly: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]


def audiences(project: Project, lab: Lab | None) -> list[Audience]:
    """Who can read what, sorted by secret. Missing vars are made into the pending set.

    Raises:
        Faults: As `evaluate`.
    """
    evaluation = evaluate(project, lab)
    machines = sent(evaluation)
    names = {admin.public_key: admin.name for admin in var_store.admins(project)}
    groups = _groups(evaluation)
    found = []
    for each in var_store.sealed(project):
        pending = each.base == project.pending
        # Of two values of one secret, the pending one counts in an evaluation.
        counts = pending == (each.key in evaluation.makes)
        goes = set(machines.get((each.key, each.file), ())) if counts else set()
        admins = sorted(names.get(key, key) for key in each.recipients or ())
        formerly = sorted({*(each.machines - goes), *each.formerly})
        there = groups.get((each.key, each.file), {}) if counts else {}
        found.append(Audience(str(each), pending, tuple(admins), tuple(sorted(goes)), tuple(formerly), there))
    return sorted(found, key=lambda row: (row.secret, row.pending))


def _groups(evaluation: Evaluation) -> Mapping[tuple[VarKey, str], dict[str, tuple[str, ...]]]:
    """For each secret that groups can read on machines: by machine, which."""
    where = {file.version: (key, name) for key, var in evaluation.world.vars.items() for name, file in var.items()}
    found: dict[tuple[VarKey, str], dict[str, tuple[str, ...]]] = {}
    for machine, configured in evaluation.configured.items():
        for file in configured.configuration.resources:
            if isinstance(file, File) and file.shared_with:
                for secret in file.secrets:
                    groups = found.setdefault(where[secret.version], {})
                    groups[machine] = tuple(sorted({*groups.get(machine, ()), file.shared_with}))
    return found


def known_to(project: Project, who: str) -> tuple[list[Recipe], list[VarKey]]:
    """The vars of which a machine, or who has a key, has seen a secret: those that are wanted, and others.

    Raises:
        Faults: As `recipes`.
    """
    seen = sorted({each.key for each in var_store.known_to(project, who)})
    wanted = {recipe.key: recipe for recipe in recipes(project)}
    return [wanted[key] for key in seen if key in wanted], [key for key in seen if key not in wanted]


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The stored vars that the inventory does not ask for.

    Attributes:
        free: Those with which nothing is lost.
        bound: Those with which something is lost, or may be.
    """

    free: tuple[VarKey, ...]
    bound: tuple[Bound, ...]


def unwanted(project: Project) -> Unwanted:
    """What the inventory does not ask for any more.

    Raises:
        Faults: As `members`.
    """
    found = members(project)
    note_recipes(project, found)
    wanted = {recipe.key for recipe in found.recipes}
    free = var_store.prune(project, wanted, dry_run=True)
    return Unwanted(tuple(free), tuple(var_store.bound_in(project, project.vars, wanted)))


def prunable(project: Project, names: Sequence[str], *, force: bool) -> list[VarKey]:
    """The stored vars of these names, when they may be removed.

    Args:
        project: The project.
        names: As `rolecall vars list` names vars, without the file.
        force: Whether those may be with which something is lost.

    Raises:
        Faults: For each that may not, or is not there; and as `members`.
    """
    found = unwanted(project)
    free, bound = {str(key): key for key in found.free}, {str(each.key): each for each in found.bound}
    wanted = {str(recipe.key) for recipe in recipes(project)}
    faults = []
    for name in names:
        if name in wanted:
            hint = "take its role away from the machine first"
            faults.append(Fault(f"the inventory asks for the var {name!r}", hint=hint))
        elif name in bound and not force:
            hint = f"to remove it all the same, run `rolecall vars prune --force {name}`"
            faults.append(Fault(f"{name} is kept: {bound[name].why}", hint=hint))
        elif name not in free and name not in bound:
            faults.append(Fault(f"no stored var {name!r}", hint=nearest(name, [*free, *bound], what="vars to remove")))
    if faults:
        raise Faults(faults)
    return [free[name] if name in free else bound[name].key for name in names]


def discard(project: Project, names: Sequence[str] = ()) -> tuple[list[VarKey], list[Bound]]:
    """Drops the vars that were made for plans and never promoted; those that bind something only when they are named.

    Returns:
        What was dropped, and what was kept.

    Raises:
        Faults: For each name of which nothing is pending.
    """
    found = {str(each.key): each.key for each in var_store.bound_in(project, project.pending)}
    if unknown := [name for name in names if name not in found]:
        hints = {name: nearest(name, found, what="vars to force") for name in unknown}
        raise Faults(Fault(f"no pending var {name!r} that binds anything", hint=hint) for name, hint in hints.items())
    dropped = var_store.discard(project, drop={found[name] for name in names})
    return dropped, var_store.bound_in(project, project.pending)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of vars without a fault found.

    Attributes:
        secrets: How many secrets there are.
        marked: The vars of an earlier version that were verified, and are marked from now on.
        warnings: One for the vars that are not verified.
    """

    secrets: int
    marked: tuple[VarKey, ...]
    warnings: tuple[Fault, ...]


def check_vars(project: Project, *, decrypt: bool = False) -> Checked:
    """Whether files of vars belong together, fit one another, and can be read by the admins and by nobody else.

    Vars of an earlier version for which that was shown with ``decrypt`` are marked.

    Args:
        project: The project.
        decrypt: Whether to decrypt secrets too, for what cannot be told without.

    Raises:
        Faults: For each that is not so; and as `members`.
    """
    faults = var_store.unsound(project)
    looks: tuple[Callable[[], list[Fault]], ...] = (
        lambda: [each for _, each in var_store.with_wrong_recipients(project)],
        lambda: var_store.misfits(project, recipes(project), decrypt=decrypt),
    )
    for look in looks:
        try:
            faults += look()
        except Faults as error:
            faults += error.faults
    if faults:
        raise Faults(faults)
    wanted = {recipe.key: recipe.file_names for recipe in recipes(project)}
    whole = {key for key, var in var_store.stored_all(project).items() if current(var).keys() == wanted.get(key)}
    marked = var_store.mark(project, sorted(whole)) if decrypt else []
    return Checked(len(var_store.sealed(project)), tuple(marked), tuple(unverified(project, wanted)))


def fix_vars(project: Project) -> tuple[list[Sealed], list[Fault]]:
    """Repairs what can be repaired without a person; see `rolecall.vars.fix`.

    Returns:
        The secrets that were re-encrypted, and what is left to do.

    Raises:
        Faults: When there is no admin.
    """
    fixed, left = var_store.fix(project)
    try:
        note_recipes(project, members(project))
    except Faults as error:
        left += error.faults
    return fixed, left
