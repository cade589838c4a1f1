"""Where a fault stands: line and column are looked up by a second parse, and only when a fault is shown."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from rolecall.errors import Faults, Where
from rolecall.inventory import files
from rolecall.inventory.data import VALUES, Keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rolecall.errors import Fault
    from rolecall.model.inventory import Source

Position = tuple[Keys, int, int]  # a key path from the file's top, its line, its column


def locate(fault: Fault, sources: Sequence[Source]) -> Fault:
    """The fault with file, line and column of the deepest key on its path that is written somewhere.

    Args:
        fault: Its ``where.keys`` are counted from the inventory's top; a line that is known already is kept.
        sources: From general to specific: of two that have the path equally deep, the later one counts.
    """
    where = fault.where or Where()
    if where.line or (where.file and not where.keys):
        return fault
    best: tuple[int, Source, tuple[int, int]] | None = None
    for source in sources:
        if where.file not in {None, source.file}:
            continue
        known = written(source.file) if where.keys else {}
        path = (*source.prefix, *_as_written(source.data, where.keys))
        depth = next((n for n in range(len(path), 0, -1) if path[:n] in known), 0)
        depth = max(depth - len(source.prefix), 0)
        if best is None or depth >= best[0]:
            best = depth, source, known.get(path[: len(source.prefix) + depth], (0, 0)) if depth else (0, 0)
    if best is None:
        return fault
    _, source, (line, column) = best
    return fault.at(replace(where, file=source.file, line=line, column=column))


def _as_written(data: object, keys: Keys) -> Keys:
    """The path as a source has it: what the model knows by name may be listed there, as in ``tags = ["backup"]``."""
    written = []
    for key in keys:
        if isinstance(data, list) and key in data and not isinstance(key, int):
            key = data.index(key)  # noqa: PLW2901 - from here on it is this place
        inside = isinstance(data, dict) or (isinstance(data, list) and isinstance(key, int) and key < len(data))
        data = (data.get(key) if isinstance(data, dict) else data[key]) if inside else None  # type: ignore[index]
        written.append(key)
    return tuple(written)


def written(file: Path) -> Mapping[Keys, tuple[int, int]]:
    """Line and column of every key path that a file writes; nothing for what cannot be read again."""
    try:
        stamp = file.stat()
    except OSError:
        return {}
    return _written(file, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=8)
def _written(file: Path, _changed: int, _size: int) -> Mapping[Keys, tuple[int, int]]:
    found: dict[Keys, tuple[int, int]] = {}
    notation = files.notation(file)
    if notation is None:
        return found
    try:
        for keys, line, column in islice(notation.positions(files.text(file)), VALUES):
            found.setdefault(keys, (line, column))  # a table opened in several places stands at the first
    except Faults:
        pass
    return found
