"""Answers to the prompts of generators, from a file or a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.errors import Where, fault
from rolecall.inventory.content import text as text_of
from rolecall.inventory.notations.json_text import value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_answers(source: Path | str, name: str) -> Mapping[str, str]:
    """Return answers by ``MACHINE/VAR/PROMPT``.

    Args:
        source: A JSON object of texts: its file, or the text itself.
        name: What the source is called in a fault.

    Raises:
        Faults: When it cannot be read, or is not such an object.
    """
    found = value(source if isinstance(source, str) else text_of(source))
    if isinstance(found, dict) and all(isinstance(answer, str) for answer in found.values()):
        return found
    where = None if isinstance(source, str) else Where(source)
    raise fault(f"{name} must be an object of strings in JSON", where=where, hint='write `{"MACHINE/VAR/PROMPT": "…"}`')
