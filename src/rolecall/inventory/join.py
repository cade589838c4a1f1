"""Join the inventory's files into one inventory, and check its shape."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Where
from rolecall.inventory import clan, names, nulls, shape, tags
from rolecall.inventory.data import named
from rolecall.inventory.forms import Form
from rolecall.inventory.locate import locate
from rolecall.model.inventory import Inventory, Loaded, PerFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rolecall.inventory.data import Data, Keys
    from rolecall.model.source import Source

    _Part = tuple[Path, Data]  # a file and its data


def join(sources: Sequence[Source]) -> tuple[Loaded, tuple[Fault, ...]]:
    """Join sources, from general to specific, and return the faults of all parts that are not valid."""
    faults: list[Fault] = []  # and warnings
    parts: list[_Part] = []
    for source in sources:
        data, of_nulls = nulls.without(source)
        data, of_clan = clan.without(data)
        faults += _located([*of_nulls, *of_clan], [source])
        parts.append((source.file, data))
    whole, of_forms = joined(parts)
    faults += _located(of_forms, sources)
    inventory, of_shape = shape.inventory(whole)
    tagged, of_tags = tags.members(inventory)
    faults += [*of_shape, *of_tags, *names.alike(inventory), *names.sharing_data(inventory)]
    warnings = [note for source in sources for note in source.notes] + [each for each in faults if each.warning]
    errors = tuple(_located((each for each in faults if not each.warning), sources))
    return Loaded(inventory, tuple(sources), tagged, tuple(warnings)), errors


def joined(parts: Sequence[_Part]) -> tuple[Data, list[Fault]]:
    """Join the data of several files, and return the faults where only one of two files has a table.

    Settings that several files give at one place are kept apart, as `PerFile`: their service decides how they merge
    (`rolecall.evaluate.merge`).

    Args:
        parts: Files with their data, from general to specific.
    """
    faults: list[Fault] = []
    return _joined(parts, Form(model=Inventory), (), faults), faults


def _joined(parts: Sequence[_Part], form: Form, keys: Keys, faults: list[Fault]) -> Data:
    """Join the data of several files at one key path: tables by key; otherwise the most specific file wins."""
    if len(parts) == 1:
        return parts[0][1]
    if form.settings:
        by_file = {str(file): settings for file, settings in parts if settings}
        return PerFile(by_file) if len(by_file) > 1 else next(iter(by_file.values()), {})
    if not (form.model or form.named):
        return parts[-1][1]
    whole = {}
    for key in dict.fromkeys(key for _, table in reversed(parts) for key in table):
        values = [(file, table[key]) for file, table in parts if key in table]
        for (_, one), (file, other) in pairwise(values):
            if isinstance(one, dict) != isinstance(other, dict):
                hint = "use the same form in both files"
                message = f"expected {named(one)}, as in another file, found {named(other)}"
                faults.append(Fault(message, Where(file, (*keys, key)), hint))
        tables = [(file, value) for file, value in values if isinstance(value, dict)]
        last = values[-1][1]
        whole[key] = _joined(tables, form.below(key), (*keys, key), faults) if isinstance(last, dict) else last
    return whole


def _located(faults: Iterable[Fault], sources: Sequence[Source]) -> list[Fault]:
    return [locate(fault, sources) for fault in faults]
