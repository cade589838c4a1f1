"""Cut from and insert into the bytes of a text, and edit the entries between brackets in any notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.inventory.notations import trees

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tree_sitter import Node

Splice = tuple[int, int, str]  # from byte, to byte, what stands there instead


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """Return the text with pieces replaced. They do not overlap; of two at one place, the first comes first."""
    data = text.encode()
    for start, end, new in sorted(splices, key=lambda splice: splice[:2])[::-1]:
        data = data[:start] + new.encode() + data[end:]
    return data.decode()


def line_start(data: bytes, offset: int) -> int:
    """Return where the line of a byte begins."""
    return data.rfind(b"\n", 0, offset) + 1


def line_end(data: bytes, offset: int) -> int:
    """Return where the line of a byte ends: at its line break, or the end of the text."""
    end = data.find(b"\n", offset)
    return len(data) if end < 0 else end


def indentation(data: bytes, offset: int) -> str:
    """Return the spaces and tabs at the beginning of a byte's line."""
    line = data[line_start(data, offset) : line_end(data, offset)]
    return line[: len(line) - len(line.lstrip(b" \t"))].decode()


def first_on_line(data: bytes, offset: int) -> bool:
    """Return whether only spaces and tabs precede a byte on its line."""
    return not data[line_start(data, offset) : offset].strip(b" \t")


def without_lines(data: bytes, start: int, end: int) -> Splice:
    """Cut the lines from that of one byte to that of another."""
    first, last = line_start(data, start), line_end(data, end)
    return (first - 1, last, "") if first else (0, min(last + 1, len(data)), "")


def add_between(data: bytes, container: Node, entry: str, *, empty: tuple[str, str] = ("", "")) -> list[Splice]:
    """Add an entry before a closing bracket, on a line of its own if the other entries have one.

    Args:
        data: The text.
        container: The node, brackets included.
        entry: What is added.
        empty: What stands before and behind the entry when it is the only one.
    """
    entries = trees.parts(container)
    closing = container.end_byte - 1
    if not entries:
        return [(container.start_byte + 1, closing, entry.join(empty))]
    last = entries[-1]
    comma = data.find(b",", last.end_byte, closing) if _only_comma(data, container, last) else -1
    end = comma + 1 if comma >= 0 else last.end_byte
    trailing = "," if comma >= 0 else ""
    separate = [] if trailing else [(last.end_byte, last.end_byte, ",")]
    if first_on_line(data, last.start_byte) and line_end(data, end) < closing:
        place = line_end(data, end)  # after a comment about the last entry
        return [*separate, (place, place, f"\n{indentation(data, last.start_byte)}{entry}{trailing}")]
    return [(end, end, f"{'' if trailing else ','} {entry}")]


def _only_comma(data: bytes, container: Node, last: Node) -> bool:
    """Return whether a comma follows the last entry."""
    after = next((child for child in container.children if child.start_byte >= last.end_byte), None)
    return after is not None and data[after.start_byte : after.end_byte] == b","


def cut_between(data: bytes, container: Node, entry: Node) -> list[Splice]:
    """Cut an entry from between brackets. A comment on its line is cut too; others stay."""
    entries = trees.parts(container)
    index = entries.index(entry)
    if len(entries) == 1:
        return [(container.start_byte + 1, container.end_byte - 1, "")]
    commented = any(child.type == "comment" for child in container.children)
    own_lines = first_on_line(data, entry.start_byte) and line_end(data, entry.end_byte) < container.end_byte
    following = entries[index + 1 :]
    if commented and own_lines and (not following or following[0].start_byte > line_end(data, entry.end_byte)):
        return [without_lines(data, entry.start_byte, entry.end_byte)]  # the comma before it stays, which is allowed
    if following:
        return [(entry.start_byte, following[0].start_byte, "")]
    return [(entries[index - 1].end_byte, entry.end_byte, "")]
