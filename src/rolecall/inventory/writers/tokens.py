"""Rename keys and texts in any notation, where a name is written literally, plain or quoted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rolecall.inventory.data import Keys
    from rolecall.inventory.notation import Position

# Names that every notation allows without quotes, and words that some notation does not read as a text.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORDS = re.compile(r"(?i)assert|else|false|if|in|inherit|let|n|no|null|off|on|or|rec|then|true|with|y|yes")


def rename(text: str, positions: Iterable[Position], paths: Collection[Keys], old: str, new: str) -> str:
    """Return the text with a name replaced where it is the last key of one of these paths, or a list item there.

    Args:
        text: A file's content.
        positions: Where its keys and items stand.
        paths: Where the name is to be replaced. A place where it is not written literally stays.
        old: Letters, digits, ``_`` and ``-``, as `new`.
        new: The other name.
    """
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    token = re.compile(rf"""(?P<quote>["']?){re.escape(old)}(?P=quote)(?![A-Za-z0-9_-])""")
    for place in sorted({starts[line - 1] + column - 1 for keys, line, column in positions if keys in paths})[::-1]:
        if found := token.match(text, place):
            plain = _PLAIN.fullmatch(new) and not _WORDS.fullmatch(new)
            quote = found["quote"] or ("" if plain else '"')
            text = f"{text[:place]}{quote}{new}{quote}{text[found.end() :]}"
    return text
