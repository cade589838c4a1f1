"""Generate, set, check and remove vars."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import Fault, Faults, fault, nearest
from rolecall.evaluate.steps import gather
from rolecall.model.recipes import Replacement
from rolecall.model.vars import current
from rolecall.pipeline.evaluation import faults_located_in, note_recipes, run_all_steps, unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import StoredVar, VarKey
    from rolecall.pipeline.evaluation import Members
    from rolecall.pipeline.workspace import Workspace
    from rolecall.vars import Bound, Sealed


def generate(workspace: Workspace) -> list[VarKey]:
    """Generate the vars that are missing, and store them without waiting for an update.

    Returns:
        The vars that were not stored before.

    Raises:
        Faults: As `Workspace.sound`; also when a step fails. Nothing is stored then.
    """
    found, project = workspace.sound(), workspace.project
    with faults_located_in(found.loaded):
        world = gather(found.membership, workspace.hosts())
        run_all_steps(project, found, world)
    # A pending value that will replace a stored one stays pending.
    new = {key: var for key, var in world.vars.items() if not var_store.replaces(project, key)}
    stored = var_store.stored_all(project)
    var_store.promote(project, new)
    note_recipes(project, found)
    workspace.refresh()
    return [key for key in new if key not in stored]


def set_var(workspace: Workspace, name: str, values: Mapping[str, bytes], *, force: bool = False) -> list[VarKey]:
    """Put a person's values of a var into the pending set, and regenerate the vars that read it.

    Args:
        workspace: The project.
        name: The var, as ``rolecall vars list`` names it, without the file.
        values: By file; "" stands for the only one that the var has. Other files stay as they are.
        force: Whether a stored value is replaced even if something is lost with it.

    Returns:
        The vars that became pending.

    Raises:
        Faults: As `rotate`; when the var has no such file, or would lack one.
    """
    found = workspace.sound()
    recipe = recipes_named(found, [name])[name]
    files = [file.name for file in recipe.generator.files]
    values = {(files[0] if not file and len(files) == 1 else file): value for file, value in values.items()}
    if unknown := [file for file in values if file not in files]:
        what = f"has no file {unknown[0]!r}" if unknown[0] else "has several files"
        raise fault(f"the var {name} {what}", hint=f"write each as FILE=PATH; its files: {', '.join(files)}")
    refuse_to_replace_bound(workspace, [recipe], force=force)
    return list(regenerate(workspace, found, Replacement(given={recipe.key: values}, force=force)))


def regenerate(workspace: Workspace, found: Members, replacement: Replacement) -> dict[VarKey, StoredVar]:
    """Regenerate vars, and the vars that read them, into the pending set; return those that became pending.

    Raises:
        Faults: When a step fails. Nothing is generated then.
    """
    project = workspace.project
    before = var_store.pending(project)
    with faults_located_in(found.loaded):
        world = gather(found.membership, workspace.hosts())
        run_all_steps(project, found, world, replacement)
    workspace.refresh()
    return {key: var for key, var in var_store.pending(project).items() if before.get(key) != var}


def recipes_named(found: Members, names: Iterable[str]) -> Mapping[str, Recipe]:
    """Return all recipes by the names of their vars, among which are these.

    Raises:
        Faults: For each name that is not among them.
    """
    known = {str(recipe.key): recipe for recipe in found.recipes}
    if unknown := [name for name in names if name not in known]:
        hints = {name: nearest(name, known, what="vars") for name in unknown}
        raise Faults(Fault(f"the inventory needs no var {name!r}", hint=hint) for name, hint in hints.items())
    return known


def matching(workspace: Workspace, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the vars that the inventory needs and that match patterns: ``*`` stands for any text.

    A name without ``*`` stays as it is, whether there is such a var or not.

    Raises:
        Faults: For each pattern that no var matches.
    """
    if not any("*" in pattern for pattern in patterns):
        return tuple(patterns)
    known = sorted(str(recipe.key) for recipe in workspace.sound().recipes)
    found = {each: fnmatch.filter(known, each) if "*" in each else [each] for each in patterns}
    if unknown := [pattern for pattern, names in found.items() if not names]:
        hint = "`rolecall vars list` shows all vars"
        raise Faults(Fault(f"no var matches {pattern!r}", hint=hint) for pattern in unknown)
    return tuple(dict.fromkeys(name for names in found.values() for name in names))


def refuse_to_replace_bound(
    workspace: Workspace, recipes: Iterable[Recipe], *, force: bool, pending: bool = False
) -> None:
    """Refuse to replace stored vars that bind something, unless forced; with ``pending``, pending ones too.

    Raises:
        Faults: For each.
    """
    bound = [recipe for recipe in recipes if recipe.binds and not force]
    waiting, stored = var_store.pending_and_stored(workspace.project, [recipe.key for recipe in bound])
    present = stored | waiting if pending else stored
    if faults := [needs_force(recipe) for recipe in bound if recipe.key in present]:
        raise Faults(faults)


