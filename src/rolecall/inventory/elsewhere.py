"""Faults of changes that cannot be made in one file, because another one decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.errors import Fault, Where, dotted
from rolecall.inventory.changes import has
from rolecall.inventory.locate import locate
from rolecall.project import TOOL_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.inventory.data import Keys
    from rolecall.model.inventory import Loaded
    from rolecall.model.source import Source


def fault_set_elsewhere(loaded: Loaded, target: Path, keys: Keys) -> Fault:
    """Return the fault that another file sets a key path, or a table around it."""
    others = [source for source in loaded.sources if source.file != target]
    source = next((source for source in reversed(others) if has(source.data, keys)), others[-1])
    depth = next(depth for depth in range(len(keys), -1, -1) if has(source.data, keys[:depth]))
    return fault_set_by(source, keys[:depth] or keys)


def fault_set_in_several(loaded: Loaded, keys: Keys) -> Fault:
    """Return the fault that a key path cannot be removed from one file, since another sets it, too."""
    sources = [source for source in loaded.sources if has(source.data, keys)]
    names = " and ".join(source.file.name for source in sources)
    hint = f"remove it from {sources[-1].file.name} by hand, then repeat the command without `--own`"
    return Fault(f"{names} set {dotted(keys)}", place(sources[-1], keys), hint)


def fault_set_by(source: Source, keys: Keys) -> Fault:
    """Return the fault that a file sets a key path, although it cannot be written now."""
    if source.file.is_dir() and keys[1:]:
        folder = f"{source.file.name}/{keys[1]}"
        hint = "remove or move the folder by hand"
        return Fault(f"the folder {folder} declares machine {keys[1]!r}", place(source, keys), hint)
    if source.file.name == TOOL_FILE:
        hint = "omit `--own` to change it there"
    else:
        hint = "edit it there by hand, or let Rolecall do it: `--own`"
    where = place(source, keys)
    name = ((where and where.file) or source.file).name
    return Fault(f"{name} sets {dotted(keys)}", where, hint)


def place(source: Source, keys: Keys) -> Where | None:
    """Return where a key path stands in a source."""
    return locate(Fault("", Where(source.file, keys)), [source]).where
