"""Change JSON text. New entries take the indentation of their neighbours."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

from rolecall.inventory.changes import Set, nested
from rolecall.inventory.notations import trees
from rolecall.inventory.notations.json_text import tree
from rolecall.inventory.writers.splices import Splice, add_between, cut_between, indentation, spliced

if TYPE_CHECKING:
    from tree_sitter import Node

    from rolecall.inventory.changes import Change
    from rolecall.inventory.data import Keys

_INDENTED = re.compile(r"[\[{]\n([ \t]+)")


def change(text: str, change: Change) -> str:
    """Return the text of a JSON file with a change that fits its data; an empty text is an empty table."""
    text = text if text.strip() else "{}\n"
    root = trees.parts(tree(text))[0]
    return spliced(text, _Writer(text).change(root, change))


class _Writer:
    """One file and its style."""

    def __init__(self, text: str) -> None:
        self.data = text.encode()
        match = _INDENTED.search(text)
        self.step = match[1] if match else "  "
        self.long = "\n" in text.strip() or text.strip() == "{}"

    def change(self, root: Node, change: Change) -> list[Splice]:
        node, entry, container, depth = root, root, root, 0
        while depth < len(change.keys) and (found := _entry(node, change.keys[depth])):
            (entry, value), container, depth = found, node, depth + 1
            node = value
        if isinstance(change, Set):
            return self._set(node, change.keys[depth:], change.value)
        return cut_between(self.data, container, entry)

    def _set(self, node: Node, rest: Keys, value: Any) -> list[Splice]:  # noqa: ANN401 - any data
        margin = indentation(self.data, node.start_byte)
        if not rest or node.type not in {"object", "array"}:  # null stands for an empty table
            value = nested(rest, value)
            return [(node.start_byte, node.end_byte, self._text(value, margin))]
        value = nested(rest[1:], value)
        long = self.long and (b"\n" in (node.text or b"") or not trees.parts(node))
        inner = margin + self.step
        if entries := trees.parts(node):
            inner = indentation(self.data, entries[-1].start_byte)
        entry = self._text(value, inner, long=long)
        if isinstance(rest[0], str):
            entry = f"{json.dumps(rest[0], ensure_ascii=False)}: {entry}"
        return add_between(self.data, node, entry, empty=(f"\n{inner}", f"\n{margin}") if long else ("", ""))

    def _text(self, value: Any, margin: str, *, long: bool = True) -> str:  # noqa: ANN401 - any data
        """Return a value as it is written on a line with this margin."""
        step = self.step if self.long and long else None
        lines = json.dumps(value, ensure_ascii=False, indent=step)
        return textwrap.indent(lines, margin).removeprefix(margin) if step else lines


def _entry(node: Node, key: str | int) -> tuple[Node, Node] | None:
    """Return the entry of an object or array at a key, and its value."""
    if node.type == "object":
        for pair in trees.parts(node):
            name, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            if name is not None and value is not None and json.loads(trees.text(name)) == key:
                return pair, value
    if node.type == "array" and isinstance(key, int) and key < len(items := trees.parts(node)):
        return items[key], items[key]
    return None