def needs_force(recipe: Recipe) -> Fault:
    """Return the fault for a var that is replaced only with --force."""
    hint = "nothing converts what depends on the old value; to replace it anyway, name it with --force"
    return Fault(f"{recipe.key} is not replaced: {recipe.binds}", hint=hint)


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The stored vars that the inventory does not need.

    Attributes:
        free: Those with which nothing is lost.
        bound: Those with which something is lost, or may be.
    """

    free: tuple[VarKey, ...]
    bound: tuple[Bound, ...]


def unwanted(workspace: Workspace) -> Unwanted:
    """Return the stored vars that the inventory does not need any more.

    Raises:
        Faults: As `Workspace.members`.
    """
    found, project = workspace.members(), workspace.project
    note_recipes(project, found)
    wanted = {recipe.key for recipe in found.recipes}
    free = var_store.prune(project, wanted, dry_run=True)
    return Unwanted(tuple(free), tuple(var_store.bound_in(project, project.vars, wanted)))


@dataclass(frozen=True, slots=True)
class Pruning:
    """What a prune removes.

    Attributes:
        removed: The vars that go.
        lost: Those of them with which something is lost.
        kept: Those that stay, since something would be lost with them.
    """

    removed: tuple[VarKey, ...]
    lost: tuple[Bound, ...]
    kept: tuple[Bound, ...]


def pruning(workspace: Workspace, names: Sequence[str] = (), *, force: bool = False) -> Pruning:
    """Return which stored vars `prune` would remove.

    Args:
        workspace: The project.
        names: Vars, without the file; by default all that the inventory does not need and with which nothing is lost.
        force: Whether those of `names` may be removed with which something is lost.

    Raises:
        Faults: For each name that may not be removed, or does not exist; and as `Workspace.members`.
    """
    found = unwanted(workspace)
    if not names:
        return Pruning(found.free, (), found.bound)
    free, bound = {str(key): key for key in found.free}, {str(each.key): each for each in found.bound}
    wanted = {str(recipe.key) for recipe in workspace.members().recipes}
    faults = []
    for name in names:
        if name in wanted:
            hint = "remove its role from the machine first"
            faults.append(Fault(f"the inventory needs the var {name!r}", hint=hint))
        elif name in bound and not force:
            hint = f"to remove it anyway, run `rolecall vars prune --force {name}`"
            faults.append(Fault(f"{name} is kept: {bound[name].why}", hint=hint))
        elif name not in free and name not in bound:
            faults.append(Fault(f"no stored var {name!r}", hint=nearest(name, [*free, *bound], what="vars to remove")))
    if faults:
        raise Faults(faults)
    removed = tuple(free[name] if name in free else bound[name].key for name in names)
    return Pruning(removed, tuple(bound[name] for name in names if name in bound), ())


def prune(workspace: Workspace, chosen: Pruning) -> None:
    """Remove stored vars for good."""
    var_store.remove(workspace.project, chosen.removed)
    workspace.refresh()


def discard(
    workspace: Workspace, names: Sequence[str] = (), *, generated: bool = False
) -> tuple[list[VarKey], list[Bound]]:
    """Drop the pending vars; those that bind something only when they are named.

    Args:
        workspace: The project.
        names: Vars that are dropped even if they bind something.
        generated: Whether only generated ones are dropped, not those that a person gave.

    Returns:
        The vars that were dropped, and those that were kept.

    Raises:
        Faults: For each name that is not that of a pending var.
    """
    project = workspace.project
    bound = {str(each.key): each.key for each in var_store.bound_in(project, project.pending)}
    if unknown := [name for name in names if name not in bound]:
        hints = {name: nearest(name, bound, what="vars to force") for name in unknown}
        raise Faults(Fault(f"no pending var {name!r} that binds anything", hint=hint) for name, hint in hints.items())
    dropped = var_store.discard(project, drop={bound[name] for name in names}, generated=generated)
    workspace.refresh()
    return dropped, var_store.bound_in(project, project.pending)


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check of vars that found no fault.

    Attributes:
        secrets: The number of secrets.
        marked: The vars of an earlier version that were verified, and are marked from now on.
        warnings: One for the vars that are not verified.
    """

    secrets: int
    marked: tuple[VarKey, ...]
    warnings: tuple[Fault, ...]


def check_vars(workspace: Workspace, *, decrypt: bool = False) -> Checked:
    """Check that the files of vars belong together and match, and that the admins alone can read the secrets.

    With ``decrypt``, vars that an earlier version stored are marked after that.

    Args:
        workspace: The project.
        decrypt: Whether to decrypt secrets, for what cannot be checked without.

    Raises:
        Faults: Everything that is wrong; and as `Workspace.members`.
    """
    project = workspace.project
    faults = var_store.unsound(project)
    checks: tuple[Callable[[], list[Fault]], ...] = (
        lambda: [each for _, each in var_store.with_wrong_recipients(project)],
        lambda: var_store.misfits(project, workspace.members().recipes, decrypt=decrypt),
    )
    for check in checks:
        try:
            faults += check()
        except Faults as error:
            faults += error.faults
    if faults:
        raise Faults(faults)
    wanted = {recipe.key: recipe.file_names for recipe in workspace.members().recipes}
    whole = {key for key, var in var_store.stored_all(project).items() if current(var).keys() == wanted.get(key)}
    marked = var_store.mark(project, sorted(whole)) if decrypt else []
    return Checked(len(var_store.sealed(project)), tuple(marked), tuple(unverified(project, wanted)))


def fix_vars(workspace: Workspace) -> tuple[list[Sealed], list[Fault]]:
    """Repair what can be repaired without a person; see `rolecall.vars.fix`.

    Returns:
        The secrets that were re-encrypted, and the faults that are left.

    Raises:
        Faults: When the project has no admin.
    """
    fixed, left = var_store.fix(workspace.project)
    try:
        note_recipes(workspace.project, workspace.members())
    except Faults as error:
        left += error.faults
    workspace.refresh()
    return fixed, left
