"""Write another name into all files of an inventory that have the old one."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from rolecall.errors import Fault, Faults
from rolecall.inventory import edit, files
from rolecall.inventory.changes import Rename, apply
from rolecall.inventory.drafts import changed, redrafted
from rolecall.inventory.elsewhere import place
from rolecall.inventory.writers import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Data, Keys
    from rolecall.inventory.drafts import Draft
    from rolecall.inventory.notation import Position
    from rolecall.model.inventory import Loaded
    from rolecall.model.source import Source
    from rolecall.project import Project


def renamed(
    project: Project,
    loaded: Loaded,
    naming: Callable[[Mapping[str, Any]], Iterable[Keys]],
    old: str,
    new: str,
    further: Sequence[Change],
) -> list[Draft]:
    """Return drafts of the files with another name.

    Args:
        project: The project.
        loaded: The inventory.
        naming: Returns the key paths at which a source has the old name.
        old: The old name.
        new: The new name.
        further: Changes of the tool-written file after that.

    Raises:
        Faults: All places that have it in files that cannot be written.
    """
    tool_file = edit.tool_written(project, loaded)
    drafts, refused = [], []
    for source in dict.fromkeys((*loaded.sources, tool_file)):
        places, own = list(naming(source.data)), [*further] if source is tool_file else []
        if source.file == project.machines or not (places or own):
            continue

        def write(text: str, source: Source = source, places: list[Keys] = places, own: list[Change] = own) -> str:
            text = tokens.rename(text, _positions(source, text), {(*source.prefix, *keys) for keys in places}, old, new)
            return changed(source, text, own) if own else text

        try:
            drafts.append(redrafted(source, write, reduce(apply, own, renamed_data(source.data, places, new))))
        except Faults:
            hint = f"change {old} to {new} there by hand, then run this command again"
            for where in (place(source, keys) for keys in places):
                name = ((where and where.file) or source.file).name
                refused.append(Fault(f"{name} names {old} in a place that Rolecall cannot edit", where, hint))
    if refused:
        raise Faults(refused)
    return drafts


def renamed_data(data: Mapping[str, Any], places: Iterable[Keys], new: str) -> Data:
    """Return data with another name at these places."""
    return reduce(apply, (Rename(keys, new) for keys in places), dict(data))


def _positions(source: Source, text: str) -> Iterator[Position]:
    """Yield the positions in the source's first file."""
    return ((keys, line, column) for keys, line, column, file in files.places(source.file, text) if file == source.file)
