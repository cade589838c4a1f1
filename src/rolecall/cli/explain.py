"""``rolecall explain``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rolecall.cli import completion
from rolecall.errors import dotted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolecall.cli.common import Invocation
    from rolecall.errors import Where
    from rolecall.pipeline import Explanation, LayerValue, PeerAddress, Reason

_WIDTH = 60  # of a value
_BY = {
    "machine": "machine {}",
    "tag": "tag {}",
    "own": "in its own tags",
    "list": "listed",
    "selection": "selected by its other tags",
    "computed": "computed",
}


@click.command()
@click.argument("subject", shell_complete=completion.subjects)
@click.pass_obj
def explain(invocation: Invocation, subject: str) -> None:
    """Explain where a setting, role or tag comes from.

    \b
    SUBJECT is one of:
      INSTANCE.ROLE.MACHINE       its settings; with .SETTING appended, that one
      INSTANCE.ROLE, INSTANCE     its members, and why
      machines.MACHINE            its address, tags and roles, and why
    """  # noqa: D301 - click's mark for lines that stay as they are
    from rolecall import pipeline

    found = pipeline.explain(invocation.workspace, subject)
    invocation.emit(found.as_json(), _text(found))


def _text(found: Explanation) -> str:
    lines: list[str] = []
    if found.address:
        lines += [f"{found.subject[1]}", *_table([_address(found.address)]), *_reasons("  tag ", found.tags)]
        lines += _reasons(
            "  ", {role: reasons for role, members in found.roles.items() for reasons in members.values()}
        )
        return "\n".join(lines)
    for role, members in found.roles.items():
        lines += [role + ("" if members else ": no members"), *_reasons("  ", members)]
    for setting in found.settings:
        lines += [
            "",
            f"{dotted(setting.keys) or 'settings'} = {_value(setting.value)}",
            *_table(map(_row, setting.values)),
        ]
    return "\n".join(lines)


def _address(found: PeerAddress) -> tuple[str, ...]:
    problem = f"unusable: {found.problem}" if found.problem else ""
    return tuple(filter(None, ("address", printable(found.value), problem, _position(found.where))))


def _reasons(indent: str, because: Mapping[str, Iterable[Reason]]) -> list[str]:
    rows = [
        (name if first else "", _BY[reason.by].format(reason.name), _position(reason.where))
        for name, reasons in because.items()
        for first, reason in _marked(reasons)
    ]
    return _table(rows, indent)


def _marked(reasons: Iterable[Reason]) -> Iterable[tuple[bool, Reason]]:
    return ((number == 0, reason) for number, reason in enumerate(reasons))


def _row(value: LayerValue) -> tuple[str, ...]:
    notes = [value.result]
    notes += [f"priority {value.priority}"] if value.priority is not None else []
    notes += [f"order {value.order}"] if value.order is not None else []
    layer = value.layer + (f" {value.name}" if value.name else "")
    return layer, _value(value.value), ", ".join(notes), _position(value.where) if value.where else ""


def _value(value: object) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _position(where: Where) -> str:
    file = where.file
    if file is None:
        return ""
    if file.is_relative_to(Path.cwd()):
        file = file.relative_to(Path.cwd())
    return ":".join(str(part) for part in (file, where.line, where.column) if part)


def _table(rows: Iterable[tuple[str, ...]], indent: str = "  ") -> list[str]:
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        (indent + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in cells
    ]
