"""What may stand around an inventory in its file: `{ inventory = …; }`, `{ clan = { inventory = …; }; }`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory.data import Data, check, named, shown
from rolecall.model.inventory import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rolecall.inventory.data import Keys

T = TypeVar("T")


def unwrap(top: Mapping[str, T], enter: Callable[[T], Mapping[str, T]]) -> tuple[Mapping[str, T], tuple[str, ...]]:
    """The inventory's own table and the keys under which it stands.

    Args:
        top: What the file holds.
        enter: Gives the table that a value is.

    Raises:
        Faults: When `enter` does, or `clan` holds no inventory.
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
    """The source that a file's plain data is.

    Args:
        file: The file.
        whole: What it holds.
        empty: Key paths of what has nothing behind it.

    Raises:
        Faults: What is no data, or stands beside the inventory.
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
