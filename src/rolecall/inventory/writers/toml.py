"""Change TOML text. tomlkit writes the values; the parse tree gives their places.

A table of TOML can be written under a header, by dotted keys, in braces, or only as a part of longer headers. A new key
is added where its nearest table is written; a new table gets a header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tomlkit import item, key

from rolecall.errors import fault
from rolecall.inventory.changes import Set, nested
from rolecall.inventory.notations import trees
from rolecall.inventory.notations.toml import names
from rolecall.inventory.writers.splices import (
    Splice,
    add_between,
    cut_between,
    indentation,
    line_end,
    spliced,
    without_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tree_sitter import Node

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Keys


def change(text: str, change: Change) -> str:
    """Return the text of a TOML file with a change that fits its data."""
    if isinstance(change, Set):
        file = _File(text)
        if change.keys in file.tables():  # replaced as a whole
            return _File(_without(text, change.keys)).set(change.keys, change.value)
        return file.set(change.keys, change.value)
    above = change.keys[:-1]
    text = _without(text, change.keys)
    left = _File(text)
    # A table that only its last key declares would disappear with that key.
    return text if not above or above in left.tables() or left.value(above) else left.set(above, {})


def _without(text: str, keys: Keys) -> str:
    return spliced(text, _File(text).cut(keys))


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair ``key = value``, with its key path from the file's top."""

    keys: Keys
    node: Node

    @property
    def value(self) -> Node:
        return trees.parts(self.node)[1]


@dataclass(frozen=True, slots=True)
class _Section:
    """A header (none at the file's top) and the pairs below it."""

    keys: Keys
    header: Node | None
    pairs: Sequence[_Pair]

    @property
    def last(self) -> Node | None:
        """The node after which a pair can be added."""
        return self.pairs[-1].node if self.pairs else self.header


class _File:
    def __init__(self, text: str) -> None:
        self.text = text
        self.data = text.encode()
        self.sections = list(_sections(trees.parse("toml", text)))

    def tables(self) -> set[Keys]:
        """Return the paths of all tables that are not written in braces."""
        paths = {section.keys[:end] for section in self.sections for end in range(len(section.keys) + 1)}
        pairs = [(section, pair) for section in self.sections for pair in section.pairs]
        return paths | {pair.keys[:end] for section, pair in pairs for end in range(len(section.keys), len(pair.keys))}

    def value(self, keys: Keys) -> list[tuple[Node, Node]]:
        """Return the entries on the path to an inline value, each with its value, from the outermost."""
        for section in self.sections:
            for pair in section.pairs:
                if pair.keys == keys[: len(pair.keys)]:
                    return _inside([(pair.node, pair.value)], keys[len(pair.keys) :])
        return []

    def set(self, keys: Keys, value: Any) -> str:  # noqa: ANN401 - any data
        """Return the text with a value at a path that is not a table yet."""
        for end in range(len(keys), 0, -1):
            if found := self.value(keys[:end]):
                node, rest = found[-1][1], keys[end:]
                if not rest:
                    return spliced(self.text, [(node.start_byte, node.end_byte, written(value))])
                if not isinstance(rest[0], str):
                    entry = written(nested(rest[1:], value))
                else:
                    entry = f"{_key(rest[:1])} = {written(nested(rest[1:], value))}"
                spaces = (" ", " ") if node.type == "inline_table" else ("", "")
                return spliced(self.text, add_between(self.data, node, entry, empty=spaces))
        return spliced(self.text, [self._add(keys, value)])

    def _add(self, keys: Keys, value: Any) -> Splice:  # noqa: ANN401 - any data
        for end in range(len(keys) - 1, -1, -1):
            near = keys[:end]
            dotted = [
                (section, pair.node)
                for section in self.sections
                for pair in section.pairs
                if len(section.keys) < end and pair.keys[:end] == near
            ]
            if dotted:
                section, last = dotted[-1]
                return self._lines(last, len(section.keys), keys, value)
            headed = [section for section in self.sections if section.keys[:end] == near]
            exact = next((each for each in headed if each.keys == near and each.last), None)
            if exact and exact.last and (end or not isinstance(value, dict)) and (end or len(keys) == 1):
                return self._lines(exact.last, end, keys, value)
            if headed or not end:
                return self._section(headed, keys, value)
        raise AssertionError("the path () is a prefix of all")

    def _lines(self, after: Node, known: int, keys: Keys, value: Any) -> Splice:  # noqa: ANN401 - any data
        """Add lines after a node's line, with keys relative to a header of the given depth."""
        place = line_end(self.data, max(after.end_byte - 1, after.start_byte))
        margin = indentation(self.data, after.start_byte)
        lines = "".join(f"\n{margin}{line}" for line in _assignments(keys[known:], value))
        return place, place, lines

    def _section(self, near: Sequence[_Section], keys: Keys, value: Any) -> Splice:  # noqa: ANN401 - any data
        """Add a header, after its nearest relatives or at the end."""
        path, values = (keys, value) if isinstance(value, dict) else (keys[:-1], {keys[-1]: value})
        lines = [line for name, each in values.items() for line in _assignments((name,), each)]
        if not path:  # a value at the file's top, before all headers
            return 0, 0, "".join(f"{line}\n" for line in lines) + ("\n" if self.sections[1:] else "")
        block = "\n".join([f"[{_key(path)}]", *lines])
        last = next((each.last for each in reversed(near or self.sections) if each.last), None)
        if last is None:
            line = "" if self.data.endswith(b"\n") or not self.data else "\n"
            return len(self.data), len(self.data), f"{line}{block}\n"
        place = line_end(self.data, max(last.end_byte - 1, last.start_byte))
        return place, place, f"\n\n{block}"

    def cut(self, keys: Keys) -> list[Splice]:
        """Remove all that is written at a path and below it."""
        if way := self.value(keys):
            entry = way[-1][0]
            if len(way) > 1:
                return cut_between(self.data, way[-2][1], entry)
            return [self._cut_lines(entry.start_byte, entry.end_byte)]
        cuts = []
        for section in self.sections:
            if section.header and section.keys[: len(keys)] == keys:
                cuts.append(self._cut_section(section.header, section.last or section.header))
            else:
                inside = [pair.node for pair in section.pairs if pair.keys[: len(keys)] == keys]
                cuts += [self._cut_lines(node.start_byte, node.end_byte) for node in inside]
        return cuts

    def _cut_lines(self, start: int, end: int) -> Splice:
        return without_lines(self.data, start, end - 1)

    def _cut_section(self, header: Node, last: Node) -> Splice:
        """Return a header's lines, with the blank line above."""
        start, end, _ = self._cut_lines(header.start_byte, last.end_byte)
        if start and self.data[:start].endswith(b"\n"):
            start -= 1
        return start, end, ""


