"""Changes of an inventory's data. A writer's new text must read as the data that these produce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall.errors import Fault, Faults, Where, dotted, fault, nearest
from rolecall.inventory.data import named

if TYPE_CHECKING:
    from rolecall.inventory.data import Keys


@dataclass(frozen=True, slots=True)
class Set:
    """Set the value at a key path. Missing tables on the path are created; the position after a list's end appends."""

    keys: Keys
    value: Any


@dataclass(frozen=True, slots=True)
class Unset:
    """Remove the value at a key path."""

    keys: Keys


@dataclass(frozen=True, slots=True)
class Rename:
    """Rename the last key of a path, or replace the text in a list that the path leads to."""

    keys: Keys
    name: str


Change = Set | Unset


def find(data: Any, keys: Keys) -> Any:  # noqa: ANN401 - data is what it is
    """Return the value at a key path.

    Raises:
        Faults: When there is none; the hint names the nearest key.
    """
    for depth, key in enumerate(keys):
        if not _has(data, key):
            raise Faults([_missing_fault(data, keys[: depth + 1])])
        data = data[key]
    return data


def has(data: Any, keys: Keys) -> bool:  # noqa: ANN401 - as above
    """Return whether there is a value at a key path."""
    for key in keys:
        if not _has(data, key):
            return False
        data = data[key]
    return True


def apply(data: Any, change: Change | Rename) -> Any:  # noqa: ANN401 - as above
    """Return the data with a change made, sharing what does not change.

    Raises:
        Faults: When the path does not exist, or leads through a value that is not a table or list.
    """
    if not change.keys:
        raise fault("cannot change the inventory as a whole", hint="give a path, such as `machines.jon.tags`")
    return _apply(data, change, 0)


def nested(keys: Keys, value: Any) -> Any:  # noqa: ANN401 - as above
    """Return a value below tables with these keys."""
    for key in reversed(keys):
        value = {key: value}
    return value


def _apply(data: Any, change: Change | Rename, depth: int) -> Any:  # noqa: ANN401 - as above
    key, path = change.keys[depth], change.keys[: depth + 1]
    last = path == change.keys
    data = {} if data is None else data  # as `jon:` in YAML, which stands for an empty table
    new: Any = data.copy() if isinstance(data, dict | list) else data
    if isinstance(change, Set) and not _has(data, key):
        if isinstance(data, dict) and isinstance(key, str):
            new[key] = _nested_below(path, change)
        elif isinstance(data, list) and key == len(data):
            new.append(_nested_below(path, change))
        elif isinstance(data, dict | list):
            raise Faults([_missing_fault(data, path)])
        else:
            message = f"{dotted(path[:-1])} is {named(data)}, so it has no keys"
            raise fault(message, where=Where(keys=path[:-1]), hint="replace the whole value")
    elif not _has(data, key):
        raise Faults([_missing_fault(data, path)])
    elif not last:
        new[key] = _apply(data[key], change, depth + 1)
    elif isinstance(change, Set):
        new[key] = change.value
    elif isinstance(change, Unset):
        del new[key]
    elif isinstance(data, list):
        new[key] = change.name
    else:
        return {change.name if name == key else name: value for name, value in data.items()}
    return new


def _nested_below(path: Keys, change: Set) -> Any:  # noqa: ANN401 - as above
    """Return the value that a change sets, below the missing tables on its path.

    Raises:
        Faults: When a list on the path is missing, too.
    """
    if item := next((at for at, key in enumerate(change.keys) if at >= len(path) and isinstance(key, int)), 0):
        around = change.keys[:item]
        raise fault(f"{dotted(around)} does not exist", where=Where(keys=around), hint="set the whole list")
    return nested(change.keys[len(path) :], change.value)


def _has(data: object, key: str | int) -> bool:
    if isinstance(data, dict):
        return isinstance(key, str) and key in data
    return isinstance(data, list) and isinstance(key, int) and key < len(data)


def _missing_fault(data: object, keys: Keys) -> Fault:
    """Return the fault for a path whose last key is not in this data."""
    where, above = Where(keys=keys), dotted(keys[:-1]) or "the inventory"
    if isinstance(data, list):
        hint = f"{above} is a list with the items [0] to [{len(data) - 1}]" if data else f"{above} is an empty list"
    elif isinstance(data, dict):
        hint = nearest(str(keys[-1]), data, what=f"keys in {above}")
    else:
        hint = f"{above} is {named(data)}"
    return Fault(f"{dotted(keys)} does not exist", where, hint)
