"""Plans and reports as text for people."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from textwrap import indent
from typing import TYPE_CHECKING

import click

from rolecall.errors import plural
from rolecall.model.vars import current, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.model.plan import Change, Damage, MachinePlan, Plan, Report, UnitChange

# By action: sign, colour, and a word for what the sign does not say.
SIGNS = {
    "create": ("+", "green", ""),
    "change": ("~", "yellow", ""),
    "repair": ("~", "yellow", "drifted: "),
    "adopt": ("=", "cyan", "already as declared"),
    "overwrite": ("!", "red", "overwrites: "),
    "remove": ("-", "red", ""),
}
# By result: its colour, and words for the summary.
RESULTS = {
    "unchanged": (None, ""),
    "updated": ("green", "updated"),
    "damaged": ("red", "damaged"),
    "unknown": ("red", "in an unknown state"),
    "restored": ("yellow", "restored"),
    "untouched": ("yellow", "untouched"),
}

# By how an interrupted switch was recovered.
RECOVERED = {
    "undone": "an interrupted update was undone",
    "committed": "an interrupted update, which was decided, was completed",
}

# By the steps of a rotation that are done afterwards.
MOVES = ("", "; a new value is accepted beside it", "; the old value is still accepted")


def plan_text(plan: Plan, reasons: Mapping[str, str]) -> str:
    """Return a plan as text. Machines with the same changes are shown together.

    Args:
        plan: The plan.
        reasons: By ``INSTANCE.ROLE``: its place in the inventory.
    """
    lines: list[str] = []
    for key, files in plan.makes.items():
        now = current(files)
        kinds = ", ".join(f"{name} (secret)" if file.secret else name for name, file in sorted(now.items()))
        verb = plan.verbs[key]
        dropped = "; the old value is dropped" if verb == "rotate" and not step_of(files) else ""
        lines.append(f"{verb} {key}: {kinds}{MOVES[step_of(files)]}{dropped}")
    if plan.makes:
        lines.append("")
    by_content = sorted(plan.changing, key=lambda machine: (machine.wave, str(_content(machine)), machine.machine))
    for _, group in groupby(by_content, key=lambda machine: (machine.wave, _content(machine))):
        lines += [*_group(list(group), reasons), ""]
    for machine in plan.failing:
        lines += [click.style(f"{machine.machine} ({machine.target}): {machine.failure}", fg="red")]
        lines += [*damage_lines(machine.machine, machine.damage), ""]
    for machine in plan.machines:
        if machine.same and machine.recovered:
            lines += [f"{machine.machine}: {RECOVERED[machine.recovered]}", ""]
    if plan.failing and len(plan.failing) < len(plan.machines):
        lines += ["to update only the others, name them: `rolecall update MACHINE …`", ""]
    same = [machine.machine for machine in plan.machines if machine.same]
    if same and not plan.empty:
        lines.append(f"nothing changes on {names(same)}")
    instances = ", ".join(f"{name}: {module}" for name, module in plan.modules.items())
    if plan.empty:
        lines.append(f"nothing changes ({plural(len(plan.machines), 'machine')})")
    else:
        count = sum(len(machine.changes) for machine in plan.changing)
        by_verb = {"generate": 0} | Counter(plan.verbs.values())
        made = ", ".join(f"{plural(number, 'var')} to {verb}" for verb, number in by_verb.items())
        lines.append(
            f"{plural(count, 'change')} on {len(plan.changing)} of {plural(len(plan.machines), 'machine')}, "
            f"{made}; services: {instances}"
        )
    return "\n".join(lines)


def _content(machine: MachinePlan) -> tuple[object, ...]:
    return (machine.recovered, machine.formerly, machine.changes, machine.units)


def _group(machines: list[MachinePlan], reasons: Mapping[str, str]) -> list[str]:
    first = machines[0]
    head = names([machine.machine for machine in machines])
    recovered = f", {RECOVERED[first.recovered]}" if first.recovered else ""
    target = ", ".join(sorted({machine.target for machine in machines})[:3])
    formerly = f", until now installed as {first.formerly}" if first.formerly else ""
    lines = [click.style(head, bold=True) + f" ({target}{recovered}{formerly})"]
    width = max(len(change.key.replace(":", " ", 1)) for change in first.changes) if first.changes else 0
    lines += [_change(change, min(width, 70)) for change in first.changes]
    lines += [f"  {unit.verb} {unit.name}{_also(unit)}" for unit in first.units]
    if not first.changes and not first.units:
        lines.append("  = no change on the machine; only its declaration changed")
    origins = sorted({origin for change in first.changes for origin in change.origins})
    lines += [f"  because of {origin} at {reasons[origin]}" for origin in origins if origin in reasons]
    if any(change.action == "remove" for change in first.changes):
        lines.append("  because nothing in the inventory declares it any more")
    return lines


def _also(unit: UnitChange) -> str:
    more = f" and {len(unit.also) - 5} more" if len(unit.also) > 5 else ""  # noqa: PLR2004 - a line's worth
    return f" (also {unit.verb}s {', '.join(unit.also[:5])}{more})" if unit.also else ""


def _change(change: Change, width: int) -> str:
    sign, colour, word = SIGNS[change.action]
    name = change.key.replace(":", " ", 1)
    if len(name) > width:
        name = name[: width - 1] + "…"
    detail = f"{word}{change.detail}"
    notes = "  ".join(filter(None, (", ".join(change.origins), detail)))
    return click.style(f"  {sign} {name:{width}}  {notes}".rstrip(), fg=colour)


def names(machines: Sequence[str]) -> str:
    """Return the names of machines, the first five of many."""
    shown = ", ".join(machines[:5])
    return f"{plural(len(machines), 'machine')} ({shown}, …)" if len(machines) > 5 else shown  # noqa: PLR2004 - a line's worth


def damage_lines(machine: str, damage: Sequence[Damage]) -> list[str]:
    """Return what could not be put back on a machine, and how to settle that."""
    lines = [indent(str(each), "    ") for each in damage]
    return [*lines, f"    to settle this, run `rolecall machines recover {machine}`"] if damage else []


def _summary(report: Report) -> str:
    """Return what became of a run as a whole; it says no more than the outcomes of the machines show."""
    updated = report.with_result("updated")
    if report.done:
        return f"{plural(len(updated), 'machine')} updated" if updated else "nothing changed"
    if not report.with_result("updated", "damaged", "unknown"):
        return "failed; every machine is as it was before"
    results = [(word, report.with_result(name)) for name, (_, word) in RESULTS.items() if name != "unchanged"]
    words = ", ".join(f"{names(machines)} {word}" for word, machines in results if machines)
    first = "settle the damage first" if report.with_result("damaged") else "run `rolecall update` again to recover"
    return f"failed: {words}; {first}"


def report_text(report: Report) -> str:
    """Return the report of a run as text."""
    lines = []
    for outcome in report.outcomes:
        if outcome.result == "unchanged":
            continue
        number = f" (generation {outcome.generation})" if outcome.generation else ""
        message = f": {outcome.message}" if outcome.message else ""
        target = f" ({outcome.target})" if outcome.target else ""
        head = f"{outcome.machine}{target} {outcome.result}{number}"
        lines.append(click.style(head, fg=RESULTS[outcome.result][0]) + message)
        if outcome.result != "updated":
            lines += [f"    {line}" for line in outcome.detail.splitlines()]
            lines += damage_lines(outcome.machine, outcome.damage)
    lines.append(f"{_summary(report)} ({report.seconds:.1f} s, {plural(report.execs, 'exec')})")
    if report.noted:
        lines.append(f"commit the new notes beside {plural(report.noted, 'var')} (`vars/…/.binds`)")
    return "\n".join(lines)
