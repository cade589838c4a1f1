"""Read JSON (RFC 8259) with the standard library; a key that an object has twice is a fault."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from rolecall.errors import Faults, fault
from rolecall.inventory import wrapping
from rolecall.inventory.data import DEPTH, check, long_number, once, shown, syntax_fault
from rolecall.inventory.notations import trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tree_sitter import Node

    from rolecall.inventory.data import Data, Keys
    from rolecall.inventory.notation import Comment, Position
    from rolecall.model.source import Source


_NOT_IN_GRAMMAR = re.compile(r'"(?:[^"\\]|\\.)*"|([eE])\+|(-?Infinity|NaN)')


class _TwiceError(ValueError):
    """Raised for a key that one object has twice."""


def read(text: str, file: Path) -> Source:
    """Return the inventory in a JSON file.

    Raises:
        Faults: A syntax error, a key set twice, or invalid data.
    """
    try:
        return wrapping.source(file, json.loads(text, object_pairs_hook=_once))
    except json.JSONDecodeError as error:
        message = f"JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise syntax_fault(message, error.lineno, error.colno, hint=_hint(error)) from None
    except _TwiceError as error:
        line, column = _second(text, str(error))
        raise syntax_fault(f"{shown(str(error))} is set twice", line, column, hint=once(str(error))) from None
    except ValueError as error:
        raise syntax_fault(f"JSON: {error}") from None


def value(text: str) -> object:
    """Return the value of a JSON text, or the text itself if it is not JSON.

    Raises:
        Faults: When the value cannot be in an inventory.
    """
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError:
        data = text
    except RecursionError:
        raise fault(f"nested deeper than {DEPTH} levels") from None
    except _TwiceError as error:
        raise fault(f"{shown(str(error))} is set twice", hint=once(str(error))) from None
    except ValueError as error:
        raise long_number(error, text) or fault(f"JSON: {error}") from None
    if faults := check(data):
        raise Faults(faults)
    return data


def _hint(error: json.JSONDecodeError) -> str:
    if error.msg.startswith(("Illegal trailing comma", "Expecting property name")):
        return "put keys in double quotes, and no comma after the last entry"
    return "put one comma between two entries" if error.msg == "Expecting ',' delimiter" else ""


def _once(pairs: list[tuple[str, object]]) -> Data:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _TwiceError(key)
            seen.add(key)
    return data


def _second(text: str, key: str) -> tuple[int, int]:
    """Return the line and column of the second occurrence of a key that some object has twice."""
    seen: set[Keys] = set()
    for keys, line, column in positions(text):
        if keys in seen and keys[-1] == key:
            return line, column
        seen.add(keys)
    return 0, 0


def positions(text: str) -> Iterator[Position]:
    """Yield where each key and each item of a list stands."""
    return trees.in_characters(text, ((keys, *node.start_point) for keys, node in _walk(tree(text))))


def tree(text: str) -> Node:
    """Return the tree of a text. Numbers that the grammar does not know (``e+5``, ``NaN``) become others as long."""

    def known(found: re.Match[str]) -> str:
        return f"{found[1]}0" if found[1] else "1" * len(found[2]) if found[2] else found[0]

    return trees.parse("json", _NOT_IN_GRAMMAR.sub(known, text))


def comments(text: str) -> Iterator[Comment]:
    """Yield nothing: JSON has no comments."""
    del text
    return iter(())


def computes(text: str) -> bool:
    """Return False: this notation has no names for values."""
    del text
    return False


def _walk(tree: Node) -> Iterator[tuple[Keys, Node]]:
    todo: list[tuple[Node, Keys]] = [(node, ()) for node in tree.named_children]
    while todo:
        node, keys = todo.pop()
        if node.type == "object":
            for pair in trees.parts(node):
                key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
                if key is not None and value is not None:
                    path = (*keys, json.loads(trees.text(key)))
                    yield path, key
                    todo.append((value, path))
        elif node.type == "array":
            for index, item in enumerate(trees.parts(node)):
                yield (*keys, index), item
                todo.append((item, (*keys, index)))
