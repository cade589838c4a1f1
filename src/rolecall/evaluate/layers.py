"""The layers of a member's settings, from general to specific."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.model.inventory import PerFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rolecall.model.inventory import Loaded, Role

_ROLE, _TAG, _MACHINE = range(3)


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings that one file gives at one place.

    Attributes:
        at: Key path of the settings table below the role, e.g. ``("tags", "backup", "settings")``.
        rank: Index in the order from general to specific; all tags share one.
        values: The settings as written.
        file: The file, when several give settings at this place.
        part: Index of the file among those, from general to specific.
    """

    at: tuple[str, ...]
    rank: int
    values: Mapping[str, Any]
    file: Path | None = None
    part: int = 0


def layers_of(declared: Role, machine: str, tags: Iterable[str]) -> list[Layer]:
    """Return the layers of one member.

    Args:
        declared: The role as the inventory has it.
        machine: The member's machine.
        tags: All tags of the machine, sorted; those that the role does not name are ignored.
    """
    layers = [*layers_at(("settings",), _ROLE, declared.settings)]
    for tag in tags:
        if tag in declared.tags and (settings := declared.tags[tag].settings):
            layers += layers_at(("tags", tag, "settings"), _TAG, settings)
    own = declared.machines.get(machine)
    if own and own.settings:
        layers += layers_at(("machines", machine, "settings"), _MACHINE, own.settings)
    return layers


def layers_at(at: tuple[str, ...], rank: int, settings: Mapping[str, Any]) -> Iterator[Layer]:
    """Yield the layers that settings of one place are: one for each file that gives some."""
    if isinstance(settings, PerFile):
        for part, (file, values) in enumerate(settings.items()):
            yield Layer(at, rank, values, Path(file), part)
    else:
        yield Layer(at, rank, settings)


def tags_of(loaded: Loaded, machine: str) -> list[str]:
    """Return all tags of one machine, sorted; for every machine at once, see `_tags_of_machines` in members.py."""
    return sorted(tag for tag, machines in loaded.tags.items() if machine in machines)
