"""Stage 1: the project's inventory files to one checked inventory."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault
from rolecall.inventory import clan, files, names, nulls, shape, tags
from rolecall.inventory.data import named
from rolecall.inventory.forms import Form
from rolecall.inventory.locate import locate
from rolecall.model.inventory import Inventory, Loaded, PerFile, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rolecall.inventory.data import Data, Keys
    from rolecall.project import Project

    _Part = tuple[Path, Data]  # a file and what it says


def load(project: Project) -> Loaded:
    """The project's inventory.

    Raises:
        Faults: All that is wrong with its files, notation and shape, each with its place.
    """
    loaded, faults = read(project)
    if faults:
        raise Faults(faults)
    return loaded


def read(project: Project, *, renaming: tuple[str, str] | None = None) -> tuple[Loaded, tuple[Fault, ...]]:
    """What of the project's inventory fits its model, and the faults of the rest.

    For a caller that reports them together with those of later stages; `load` is for everyone else.

    Args:
        project: The project.
        renaming: The rename of a machine that is done, or completed, now: its old and its new name.

    Raises:
        Faults: When a file cannot be read at all: what later stages said about the rest would mislead. So it would
            while a machine has two names.
    """
    if project.renaming.exists():
        old, new = json.loads(project.renaming.read_text())
        if (old, new) != renaming:
            hint = f"complete it, unless another command is still running: `rolecall machines rename {old} {new}`"
            raise fault(f"renaming machine {old!r} to {new!r} was interrupted", hint=hint)
    sources: list[Source] = []
    unread: list[Fault] = []
    found = files.find(project)
    nix = any(file.suffix == ".nix" for file in found) and files.asks_for_nix(project)
    for file in found:
        try:
            sources.append(files.read(file, nix=nix))
        except Faults as error:
            unread += _located(error.faults, [Source(file, {})])
    sources[:0] = _folders(project)
    loaded, faults = join(sources)
    if unread:
        raise Faults([*unread, *faults])
    return loaded, faults


def join(sources: Sequence[Source]) -> tuple[Loaded, tuple[Fault, ...]]:
    """What several sources say together, from general to specific, and the faults of what does not fit."""
    found: list[Fault] = []
    parts: list[_Part] = []
    for source in sources:
        settled, empty = nulls.settled(source)
        own, ignored = clan.without(settled)
        found += _located([*empty, *ignored], [source])
        parts.append((source.file, own))
    unlike: list[Fault] = []
    data = _joined(parts, Form(model=Inventory), (), unlike)
    found += _located(unlike, sources)
    inventory, unfit = shape.inventory(data)
    tagged, odd = tags.members(inventory)
    found += [*unfit, *odd, *names.alike(inventory)]
    faults = tuple(_located((fault for fault in found if not fault.warning), sources))
    warnings = [note for source in sources for note in source.notes] + [fault for fault in found if fault.warning]
    return Loaded(inventory, tuple(sources), tagged, tuple(warnings)), faults


def _joined(parts: Sequence[_Part], form: Form, keys: Keys, faults: list[Fault]) -> Data:
    """Join what several files say at one place: tables by key, of anything else the most specific file's counts.

    Settings of several files are kept apart: how they join is for their service to say (`rolecall.evaluate.merge`).

    Args:
        parts: The tables, from general to specific.
        form: What may stand at the place.
        keys: The place.
        faults: Where faults are added: a table in one file and none in another, of which one would be lost in silence.
    """
    if len(parts) == 1:
        return parts[0][1]
    if form.settings:
        given = {str(file): settings for file, settings in parts if settings}
        return PerFile(given) if len(given) > 1 else next(iter(given.values()), {})
    if not (form.model or form.named):
        return parts[-1][1]
    joined = {}
    for key in dict.fromkeys(key for _, table in reversed(parts) for key in table):
        values = [(file, table[key]) for file, table in parts if key in table]
        for (_, one), (file, other) in pairwise(values):
            if isinstance(one, dict) != isinstance(other, dict):
                hint = "use the same form in both files"
                message = f"expected {named(one)}, as in another file, found {named(other)}"
                faults.append(Fault(message, Where(file, (*keys, key)), hint))
        tables = [(file, value) for file, value in values if isinstance(value, dict)]
        last = values[-1][1]
        joined[key] = _joined(tables, form.below(key), (*keys, key), faults) if isinstance(last, dict) else last
    return joined


def _folders(project: Project) -> list[Source]:
    """The machines that are declared by having a folder, as the most general source."""
    names = project.machine_folders
    return [Source(project.machines, {"machines": {name: {} for name in names}})] if names else []


def _located(faults: Iterable[Fault], sources: Sequence[Source]) -> list[Fault]:
    return [locate(fault, sources) for fault in faults]
