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
    """Layers of one rank that say different things, or one layer that contradicts itself.

    Attributes:
        keys: Key path inside the settings.
        layers: The layers that disagree, each once.
    """

    keys: tuple[str, ...]
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A priority, order or condition that is not written as the module system wants it.

    Attributes:
        keys: Key path inside the settings.
        layer: Where it stands.
        problem: What is wrong with it.
    """

    keys: tuple[str, ...]
    layer: Layer
    problem: str


Problem = Conflict | Malformed


def merge(layers: Sequence[Layer], problems: list[Problem]) -> dict[str, Any]:
    """The settings that all layers say together.

    Args:
        layers: From general to specific.
        problems: Where disagreements and malformed values are added; what is malformed says nothing.
    """
    said = _by_priority([(layer, layer.values) for layer in layers], (), problems)
    return _tables([(layer, values) for layer, values in said if isinstance(values, dict)], (), problems)


def _tables(
    said: Sequence[tuple[Layer, Mapping[str, Any]]], path: tuple[str, ...], problems: list[Problem]
) -> dict[str, Any]:
    by_key: dict[str, list[tuple[Layer, Any]]] = {}
    for layer, table in said:
        for key, value in table.items():
            by_key.setdefault(key, []).append((layer, value))
    merged = {}
    for key, values in by_key.items():
        kept = _by_priority(values, (*path, key), problems)
        if kept:
            merged[key] = _values(kept, (*path, key), problems)
    return merged


def _by_priority(
    values: Sequence[tuple[Layer, Any]], path: tuple[str, ...], problems: list[Problem]
) -> list[tuple[Layer, Any]]:
    """The definitions of the best priority, unwrapped, in the order that mkBefore and mkAfter ask for."""
    plain: list[tuple[int, int, Layer, Any]] = []
    for layer, value in values:
        try:
            plain += [(priority, order, layer, item) for priority, order, item in _unwrap(value)]
        except _MalformedError as error:
            problems.append(Malformed(path, layer, str(error)))
    if not plain:
        return []
    best = min(priority for priority, _, _, _ in plain)
    kept = [(order, layer, item) for priority, order, layer, item in plain if priority == best]
    kept.sort(key=lambda entry: entry[0])  # stable: equal orders stay in the order of the layers
    return [(layer, item) for _, layer, item in kept]


class _MalformedError(ValueError):
    pass


def _unwrap(value: object, priority: int = DEFAULT_PRIORITY, order: int = DEFAULT_ORDER) -> list[tuple[int, int, Any]]:
    """Priority, order and bare value of each definition that a value holds."""
    if not (isinstance(value, dict) and value.get("_type") in ("override", "order", "if", "merge")):
        return [(priority, order, value)]
    match value["_type"]:
        case "override":
            return _unwrap(_part(value, "content"), _part(value, "priority", int), order)
        case "order":
            return _unwrap(_part(value, "content"), priority, _part(value, "priority", int))
        case "if":
            return _unwrap(_part(value, "content"), priority, order) if _part(value, "condition", bool) else []
        case _:
            return [entry for item in _part(value, "contents", list) for entry in _unwrap(item, priority, order)]


def _part(value: Mapping[str, Any], name: str, kind: type | None = None) -> Any:  # noqa: ANN401 - any value there is
    """One part of a wrapped value.

    Raises:
        _MalformedError: When it is missing or of another kind.
    """
    if name not in value:
        raise _MalformedError(f"`{value['_type']}` lacks its `{name}`")
    if kind and type(value[name]) is not kind:  # true is no number here
        raise _MalformedError(f"the `{name}` of `{value['_type']}` must be {_KINDS[kind]}")
    return value[name]


_KINDS = {int: "a whole number", bool: "true or false", list: "a list"}


def _values(said: Sequence[tuple[Layer, Any]], path: tuple[str, ...], problems: list[Problem]) -> object:
    if all(isinstance(value, dict) for _, value in said):
        return _tables(said, path, problems)
    if all(isinstance(value, list) for _, value in said):
        return [item for _, value in said for item in value]
    top = max(layer.rank for layer, _ in said)
    loudest = [(layer, value) for layer, value in said if layer.rank == top]
    if len(loudest) < len(said):
        return _values(loudest, path, problems)  # tables and lists join again where nothing else stands among them
    first = said[0][1]
    if any(type(value) is not type(first) or value != first for _, value in said):
        problems.append(Conflict(path, tuple({id(layer): layer for layer, _ in said}.values())))
    return first
