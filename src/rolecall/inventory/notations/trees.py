"""Trees with the position of every part of a text (tree-sitter), built only when a position is needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from rolecall.inventory.data import Keys
    from rolecall.inventory.notation import Comment, Position


def parse(notation: str, text: str) -> Node:
    """Return the root of the tree of ``text``.

    Args:
        notation: A grammar that is installed as ``tree_sitter_NOTATION``.
        text: A file's content.
    """
    from tree_sitter import Language, Parser

    language = Language(import_module(f"tree_sitter_{notation}").language())
    return Parser(language).parse(text.encode()).root_node


def text(node: Node) -> str:
    """Return the text of a node."""
    return (node.text or b"").decode()


def parts(node: Node) -> list[Node]:
    """Return a node's named children without comments."""
    return [child for child in node.named_children if child.type != "comment"]


def in_characters(content: str, places: Iterator[tuple[Keys, int, int]]) -> Iterator[Position]:
    """Convert rows from 0 and columns in UTF-8 bytes, as parsers count, to lines and columns from 1 in characters."""
    lines = None if content.isascii() else content.encode().split(b"\n")
    for keys, row, column in places:
        if lines is not None:
            column = len(lines[row][:column].decode(errors="replace"))  # noqa: PLW2901 - the same thing, in characters
        yield keys, row + 1, column + 1


def walk(tree: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it, in the order of the text."""
    todo = [tree]
    while todo:
        yield (node := todo.pop())
        todo.extend(reversed(node.children))


def comments(notation: str, text: str) -> Iterator[Comment]:
    """Yield every comment, without its sign."""
    lines = text.encode().split(b"\n")
    for node in walk(parse(notation, text)):
        if node.type == "comment":
            row, column = node.start_point
            yield row + 1, len(lines[row][:column].decode()) + 1, (node.text or b"").decode()[1:]


def end(content: str) -> tuple[int, int]:
    """Return line and column, from 1, of the end of a text."""
    return content.count("\n") + 1, len(content) - content.rfind("\n")
