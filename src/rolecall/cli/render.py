"""Plans and reports as text for people."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from rolecall.model.vars import step_of, used

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.model.plan import Change, MachinePlan, Plan, Report

# action: sign, colour, word for what is not obvious from the sign
SIGNS = {
    "create": ("+", "green", ""),
    "change": ("~", "yellow", ""),
    "repair": ("~", "yellow", "drifted: "),
    "adopt": ("=", "cyan", "already so"),
    "overwrite": ("!", "red", "overwrites: "),
    "remove": ("-", "red", ""),
}
SUMMARY = {"unchanged": None, "updated": "green", "restored": "yellow", "untouched": "yellow", "unknown": "red"}


# By the steps of a rotation that are done afterwards.
MOVES = ("", "; a new value is accepted beside it", "; the old value is accepted still")


def plan_text(plan: Plan, reasons: Mapping[str, str]) -> str:
    """A plan. Machines with the same changes are shown together.

    Args:
        plan: The plan.
        reasons: By ``INSTANCE.ROLE``: where in the inventory that stands.
    """
    lines: list[str] = []
    for key, files in plan.makes.items():
        now = used(files)
        kinds = ", ".join(f"{name} (secret)" if file.secret else name for name, file in sorted(now.items()))
        lines.append(f"make {key}: {kinds}{MOVES[step_of(files)]}")
    if plan.makes:
        lines.append("")
    by_content = sorted(plan.changing, key=lambda machine: (machine.wave, str(_content(machine)), machine.machine))
    for _, group in groupby(by_content, key=lambda machine: (machine.wave, _content(machine))):
        lines += [*_group(list(group), reasons), ""]
    for machine in plan.failing:
        lines += [click.style(f"{machine.machine} ({machine.target}): {machine.failure}", fg="red"), ""]
    for machine in plan.machines:
        if machine.same and machine.recovered:
            lines += [f"{machine.machine}: an interrupted switch was {machine.recovered}", ""]
    if plan.failing and len(plan.failing) < len(plan.machines):
        lines += ["to go on without them for now, name the others: `rolecall update MACHINE …`", ""]
    same = [machine.machine for machine in plan.machines if machine.same]
    if same and not plan.empty:
        lines.append(f"nothing changes on {_names(same)}")
    instances = ", ".join(f"{name}: {module}" for name, module in plan.modules.items())
    if plan.empty:
        lines.append(f"nothing changes ({len(plan.machines)} machines)")
    else:
        count = sum(len(machine.changes) for machine in plan.changing)
        lines.append(
            f"{count} changes on {len(plan.changing)} of {len(plan.machines)} machines, "
            f"{len(plan.makes)} vars to make; services: {instances}"
        )
    return "\n".join(lines)


def _content(machine: MachinePlan) -> tuple[object, ...]:
    return (machine.recovered, machine.formerly, machine.changes, machine.units)


def _group(machines: list[MachinePlan], reasons: Mapping[str, str]) -> list[str]:
    first = machines[0]
    head = _names([machine.machine for machine in machines])
    recovered = f", an interrupted switch was {first.recovered}" if first.recovered else ""
    target = ", ".join(sorted({machine.target for machine in machines})[:3])
    formerly = f", installed as {first.formerly} until now" if first.formerly else ""
    lines = [click.style(head, bold=True) + f" ({target}{recovered}{formerly})"]
    width = max(len(change.key.replace(":", " ", 1)) for change in first.changes) if first.changes else 0
    lines += [_change(change, min(width, 70)) for change in first.changes]
    lines += [f"  {unit.verb} {unit.name}" for unit in first.units]
    if not first.changes and not first.units:
        lines.append("  = all is there already; only how it is declared has changed")
    origins = sorted({origin for change in first.changes for origin in change.origins})
    lines += [f"  because of {origin} at {reasons[origin]}" for origin in origins if origin in reasons]
    if any(change.action == "remove" for change in first.changes):
        lines.append("  because nothing in the inventory asks for it any more")
    return lines


def _change(change: Change, width: int) -> str:
    sign, colour, word = SIGNS[change.action]
    name = change.key.replace(":", " ", 1)
    if len(name) > width:
        name = name[: width - 1] + "…"
    detail = f"{word}{change.detail}"
    notes = "  ".join(filter(None, (", ".join(change.origins), detail)))
    return click.style(f"  {sign} {name:{width}}  {notes}".rstrip(), fg=colour)


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{len(names)} machines ({shown}, …)" if len(names) > 5 else shown  # noqa: PLR2004 - a line's worth


def report_text(report: Report) -> str:
    """What became of a run."""
    lines = []
    for outcome in report.outcomes:
        if outcome.result == "unchanged":
            continue
        number = f" (generation {outcome.generation})" if outcome.generation else ""
        message = f": {outcome.message}" if outcome.message else ""
        lines.append(click.style(f"{outcome.machine} {outcome.result}{number}", fg=SUMMARY[outcome.result]) + message)
        if outcome.result != "updated":
            lines += [f"    {line}" for line in outcome.detail.splitlines()]
    updated = sum(outcome.result == "updated" for outcome in report.outcomes)
    if report.done:
        word = f"{updated} machines updated" if updated else "nothing changed"
    elif any(outcome.result == "unknown" for outcome in report.outcomes):
        word = "failed; a machine is in doubt: the next run recovers it"
    else:
        word = "failed; every machine is as it was before"
    lines.append(f"{word} ({report.seconds:.1f} s, {report.execs} execs)")
    return "\n".join(lines)
