"""Who speaks about a member's settings, from general to specific."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolecall.model.inventory import Loaded, Role

_ROLE, _TAG, _MACHINE = range(3)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place says.

    Attributes:
        at: Key path of the settings table below the role, e.g. ``("tags", "backup", "settings")``.
        rank: Place in the order from general to specific; tags share one.
        values: The settings as written.
    """

    at: tuple[str, ...]
    rank: int
    values: Mapping[str, Any]


def layers_of(declared: Role, machine: str, tags: Iterable[str]) -> list[Layer]:
    """The layers of one member.

    Args:
        declared: The role as the inventory has it.
        machine: The member's machine.
        tags: All tags of the machine, sorted; those that the role does not name say nothing.
    """
    layers = [Layer(("settings",), _ROLE, declared.settings)]
    layers += [
        Layer(("tags", tag, "settings"), _TAG, declared.tags[tag].settings)
        for tag in tags
        if tag in declared.tags and declared.tags[tag].settings
    ]
    own = declared.machines.get(machine)
    if own and own.settings:
        layers.append(Layer(("machines", machine, "settings"), _MACHINE, own.settings))
    return layers


def tags_of(loaded: Loaded, machine: str) -> list[str]:
    """All tags of one machine, sorted; whoever asks for every machine does better (see members.py)."""
    return sorted(tag for tag, machines in loaded.tags.items() if machine in machines)
