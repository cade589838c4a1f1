"""Tables of nftables, each by the script that was loaded last, as long as that is what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional

from rolecall_agent.state import DamagedError, read_json, write_json
from rolecall_agent.systems import commands

if TYPE_CHECKING:
    from rolecall_agent.system import System

_NOTES = "nftables.json"
_LIST = ("nft", "--stateless", "list", "table")
_SET = re.compile(r"^\t(?:set|map) .*\n(?:\t\t.*\n)*", re.MULTILINE)
_CHANGING = re.compile(r"^\t\t(?:flags .*\b(?:dynamic|timeout)|timeout )", re.MULTILINE)
_ELEMENTS = re.compile(r"^\t\telements = (?:.*\n)*", re.MULTILINE)


def replacing(table: str, definition: str = "") -> str:
    """Return a script that replaces a table, whether it exists or not, as one change; by default, with nothing."""
    return f"table {table}\ndelete table {table}\n{definition}"


def read(system: System, tables: Iterable[str]) -> Dict[str, str]:
    """Return a script for each table that exists: the one that `write` has loaded, or one for what nft lists.

    nft lists a table in its own form. So `write` notes how it lists what was loaded: if it still lists the same, that
    is what is there.
    """
    scripts: Dict[str, str] = {}
    notes = _notes(system)
    for table in tables:
        status, listing = system.ask([*_LIST, *table.split()])
        if status == 0:
            script, listed = notes.get(table, ("", ""))
            scripts[table] = script if listed == essence(listing) else replacing(table, listing)
    return scripts


def write(system: System, table: str, script: Optional[str]) -> None:
    """Load a script that replaces a table; None removes the table."""
    commands.require(
        ["nft", "--file", "-"],
        f"cannot load the table {table} of nftables",
        given=(replacing(table) if script is None else script).encode(),
    )
    notes = _notes(system)
    notes.pop(table, None)
    if script is not None:
        notes[table] = (script, essence(commands.execute([*_LIST, *table.split()])[1]))
    write_json(system, _NOTES, notes)


def essence(listing: str) -> str:
    """Return what nft lists of a table, without the elements of sets and maps that rules, or time, may change."""
    return _SET.sub(lambda found: _ELEMENTS.sub("", found[0]) if _CHANGING.search(found[0]) else found[0], listing)


def _notes(system: System) -> Dict[str, Any]:
    try:
        return read_json(system, _NOTES) or {}
    except DamagedError:  # what is there is loaded once more
        return {}
