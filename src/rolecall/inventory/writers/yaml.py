"""Change YAML text. ruamel.yaml writes the values; the parse tree gives their places.

A new entry of a block is on separate lines with the block's indentation; a new entry between brackets is there.
"""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

from rolecall.errors import fault
from rolecall.inventory.changes import Set, nested
from rolecall.inventory.notations import trees
from rolecall.inventory.notations.yaml import name_of
from rolecall.inventory.writers.splices import (
    Splice,
    add_between,
    cut_between,
    first_on_line,
    line_end,
    spliced,
    without_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Keys

_ONE_LINE = 1 << 30  # columns
_AROUND = {"anchor", "tag", "yaml_directive", "tag_directive", "reserved_directive"}
_BLOCKS = {"block_mapping", "block_sequence"}


def change(text: str, change: Change) -> str:
    """Return the text of a YAML file with a change that fits its data.

    Raises:
        Faults: When nothing can be added at the place.
    """
    file = _File(text)
    way = list(file.way(change.keys))
    rest = change.keys[len(way) :]
    if not isinstance(change, Set):
        return spliced(text, file.cut(*way[-1], above=way[-2] if way[1:] else None))
    if rest:
        container = _content(way[-1][1]) if way else file.root
        if way and (container is None or container.type == "plain_scalar"):  # null, an empty table
            return spliced(text, file.replace(*way[-1], nested(rest, change.value)))
        return spliced(text, file.add(container, rest[0], nested(rest[1:], change.value)))
    return spliced(text, file.replace(*way[-1], change.value))


class _File:
    def __init__(self, text: str) -> None:
        self.data = text.encode()
        documents = [node for node in trees.parts(trees.parse("yaml", text)) if node.type == "document"]
        self.root = _content(documents[0]) if documents else None
        pairs = [pair for pair in trees.parts(self.root) if pair.type == "block_mapping_pair"] if self.root else []
        inner = (_content(pair.child_by_field_name("value")) for pair in pairs)
        columns = [node.start_point.column for node in inner if node and node.type == "block_mapping"]
        self.step = columns[0] if columns and columns[0] else 2

    def way(self, keys: Keys) -> Iterator[tuple[Node, Node | None]]:
        """Return the written entries on a path, each with its value, from the outermost."""
        node = self.root
        for key in keys:
            found = _entry(node, key) if node else None
            if found is None:
                return
            yield found
            node = _content(found[1])

    def replace(self, entry: Node, old: Node | None, value: Any) -> list[Splice]:  # noqa: ANN401 - any data
        """Replace the value of an entry."""
        sign = _sign(entry)
        if entry.type not in {"block_mapping_pair", "block_sequence_item"}:
            start, end = (old.start_byte, old.end_byte) if old else (entry.end_byte, entry.end_byte)
            return [(start, end, _flow(value))]
        content = _content(old)
        text = f" {_flow(value)}"
        if isinstance(value, list) and value and content and content.type == "block_sequence":
            margin = "\n" + " " * content.start_point.column
            first = "" if entry.type == "block_mapping_pair" else " "  # behind the sign of an item the next may stand
            text = (first or margin) + margin.join(f"- {_flow(each)}" for each in value)
        elif isinstance(value, dict) and value and entry.type == "block_mapping_pair":
            text = "\n" + textwrap.indent(_block(value, self.step), " " * (entry.start_point.column + self.step))
        return [(sign.end_byte, _end(old) if old else sign.end_byte, text)]

    def add(self, container: Node | None, key: str | int, value: Any) -> list[Splice]:  # noqa: ANN401 - any data
        """Add an entry at a container's end."""
        if container is None:
            empty = not self.data or self.data.endswith(b"\n")
            end = len(self.data)
            return [(end, end, f"{'' if empty else chr(10)}{_block({key: value}, self.step)}\n")]
        if container.type in {"flow_mapping", "flow_sequence"}:
            entry = _flow(value) if container.type == "flow_sequence" else _flow({key: value})[1:-1]
            return add_between(self.data, container, entry)
        if container.type not in _BLOCKS:
            raise fault("cannot add to an alias, whose value is shared, or to a pair without braces")
        last = trees.parts(container)[-1]
        place = line_end(self.data, _end(last) - 1)
        entry = f"- {_flow(value)}" if container.type == "block_sequence" else _block({key: value}, self.step)
        margin = " " * last.start_point.column
        return [(place, place, "\n" + textwrap.indent(entry, margin))]

    def cut(self, entry: Node, value: Node | None, *, above: tuple[Node, Node | None] | None) -> list[Splice]:  # noqa: ARG002 - a step of the way
        """Remove an entry from its container; a container without entries is written as empty."""
        container = entry.parent
        assert container is not None  # noqa: S101 - an entry stands in something
        if container.type not in _BLOCKS:
            return cut_between(self.data, container, entry)
        others = trees.parts(container)
        lines = without_lines(self.data, entry.start_byte, _end(entry) - 1)
        if len(others) == 1:
            empty = "{}" if container.type == "block_mapping" else "[]"
            if above and above[0].type == "block_mapping_pair" and first_on_line(self.data, entry.start_byte):
                sign = _sign(above[0])
                return [(sign.end_byte, sign.end_byte, f" {empty}"), lines]
            return [(container.start_byte, _end(container), empty)]
        if first_on_line(self.data, entry.start_byte):
            return [lines]
        return [(entry.start_byte, others[1].start_byte, "")]  # the first entry, behind the sign of an item


def _content(node: Node | None) -> Node | None:
    """Return a node's content, without anchors, tags and comments around it."""
    while node and node.type in {"document", "block_node", "flow_node"}:
        node = next((each for each in trees.parts(node) if each.type not in _AROUND), None)
    return node


def _entry(node: Node, key: str | int) -> tuple[Node, Node | None] | None:
    """Return the entry of a mapping or sequence at a key, and its value, None if nothing is written there."""
    entries = trees.parts(node)
    if node.type in {"block_mapping", "flow_mapping"}:
        for entry in entries:
            if name_of(entry.child_by_field_name("key") or entry) == key:
                return entry, entry.child_by_field_name("value")
    if node.type in {"block_sequence", "flow_sequence"} and isinstance(key, int) and key < len(entries):
        entry = entries[key]
        inner = trees.parts(entry)
        return entry, (inner[0] if inner else None) if entry.type == "block_sequence_item" else entry
    return None


def _sign(entry: Node) -> Node:
    """Return the node of an entry after which its value is written: `:` or `-`."""
    return next((child for child in entry.children if child.type in {":", "-"}), entry)


def _end(node: Node) -> int:
    """Return where a node's content ends; the tree includes comments and blank lines below a block."""
    while inner := [child for child in node.children if child.type != "comment"]:
        if node.type == "block_scalar":
            return node.start_byte + len((node.text or b"").rstrip())  # the tree has no nodes for its lines
        node = inner[-1]
    return node.end_byte


def _flow(value: Any) -> str:  # noqa: ANN401 - any data
    """Return a value on one line."""
    return _dumped({"k": value}, 2, flow=True).removeprefix("{k: ").removesuffix("}")


def _block(value: Any, step: int) -> str:  # noqa: ANN401 - any data
    """Return a table or list on lines of its own; lists of plain values are written in brackets."""
    return _dumped(value, step, flow=False)


def _dumped(value: Any, step: int, *, flow: bool) -> str:  # noqa: ANN401 - any data
    from ruamel.yaml import YAML

    writer = YAML()
    writer.width = _ONE_LINE
    writer.brace_single_entry_mapping_in_flow_sequence = True
    writer.indent(mapping=step, sequence=step + 2, offset=step)
    stream = io.StringIO()
    writer.dump(_styled(value, flow=flow), stream)
    return stream.getvalue().rstrip("\n")


def _styled(value: Any, *, flow: bool) -> Any:  # noqa: ANN401 - any data
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str) and value.startswith("?"):
        return DoubleQuotedScalarString(value)  # plainly written between brackets it would be read as a key
    if not isinstance(value, dict | list):
        return value
    plain = isinstance(value, list) and not any(isinstance(each, dict | list) for each in value)
    styled = (
        CommentedMap({_styled(name, flow=flow): _styled(each, flow=flow) for name, each in value.items()})
        if isinstance(value, dict)
        else CommentedSeq(_styled(each, flow=flow) for each in value)
    )
    if flow or plain or not value:
        styled.fa.set_flow_style()
    return styled
