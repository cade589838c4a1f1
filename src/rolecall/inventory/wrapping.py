"""The tables that can be around an inventory in its file: `{ inventory = …; }`, `{ clan = { inventory = …; }; }`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory.data import Data, check, named, shown
from rolecall.model.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rolecall.inventory.data import Keys

T = TypeVar("T")


def unwrap(top: Mapping[str, T], enter: Callable[[T], Mapping[str, T]]) -> tuple[Mapping[str, T], tuple[str, ...]]:
    """Return the inventory's table and the keys under which it stands.

    Args:
        top: The file's table.
        enter: Returns a value as a table.

    Raises:
        Faults: When `enter` does, or `clan` has no inventory.
    """
    prefix: tuple[str, ...] = ()
    if not {"instances", "tags"} & top.keys():
        if "clan" in top:
            top, prefix = enter(top["clan"]), ("clan",)
            if "inventory" not in top:
                raise Faults([Fault("`clan` has no `inventory`", Where(), "write the inventory as `clan.inventory`")])
        if "inventory" in top:
            top, prefix = enter(top["inventory"]), (*prefix, "inventory")
    return top, prefix


def source(file: Path, whole: object, empty: tuple[Keys, ...] = ()) -> Source:
    """Return the source that a file's plain data is.

    Args:
        file: The file.
        whole: Its data.
        empty: Key paths of keys with nothing behind them.

    Raises:
        Faults: When the data is invalid, or has keys beside the inventory.
    """
    if whole is None:
        whole = {}
    if faults := check(whole):
        raise Faults(faults)
    top = dict(_table(whole))
    top.pop("$schema", None)  # for editors (see rolecall.inventory.schema)
    inputs = {
        name: url
        for name, value in _table(top.pop("inputs", {})).items()
        if isinstance(url := value.get("url") if isinstance(value, dict) else value, str)
    }
    data, prefix = unwrap(top, _table)
    if prefix and (strays := top.keys() - {prefix[0]}):
        raise Faults(
            Fault(
                f"key {shown(key)} is not allowed beside `{prefix[0]}`",
                Where(keys=(key,)),
                "move it into the inventory",
            )
            for key in sorted(strays)
        )
    depth = len(prefix)
    return Source(file, data, prefix, inputs, tuple(keys[depth:] for keys in empty if keys[:depth] == prefix))


def _table(value: object) -> Data:
    if isinstance(value, dict):
        return value
    raise Faults([Fault(f"expected a table, found {named(value)}", Where())])
