"""Plans and reports as text for people."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from textwrap import indent
from typing import TYPE_CHECKING

import click

from rolecall.errors import listed, plural
from rolecall.model.plan import Why
from rolecall.model.vars import current, step_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.model.plan import Change, Damage, Diff, MachinePlan, Plan, Report, UnitChange

NAMED = 5  # names in a list
FOLDED = 20  # lines of a diff that are shown
WIDTH = 70  # characters of the name of a resource
AGENT = (Why("agent"),)  # what needs no reason at the end
DIFF_COLOURS = {"+": "green", "-": "red", "@": "cyan"}

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
    "skipped": ("yellow", "skipped"),
}

# By how an interrupted switch was recovered.
RECOVERED = {
    "undone": "an interrupted update was undone",
    "committed": "an interrupted update, which was decided, was completed",
}

# By the steps of a rotation that are done afterwards.
MOVES = ("", "; a new value is accepted beside it", "; the old value is still accepted")


def plan_text(plan: Plan, *, full: bool = False) -> str:
    """Return a plan as text. Machines with the same changes are shown together.

    Args:
        plan: The plan.
        full: Whether to show long diffs to their ends.
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
    by_content = sorted(plan.changing, key=lambda machine: (machine.wave, repr(_content(machine)), machine.machine))
    for _, group in groupby(by_content, key=lambda machine: (machine.wave, _content(machine))):
        lines += [*_group(list(group), full=full), ""]
    for machine in plan.failing:
        lines += [click.style(f"{machine.machine} ({machine.target}): {machine.failure}", fg="red")]
        lines += [*damage_lines(machine.machine, machine.damage), ""]
    for machine in plan.machines:
        if machine.same and machine.recovered:
            lines += [f"{machine.machine}: {RECOVERED[machine.recovered]}", ""]
    lines += _left_out(plan)
    same = sorted(machine.machine for machine in plan.machines if machine.same)
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
            f"{plural(count, 'change')} on {len(plan.changing)} of {plural(len(plan.machines), 'machine')}"
            + (f", {made}; services: {instances}" if plan.modules or plan.makes else "")
        )
    return "\n".join(lines)


def _left_out(plan: Plan) -> list[str]:
    """Return how to update without the machines that could not be compared, and which ones are skipped."""
    lines: list[str] = []
    if plan.failing and len(plan.failing) < len(plan.machines):
        unreachable = all(machine.unreachable for machine in plan.failing)
        how = "use `--offline skip`" if unreachable else "name them: `rolecall update MACHINE …`"
        lines += [f"to update only the others, {how}", ""]
    for each in plan.skipped:
        lines.append(
            click.style(f"{each.machine} ({each.plan.target}) is skipped", fg="yellow") + f": {each.plan.failure}"
        )
        lines += [*([f"  these depend on it: {each.dependents}"] if each.dependents else []), ""]
    return lines


def _content(machine: MachinePlan) -> tuple[object, ...]:
    return (machine.recovered, machine.formerly, machine.back, machine.changes, machine.units)


def _group(machines: list[MachinePlan], *, full: bool) -> list[str]:
    first = machines[0]
    head = names([machine.machine for machine in machines])
    recovered = f", {RECOVERED[first.recovered]}" if first.recovered else ""
    target = ", ".join(sorted({machine.target for machine in machines})[:3])
    formerly = f", until now installed as {first.formerly}" if first.formerly else ""
    back = ", back to " + (f"generation {first.back}" if first.back else "nothing installed")
    lines = [click.style(head, bold=True) + f" ({target}{recovered}{formerly}{back if first.back is not None else ''})"]
    width = min(max((len(_name(change)) for change in first.changes), default=0), WIDTH)
    reasons = list(dict.fromkeys(change.why for change in first.changes if change.why != AGENT))
    for change in first.changes:
        number = f"[{reasons.index(change.why) + 1}]" if len(reasons) > 1 and change.why != AGENT else ""
        note = "for Rolecall itself" if change.why == AGENT else number
        lines += [_change(change, width, note), *_diff(change.diff, full=full)]
    lines += map(_effect, first.units)
    if not first.changes and not first.units:
        lines.append("  = no change on the machine; only its declaration changed")
    for index, reason in enumerate(reasons, 1):
        number = f"[{index}] " if len(reasons) > 1 else ""
        joint = f"\n  {' ' * len(number)}  and "
        lines.append(f"  {number}because {joint.join(map(_clause, reason))}")
    return lines


