"""How contents change, as unified diffs."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING

from rolecall.errors import shown
from rolecall.model.plan import Diff
from rolecall_agent.content import Blob
from rolecall_agent.showing import BINARY, describe, masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall_agent.content import Part
    from rolecall_agent.protocol import Content

_NO_END = "\\ No newline at end of file"  # as diff(1) says it
_DIGITS = 12  # of a digest


def declared_content(parts: Sequence[Part]) -> Content | None:
    """Return a declared content with the names of its secrets; None for none, and if only the machine has it."""
    if not parts or any(isinstance(part, Blob) and part.data is None for part in parts):
        return None
    content = describe(masked(parts, lambda blob: blob.data or b""))
    return {**content, "lines": [shown(line) for line in content["lines"]]}


def diff(before: Content | None, after: Content | None) -> Diff | None:
    """Return how a content changes; None when it does not."""
    if before == after:
        return None
    contents = [content for content in (before, after) if content]
    was, will = (content["lines"] if content else [] for content in (before, after))
    if any(content["why"] for content in contents) or was == will:  # the same as shown: `\\r` may be a text, too
        return Diff(note=_note(before, after))
    lines = list(unified_diff(was, will, n=2))[2:]  # the first two name files
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    return Diff(tuple(_ended(lines)), added, removed)


def _ended(lines: Sequence[str]) -> list[str]:
    ended = []
    for line in lines:
        ended.append(line.removesuffix("\n"))
        if not line.endswith("\n"):
            ended.append(_NO_END)
    return ended


def _note(before: Content | None, after: Content | None) -> str:
    for what, content in (("is there", before), ("comes back", after)):
        if content and content["why"] and not content["sha256"]:
            return f"what {what} is not shown: {content['why']}"
    return " → ".join(_described(content) for content in (before, after))


def _described(content: Content | None) -> str:
    if content is None:
        return "nothing"
    binary = "binary, " if content["why"] == BINARY else ""
    return f"{binary}{content['size']:,} bytes, SHA-256 {content['sha256'][:_DIGITS]}…"
