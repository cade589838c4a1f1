"""Machines that a run goes on without, since they are unreachable, and when that is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall import vars as var_store
from rolecall.errors import Fault, listed
from rolecall.evaluate.provenance import machines_read
from rolecall.model.plan import Outcome, Skipped
from rolecall.model.vars import VarKey, step_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolecall.evaluate.provenance import Provenances
    from rolecall.model.plan import Compared
    from rolecall.pipeline.evaluation import Evaluation
    from rolecall.pipeline.without import Without
    from rolecall.project import Project


def skip(
    without: Without,
    project: Project,
    evaluation: Evaluation,
    provenances: Provenances,
    compared: Sequence[Compared],
) -> tuple[tuple[Skipped, ...], list[Fault]]:
    """Return the machines that a run goes on without; or why it must not, as warnings.

    None are skipped if the run fails anyway, as another machine could not be compared or none is left.
    """
    plans = [each.plan for each in compared if each.plan.unreachable]
    others = [each.plan for each in compared if not each.plan.unreachable]
    if not plans or not others or without.machines is None or any(plan.failure for plan in others):
        return (), []
    names = {plan.machine for plan in plans}
    if faults := list(_must_not_miss(project, evaluation, provenances, names)):
        return (), faults
    skipped = tuple(Skipped(plan, _readers(evaluation, plan.machine, names)) for plan in plans)
    return (skipped, []) if without.machines(skipped) else ((), [])


def skipped_outcome(skipped: Skipped, *, failed: bool) -> Outcome:
    """Return what the report says of a machine that was skipped.

    Args:
        skipped: The machine.
        failed: Whether the run failed.
    """
    lines = ["the next update brings it up to date"]
    if skipped.dependents:
        lines.append(f"these depend on it: {skipped.dependents}")
        if failed:
            lines.append("a check of these may have failed because of that; `--skip-check NAME` leaves it out")
    plan = skipped.plan
    return Outcome(plan.machine, "skipped", plan.failure, "\n".join(lines), target=plan.target)


def _readers(evaluation: Evaluation, machine: str, skipped: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the roles whose code read something of a machine, each with its other machines."""
    found: dict[str, list[str]] = {}
    for name, configured in evaluation.configured.items():
        for origin, reads in configured.reads.items():
            if name not in skipped and machine in machines_read(reads):
                found.setdefault(origin, []).append(name)
    return {origin: tuple(sorted(names)) for origin, names in sorted(found.items())}


def _must_not_miss(
    project: Project, evaluation: Evaluation, provenances: Provenances, skipped: set[str]
) -> Iterator[Fault]:
    """Warn of each machine that would share no valid value with the others afterwards.

    Of a rotation in several steps, it can miss one: the next one is not begun before it is up to date.
    """
    replaced = {
        str(key)
        for key, var in evaluation.makes.items()
        if var_store.replaces(project, key) and not step_of(var) and var_store.verb(project, key, var) != "rotate"
    }
    if not replaced:
        return
    used = {name: set(_vars_used(provenances, evaluation, name, replaced)) for name in evaluation.configured}
    for name in sorted(skipped):
        by_others = set().union(*(vars_ for other, vars_ in used.items() if other != name))
        if missed := sorted(used[name] & by_others):
            message = f"{name} is unreachable, and must not miss this update: it replaces {listed(missed)}"
            hint = f"wait for it (`--offline wait`), or leave it out all the same: `--except {name}`"
            yield Fault(f"{message}, and {name} would keep the old values", hint=hint, warning=True)


def _vars_used(provenances: Provenances, evaluation: Evaluation, machine: str, names: set[str]) -> Iterator[str]:
    """Yield which of some vars the services of a machine use. Of very many of other machines, all count."""
    for inputs in provenances.of(evaluation.configured[machine])["inputs"].values():
        yield from names & inputs["vars"].keys()
        if "" in inputs["vars"]:
            yield from (name for name in names if VarKey.read(name).machine not in {"", machine})
