"""Read TOML 1.0 with the standard library."""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING

from rolecall.errors import dotted
from rolecall.inventory import wrapping
from rolecall.inventory.data import once, shown, syntax_fault
from rolecall.inventory.notations import trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tree_sitter import Node

    from rolecall.inventory.data import Keys
    from rolecall.inventory.notation import Comment, Position
    from rolecall.model.source import Source

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read(text: str, file: Path) -> Source:
    """Return the inventory in a TOML file.

    Raises:
        Faults: A syntax error, a key set twice, or invalid data.
    """
    try:
        return wrapping.source(file, tomllib.loads(text))
    except ValueError as error:  # also an integer of thousands of digits
        place = _PLACE.search(str(error))
        line, column = (int(place[1]), int(place[2])) if place and place[1] else trees.end(text)
        message, hint = _in_words(_PLACE.sub("", str(error)))
        raise syntax_fault(message, line, column, hint=hint) from None


def _in_words(message: str) -> tuple[str, str]:
    """Return one of tomllib's messages in plainer words, and a hint."""
    if twice := re.fullmatch(r"Cannot declare (\(.*\)) twice", message):
        keys = ast.literal_eval(twice[1])
        return f"{shown(dotted(keys))} is set twice", once(keys[-2:][0])
    if twice := re.fullmatch(r"Duplicate inline table key (.*)", message):
        name = ast.literal_eval(twice[1])
        return f"{shown(name)} is set twice", once(name)
    if below := re.fullmatch(r"cannot mutate immutable namespace (\(.*\))", message, re.IGNORECASE):
        keys = ast.literal_eval(below[1])
        hint = once("tags") if "tags" in keys else "write the whole value in one place"
        return f"{shown(dotted(keys))} is set inside a value that is already complete", hint
    hint = ""
    if message == "Cannot overwrite a value":
        message, hint = "this key is set twice", once(None)
    elif message == "Invalid value":
        hint = 'put text in quotes: name = "value"'
    elif message.startswith("Expected '=' after a key"):
        hint = "write name = value; quote a name that has other characters than letters, digits, `_` and `-`"
    return f"TOML: {message[:1].lower()}{message[1:]}", hint


def positions(text: str) -> Iterator[Position]:
    """Yield where each key and each item of a list stands."""
    return trees.in_characters(text, ((keys, *node.start_point) for keys, node in _walk(trees.parse("toml", text))))


def comments(text: str) -> Iterator[Comment]:
    """Yield every comment."""
    return trees.comments("toml", text)


def computes(text: str) -> bool:
    """Return False: this notation has no names for values."""
    del text
    return False


def _walk(tree: Node) -> Iterator[tuple[Keys, Node]]:
    counts: dict[Keys, int] = {}
    for child in tree.children:
        if child.type == "pair":
            yield from _values(child, ())
        elif child.type in {"table", "table_array_element"}:
            header, *pairs = trees.parts(child)
            keys: Keys = ()
            for name, node in names(header):
                keys = (*keys, counts[keys], name) if keys in counts else (*keys, name)
                yield keys, node
            if child.type == "table_array_element":
                counts[keys] = counts.get(keys, -1) + 1
                keys = (*keys, counts[keys])
                yield keys, header
            for pair in pairs:
                yield from _values(pair, keys)


def _values(pair: Node, keys: Keys) -> Iterator[tuple[Keys, Node]]:
    todo = [(pair, keys)]
    while todo:
        node, keys = todo.pop()
        if node.type == "pair":
            key, value = trees.parts(node)
            for name, part in names(key):
                keys = (*keys, name)
                yield keys, part
            todo.append((value, keys))
        elif node.type == "inline_table":
            todo.extend((each, keys) for each in trees.parts(node))
        elif node.type == "array":
            for index, item in enumerate(trees.parts(node)):
                yield (*keys, index), item
                todo.append((item, (*keys, index)))


def names(key: Node) -> Iterator[tuple[str, Node]]:
    """Yield the parts of a dotted key, which the grammar nests to the left."""
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
