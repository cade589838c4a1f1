"""Find the place of a fault. Line and column come from a second parse, done only when a fault is shown."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from rolecall.errors import Faults, Where
from rolecall.inventory import content, files
from rolecall.inventory.data import VALUES, Keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rolecall.errors import Fault
    from rolecall.model.source import Source


def locate(fault: Fault, sources: Sequence[Source]) -> Fault:
    """Return a fault with file, line and column of the deepest key on its path that is written somewhere.

    Args:
        fault: Its ``where.keys`` are counted from the inventory's top; a line that is known already is kept.
        sources: From general to specific; of two with equally much of the path, the later one counts.
    """
    where = fault.where or Where()
    if where.line or (where.file and not where.keys):
        return fault
    best: tuple[int, tuple[int, int, Path]] | None = None
    for source in sources:
        if where.file not in {None, source.file}:
            continue
        known = written(source.file) if where.keys else {}
        path = (*source.prefix, *_as_written(source.data, where.keys))
        depth = next((n for n in range(len(path), 0, -1) if path[:n] in known), 0)
        depth = max(depth - len(source.prefix), 0)
        if best is None or depth >= best[0]:
            nowhere = (0, 0, source.file)
            best = depth, known.get(path[: len(source.prefix) + depth], nowhere) if depth else nowhere
    if best is None:
        return fault
    _, (line, column, file) = best
    return fault.at(replace(where, file=file, line=line, column=column))


def _as_written(data: object, keys: Keys) -> Keys:
    """Return the path as a source has it: a key of the model may be a list item there, as in ``tags = ["backup"]``."""
    written = []
    for key in keys:
        if isinstance(data, list) and key in data and not isinstance(key, int):
            key = data.index(key)  # noqa: PLW2901 - from here on it is this place
        inside = isinstance(data, dict) or (isinstance(data, list) and isinstance(key, int) and key < len(data))
        data = (data.get(key) if isinstance(data, dict) else data[key]) if inside else None  # type: ignore[index]
        written.append(key)
    return tuple(written)


def written(file: Path) -> Mapping[Keys, tuple[int, int, Path]]:
    """Return line, column and file of every key path in a file; an empty table if it cannot be read again."""
    known = _WRITTEN.get(file)
    if known is None or _stamps(known[0]) != known[0]:
        places = _written(file)
        known = _stamps({file, *(each for _, _, each in places.values())}), places
        if len(_WRITTEN) >= _CACHED:
            _WRITTEN.clear()
        _WRITTEN[file] = known
    return known[1]


def _stamps(files: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return the time and size of files, which change when a file does."""
    stamps = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            stamps[file] = (0, 0)
        else:
            stamps[file] = (status.st_mtime_ns, status.st_size)
    return stamps


def _written(file: Path) -> Mapping[Keys, tuple[int, int, Path]]:
    places: dict[Keys, tuple[int, int, Path]] = {}
    try:
        for keys, line, column, where in islice(files.places(file, content.text(file)), VALUES):
            places.setdefault(keys, (line, column, where))  # a table opened in several places stands at the first
    except Faults:
        pass
    return places


_CACHED: Final = 8
_WRITTEN: Final[dict[Path, tuple[dict[Path, tuple[int, int]], Mapping[Keys, tuple[int, int, Path]]]]] = {}
