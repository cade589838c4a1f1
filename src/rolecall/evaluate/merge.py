"""How settings of several layers become one.

From general to specific: role, then the machine's tags (by name), then the machine. Tables merge deeply, lists are
joined in that order, of other values the more specific wins; two tags that disagree are a fault unless the machine
decides. The priorities of the Nix module system (nixpkgs lib/modules.nix) are honoured: a lower number wins over
place, 100 being what is written without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PRIORITY = 100
DEFAULT_ORDER = 1000


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


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two layers of one rank that say different things.

    Attributes:
        keys: Key path inside the settings.
        layers: The layers that disagree.
    """

    keys: tuple[str, ...]
    layers: tuple[Layer, ...]


def merge(layers: Sequence[Layer], conflicts: list[Conflict]) -> dict[str, Any]:
    """The settings that all layers say together.

    Args:
        layers: From general to specific.
        conflicts: Where disagreements are added; the value is then the first layer's.
    """
    return _tables([(layer, layer.values) for layer in layers], (), conflicts)


def _tables(
    said: Sequence[tuple[Layer, Mapping[str, Any]]], path: tuple[str, ...], conflicts: list[Conflict]
) -> dict[str, Any]:
    by_key: dict[str, list[tuple[Layer, Any]]] = {}
    for layer, table in said:
        for key, value in table.items():
            by_key.setdefault(key, []).append((layer, value))
    merged = {}
    for key, values in by_key.items():
        kept = _by_priority(values)
        if kept:
            merged[key] = _values(kept, (*path, key), conflicts)
    return merged


def _by_priority(values: Sequence[tuple[Layer, Any]]) -> list[tuple[Layer, Any]]:
    """The definitions of the best priority, unwrapped, in the order that mkBefore and mkAfter ask for."""
    plain: list[tuple[int, int, Layer, Any]] = []
    for layer, value in values:
        plain += [(priority, order, layer, item) for priority, order, item in _unwrap(value)]
    if not plain:
        return []
    best = min(priority for priority, _, _, _ in plain)
    kept = [(order, layer, item) for priority, order, layer, item in plain if priority == best]
    kept.sort(key=lambda entry: entry[0])  # stable: equal orders stay in the order of the layers
    return [(layer, item) for _, layer, item in kept]


def _unwrap(value: object, priority: int = DEFAULT_PRIORITY, order: int = DEFAULT_ORDER) -> list[tuple[int, int, Any]]:
    """Priority, order and bare value of each definition that a value holds."""
    if not (isinstance(value, dict) and isinstance(value.get("_type"), str)):
        return [(priority, order, value)]
    match value["_type"]:
        case "override":
            return _unwrap(value.get("content"), int(value.get("priority", priority)), order)
        case "order":
            return _unwrap(value.get("content"), priority, int(value.get("priority", order)))
        case "if":
            return _unwrap(value.get("content"), priority, order) if value.get("condition") else []
        case "merge":
            return [entry for item in value.get("contents", []) for entry in _unwrap(item, priority, order)]
        case _:
            return [(priority, order, value)]


def _values(said: Sequence[tuple[Layer, Any]], path: tuple[str, ...], conflicts: list[Conflict]) -> object:
    if all(isinstance(value, dict) for _, value in said):
        return _tables(said, path, conflicts)
    if all(isinstance(value, list) for _, value in said):
        return [item for _, value in said for item in value]
    top = max(layer.rank for layer, _ in said)
    loudest = [(layer, value) for layer, value in said if layer.rank == top]
    if any(value != loudest[0][1] for _, value in loudest):
        conflicts.append(Conflict(path, tuple(layer for layer, _ in loudest)))
    return _tables(loudest, path, conflicts) if all(isinstance(v, dict) for _, v in loudest) else loudest[0][1]