def _sections(tree: Node) -> Iterator[_Section]:
    counts: dict[Keys, int] = {}
    top = [child for child in tree.children if child.type == "pair"]
    yield _Section((), None, [_pair((), node) for node in top])
    for child in tree.children:
        if child.type in {"table", "table_array_element"}:
            header, *pairs = trees.parts(child)
            keys: Keys = ()
            for name, _ in names(header):
                keys = (*keys, counts[keys], name) if keys in counts else (*keys, name)
            if child.type == "table_array_element":
                counts[keys] = counts.get(keys, -1) + 1
                keys = (*keys, counts[keys])
            yield _Section(keys, header, [_pair(keys, pair) for pair in pairs])


def _pair(above: Keys, node: Node) -> _Pair:
    return _Pair((*above, *(name for name, _ in names(trees.parts(node)[0]))), node)


def _inside(way: list[tuple[Node, Node]], keys: Keys) -> list[tuple[Node, Node]]:
    """Return the rest of the path through inline values; [] when the path is not written there."""
    for depth in range(len(keys)):
        node = way[-1][1]
        if node.type == "array" and isinstance(index := keys[depth], int) and index < len(trees.parts(node)):
            entry = value = trees.parts(node)[index]
            return _inside([*way, (entry, value)], keys[depth + 1 :])
        if node.type != "inline_table":
            return []
        for pair in (_pair((), entry) for entry in trees.parts(node)):
            if pair.keys == keys[depth : depth + len(pair.keys)]:
                return _inside([*way, (pair.node, pair.value)], keys[depth + len(pair.keys) :])
        return []
    return way


def _assignments(keys: Keys, value: Any) -> Iterator[str]:  # noqa: ANN401 - any data
    """Return the lines of a value: one for each value that is not a table, with dotted keys."""
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _assignments((*keys, name), each)
    else:
        yield f"{_key(keys)} = {written(value)}"


def _key(keys: Keys) -> str:
    return ".".join(key(name).as_string() for name in keys if isinstance(name, str))


def written(value: Any) -> str:  # noqa: ANN401 - any data
    """Return a value on one line, with tables in braces.

    Raises:
        Faults: For null, which TOML does not have.
    """
    if value is None:
        raise fault("TOML has no null", hint="unset the key, or use another notation for this file")
    if isinstance(value, dict):
        entries = ", ".join(f"{_key((name,))} = {written(each)}" for name, each in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return str(item(value).as_string())
