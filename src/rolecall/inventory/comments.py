"""Comments of an inventory file, each with the key path that it belongs to."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rolecall.inventory import content
from rolecall.inventory.locate import written
from rolecall.inventory.notation import notation_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rolecall.inventory.data import Keys

# As taplo and yaml-language-server read it, without the sign of a comment.
_SCHEMA: Final = re.compile(r"(?::schema|yaml-language-server: *\$schema *=) *(\S+)")


@dataclass(slots=True)
class Comments:
    """The comments of an inventory file.

    Attributes:
        above: By key path: lines without their signs; "" stands for a blank line.
        behind: By key path: what stands on the same line.
        end: Lines below everything.
        schema: The file or address of the schema that editors use for the file; "" for none.
    """

    above: dict[Keys, list[str]] = field(default_factory=lambda: defaultdict(list))
    behind: dict[Keys, list[str]] = field(default_factory=lambda: defaultdict(list))
    end: list[str] = field(default_factory=list)
    schema: str = ""

    def __len__(self) -> int:
        groups = (*self.above.values(), *self.behind.values(), self.end)
        return sum(bool(line) for group in groups for line in group)

    def below(self, key: str) -> Comments:
        """Return the same comments for an inventory that stands below a key."""
        above = {(key, *keys): lines for keys, lines in self.above.items()}
        return Comments(above, {(key, *keys): lines for keys, lines in self.behind.items()}, self.end, self.schema)


def comments(file: Path, prefix: tuple[str, ...]) -> Comments:
    """Return the comments of a file, by key path from the inventory's top.

    A comment behind a value belongs to it; a comment on a line of its own belongs to what follows.

    Args:
        file: One that was read without a fault.
        prefix: The keys under which the inventory stands in it.
    """
    text = content.text(file)
    found, lines, places = Comments(), text.split("\n"), written(file)
    starts = _starts({keys: place for keys, place in places.items() if place[2] == file}, prefix)
    notation = notation_of(file)
    if file.suffix == ".json":
        found.schema = str(json.loads(text).get("$schema", ""))
    for line, column, comment in notation.reader.comments(text) if notation else ():
        same = [keys for at, keys in starts.get(line, ()) if at < column]
        words = [re.sub(r"^[#*!]* ?|\s+$", "", each) for each in comment.splitlines()]
        if schema := _SCHEMA.fullmatch("\n".join(words)):
            found.schema = schema[1]
            continue
        if same:
            found.behind[_outermost(same)] += filter(None, words)
            continue
        following = min((start for start in starts if start > line), default=0)
        group = found.above[starts[following][0][1]] if following else found.end
        group += words
        last = line + len(words)  # counted from 1: the line behind the comment
        if following != last and last <= len(lines) and not lines[last - 1].strip():
            group.append("")
    return found


def _starts(places: Mapping[Keys, tuple[int, int, Path]], prefix: tuple[str, ...]) -> dict[int, list[tuple[int, Keys]]]:
    """Return by line the columns at which values start, with their key paths; at one place, the outer one first."""
    starts: dict[int, list[tuple[int, Keys]]] = defaultdict(list)
    for keys, (line, column, _) in places.items():
        if keys[: len(prefix)] == prefix and keys != prefix:
            starts[line].append((column, keys[len(prefix) :]))
    return {line: sorted(found, key=lambda each: (each[0], len(each[1]))) for line, found in starts.items()}


def _outermost(same: list[Keys]) -> Keys:
    """Return the key path of a line to which a comment at its end belongs: the one that encloses all others."""
    outermost = same[0]
    while len(below := [keys for keys in same if keys[:-1] == outermost]) == 1 and isinstance(below[0][-1], str):
        outermost = below[0]
    return outermost
