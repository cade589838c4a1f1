"""Drafts: the text of one inventory file with changes made, verified by reading it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from rolecall.errors import Faults, Where, fault
from rolecall.inventory.changes import apply
from rolecall.inventory.notation import notation_of
from rolecall.model.equality import same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Data
    from rolecall.model.source import Source


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that is to be written.

    Attributes:
        source: Its new data.
        text: Its new text.
    """

    source: Source
    text: str


def drafted(source: Source, changes: Sequence[Change]) -> Draft:
    """Return a file with changes made, by key paths from the inventory's top.

    Raises:
        Faults: When its text cannot be changed like this.
    """
    notation = notation_of(source.file)
    if notation is None or not notation.written:
        hint = "edit it by hand, or omit `--own` to write inventory.json"
        raise fault(f"{source.file.name} is a program, so Rolecall cannot edit it", hint=hint)
    data = reduce(apply, changes, dict(source.data))
    return redrafted(source, lambda text: changed(source, text, changes), data)


def changed(source: Source, text: str, changes: Iterable[Change]) -> str:
    """Return a source's text with changes made by the writer of its notation."""
    notation = notation_of(source.file)
    assert notation  # noqa: S101 - that of a file that was read
    below = (replace(change, keys=(*source.prefix, *change.keys)) for change in changes)
    return reduce(notation.writer.change, below, text)


def redrafted(source: Source, write: Callable[[str], str], data: Data) -> Draft:
    """Return a file with a new text, after verifying what that says.

    Args:
        source: The file as it is, or as it would be when there is none.
        write: Returns the new text, given the old one with plain line breaks.
        data: The data that the new text must have.

    Raises:
        Faults: When it has not.
    """
    raw = source.file.read_bytes().decode() if source.file.exists() else ""
    mark = "\ufeff" if raw.startswith("\ufeff") else ""
    old = raw.removeprefix(mark)
    windows = old.count("\r\n") == old.count("\n") > 0
    text, again = "", None
    try:
        text = write(old.replace("\r\n", "\n"))
        notation = notation_of(source.file)
        again = notation.reader.read(text, source.file) if notation else None
    except (Faults, ArithmeticError, AssertionError, LookupError, StopIteration, ValueError):
        pass  # a writer may fail in any way on a text that it does not understand
    if again is None or again.prefix != source.prefix or not same(again.data, data):
        hint = f"edit {source.file.name} by hand: Rolecall cannot change how this place is written"
        raise fault("this change cannot be made automatically", where=Where(source.file), hint=hint)
    return Draft(again, mark + (text.replace("\n", "\r\n") if windows else text))
