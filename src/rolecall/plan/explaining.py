"""The answer of a machine, explained: why each resource changes, and how its content does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rolecall.plan.differences import declared_content, diff

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.model.plan import Change, Compared, Diff, MachinePlan, Why
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.protocol import Content
    from rolecall_agent.resources import Resource

    Reasons = Callable[[Change], tuple[tuple[str, ...], tuple[Why, ...]]]


def explained(
    compared: Compared, wanted: Configuration, reasons: Reasons, label: Callable[[str], str], *, full: bool
) -> MachinePlan:
    """Return the plan of a machine with reasons and diffs.

    Args:
        compared: What it answered.
        wanted: What it is to have.
        reasons: Returns what declares a resource, or declared it, and why it changes.
        label: Returns what to call a resource, by its key, or "".
        full: Whether to show what is created, too.
    """
    resources = {resource.key: resource for resource in wanted.resources}
    changes = []
    for change in compared.plan.changes:
        origins, why = reasons(change)
        diff = _diff(change, compared, resources.get(change.key), full=full)
        changes.append(replace(change, origins=origins, label=label(change.key), why=why, diff=diff))
    return replace(compared.plan, changes=tuple(changes))


def _diff(change: Change, compared: Compared, resource: Resource | None, *, full: bool) -> Diff | None:
    contents = compared.contents.get(change.key)
    if contents is None:
        return diff(None, _declared(resource)) if full and change.action == "create" else None
    after = contents["after"] or _declared(resource)
    return diff(contents["before"], after)


def _declared(resource: Resource | None) -> Content | None:
    return declared_content(resource.content_parts) if resource else None
