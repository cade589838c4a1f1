"""TOML, version 1.0, by the standard library."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from rolecall.inventory import wrapping
from rolecall.inventory.data import syntax_fault
from rolecall.inventory.notations import trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tree_sitter import Node

    from rolecall.inventory.locate import Keys, Position
    from rolecall.model.inventory import Source

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read(text: str, file: Path) -> Source:
    """The inventory in a TOML file.

    Raises:
        Faults: A syntax error, a key set twice, or what is no data.
    """
    try:
        return wrapping.source(file, tomllib.loads(text))
    except ValueError as error:  # also an integer of thousands of digits
        message = str(error)
        place = _PLACE.search(message)
        line, column = (int(place[1]), int(place[2])) if place and place[1] else trees.end(text)
        message = _PLACE.sub("", message)
        raise syntax_fault(f"TOML: {message[:1].lower()}{message[1:]}", line, column, hint=_hint(message)) from None


def _hint(message: str) -> str:
    if message.startswith("Cannot "):
        return "the key or table is set twice; remove one of the two"
    if message == "Invalid value":
        return 'a text stands in quotes: name = "value"'
    if message.startswith("Expected '=' after a key"):
        return "write name = value; a name with other signs than letters, digits, `_` and `-` stands in quotes"
    return ""


def positions(text: str) -> Iterator[Position]:
    """Where each key and each item of a list stands."""
    return trees.in_characters(text, ((keys, *node.start_point) for keys, node in _walk(trees.parse("toml", text))))


def _walk(tree: Node) -> Iterator[tuple[Keys, Node]]:
    counts: dict[Keys, int] = {}
    todo: list[tuple[Node, Keys]] = []
    for child in tree.children:
        if child.type == "pair":
            todo.append((child, ()))
        if child.type not in {"table", "table_array_element"}:
            continue
        keys: Keys = ()
        header = next(node for node in child.named_children if node.type.endswith("key"))
        names = list(_names(header))
        for number, (name, node) in enumerate(names, 1):
            keys = (*keys, name)
            yield keys, node
            if number == len(names) and child.type == "table_array_element":
                counts[keys] = counts.get(keys, -1) + 1
                yield (*keys, counts[keys]), node
            if keys in counts:
                keys = (*keys, counts[keys])
        todo.extend((node, keys) for node in child.named_children if node.type == "pair")
    while todo:
        node, keys = todo.pop()
        if node.type == "pair":
            key, *_, value = trees.parts(node)
            for name, part in _names(key):
                keys = (*keys, name)
                yield keys, part
            todo.append((value, keys))
        elif node.type == "inline_table":
            todo.extend((pair, keys) for pair in trees.parts(node))
        elif node.type == "array":
            for index, item in enumerate(trees.parts(node)):
                yield (*keys, index), item
                todo.append((item, (*keys, index)))


def _names(key: Node) -> Iterator[tuple[str, Node]]:
    """The parts of a dotted key, which the grammar nests to the left."""
    todo = [key]
    while todo:
        node = todo.pop()
        if node.type == "dotted_key":
            todo.extend(reversed(node.named_children))
        elif node.type == "quoted_key":
            (name,) = tomllib.loads(f"{trees.text(node)} = 0")
            yield name, node
        else:
            yield trees.text(node), node