def _clause(why: Why) -> str:
    """Return why resources change as a clause, with its place."""
    subjects = listed(why.subjects) if why.subjects else "other machines"
    several = len(why.subjects) > 1
    clause = {
        "declared": f"{why.origin} is declared",
        "setting": f"{subjects} of {why.origin} changed",
        "var": f"{subjects}, which {why.origin} reads, {'have new values' if several else 'has a new value'}",
        "service": f"the code of the service of {why.origin} changed",
        "peer": f"{subjects} changed, which {why.origin} depends on",
        "drift": f"the machine no longer has what {why.origin} declares",
        "undeclared": f"the inventory no longer declares {why.origin or 'it'} here",
        "rollback": "of the rollback",
        "unknown": f"{why.origin or 'its declaration'} changed",
    }[why.cause]
    return f"{clause}{f' ({why.place})' if why.place else ''}"


def _diff(diff: Diff | None, *, full: bool) -> list[str]:
    """Return how a content changes, indented; of a long diff the beginning, unless all of it is asked for."""
    if diff is None:
        return []
    if diff.note:
        return [f"      {diff.note}"]
    shown = diff.lines if full or len(diff.lines) <= FOLDED + 1 else diff.lines[:FOLDED]
    lines = [click.style(f"      {line}".rstrip(), fg=DIFF_COLOURS.get(line[:1])) for line in shown]
    if more := len(diff.lines) - len(shown):
        lines.append(f"      … {more} more lines (+{diff.added} -{diff.removed} in all); `--full` shows them")
    return lines


def _effect(unit: UnitChange) -> str:
    if unit.verb == "reboot":
        causes = listed([key.replace(":", " ", 1) for key in unit.also], most=NAMED)
        return click.style(f"  reboot the machine: {unit.name} (because of {causes})", fg="red")
    also = f" (also {unit.verb}s {listed(unit.also, most=NAMED + 1)})" if unit.also else ""
    return f"  {unit.verb} {unit.name}{also}"


def _name(change: Change) -> str:
    return change.label or change.key.replace(":", " ", 1)


def _change(change: Change, width: int, note: str) -> str:
    sign, colour, word = SIGNS[change.action]
    name = _name(change)
    if len(name) > width:
        name = name[: width - 1] + "…"
    notes = "  ".join(filter(None, (", ".join(change.origins), f"{word}{change.detail}", note)))
    return click.style(f"  {sign} {name:{width}}  {notes}".rstrip(), fg=colour)


def names(machines: Sequence[str]) -> str:
    """Return the names of machines, the first five of many."""
    shown = ", ".join(machines[:NAMED])
    return f"{plural(len(machines), 'machine')} ({shown}, …)" if len(machines) > NAMED else shown


def damage_lines(machine: str, damage: Sequence[Damage]) -> list[str]:
    """Return what could not be put back on a machine, and how to settle that."""
    lines = [indent(str(each), "    ") for each in damage]
    return [*lines, f"    to settle this, run `rolecall machines recover {machine}`"] if damage else []


def _summary(report: Report) -> str:
    """Return what became of a run as a whole; it says no more than the outcomes of the machines show."""
    updated = report.with_result("updated")
    if report.done:
        done = f"{plural(len(updated), 'machine')} updated" if updated else "nothing changed"
        skipped = report.with_result("skipped")
        return f"{done}, {names(skipped)} skipped" if skipped else done
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
