"""Tables of text, with colours that do not count as width."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: Its text, in one line.
        colour: Its colour, or "".
    """

    text: str
    colour: str = ""


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], indent: str = "") -> Iterator[str]:
    """Yield the lines of a table."""
    lines = [[Cell(text) for text in head], *rows]
    widths = [max(len(line[column].text) for line in lines) for column in range(len(head))]
    for number, line in enumerate(lines):
        padded = [cell.text.ljust(width) for cell, width in zip(line, widths, strict=True)]
        padded[-1] = line[-1].text
        shown = [
            click.style(text, fg=cell.colour or None, bold=True if number == 0 else None)
            for text, cell in zip(padded, line, strict=True)
        ]
        yield (indent + "  ".join(shown)).rstrip()
