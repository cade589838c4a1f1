"""What a plan may show of the contents of files: public text, with the names of secrets in place of their values.

What a machine has is shown if it is what was declared, or if every local user can read it, and no secret is declared
there. Anything else may contain a secret that nobody declared, such as a password in a file of a person.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Callable, Dict, Iterable, List, Optional

from rolecall_agent.content import Blob, Part, Secret
from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.protocol import Content, Shown
    from rolecall_agent.resources import Resource
    from rolecall_agent.store import Store
    from rolecall_agent.system import System

LIMIT = 48 << 10
"""Bytes of a text that are shown at most."""
BATCH = 48 << 10
"""Bytes after which an answer ends: each may take six in JSON, which may have `frames.MAX_ANSWER` bytes."""

LONGEST = 2_000
"""Bytes of a line of such a text."""
LONG, BINARY = "it is long", "it is binary"

_OTHERS_READ, _OTHERS_ENTER = 0o004, 0o001
_NOT_PUBLIC = "not every user can read it"
_UNKNOWN = "it differs from what was declared, and may contain a secret"
_EARLIER = "it is from before Rolecall put a secret there, and may contain one"


def name_of(secret: Secret) -> str:
    """Return what is shown in place of the value of a secret; another value has another name."""
    return f"<secret {secret.name}/{secret.file}, version {secret.version[:8]}>"


def masked(parts: Iterable[Part], data_of: Callable[[Blob], bytes]) -> bytes:
    """Return a declared content with the names of its secrets; `data_of` returns the bytes of a blob."""
    return b"".join(data_of(part) if isinstance(part, Blob) else name_of(part).encode() for part in parts)


def describe(data: bytes) -> Content:
    """Return a content without secrets as a plan shows it."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", data)
    why = ""
    texts: List[str] = []
    if len(data) > LIMIT or any(len(line) > LONGEST for line in lines):
        why = LONG
    else:
        try:
            texts = [line.decode() for line in lines]
        except UnicodeDecodeError:
            why = BINARY
        if b"\0" in data:
            texts, why = [], BINARY
    return {"lines": texts, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "why": why}


def before(system: System, store: Store, old: Optional[Resource], new: Optional[Resource]) -> Optional[Content]:
    """Return what is in the place of a resource; None for nothing, or if it is of a kind that has no content.

    Args:
        system: The machine.
        store: Its state directory.
        old: What was declared there last, if anything.
        new: What is to be there, if anything.
    """
    resource = new or old
    assert resource is not None  # noqa: S101 - a change is of one or the other
    try:
        data = resource.content_on(system)
        if data is None:
            return None
        if old and store.matches(old.content_parts, data):
            masks = masked(old.content_parts, lambda blob: store.content([blob])) if old.secrets else data
            return describe(masks)
    except (Failure, OSError) as error:
        return _hidden(str(error))
    if (old and old.secrets) or (new and new.secrets):
        return _hidden(_UNKNOWN)
    return describe(data) if all(_public(system, path) for path in resource.paths_on(system)) else _hidden(_NOT_PUBLIC)


def after_removal(system: System, store: Store, old: Resource) -> Optional[Content]:
    """Return what the removal of a resource puts back; None for nothing, or for what has no content.

    It is shown as `before` would have shown it when it was replaced.
    """
    original = store.originals.get(old.key, {})
    captured = original.get("file", original)
    is_block = "text" in captured
    if not is_block and captured.get("type") != "file":
        return None
    if old.secrets:
        return _hidden(_EARLIER)
    public = _public if is_block else _reachable
    readable = is_block or captured["mode"] & _OTHERS_READ
    if not readable or not all(public(system, path) for path in old.paths_on(system)):
        return _hidden(_NOT_PUBLIC)
    if is_block:
        return describe(str(captured["text"]).encode(errors="surrogateescape"))
    try:
        return describe(store.original_content(captured, old.key))
    except (Failure, OSError) as error:
        return _hidden(str(error))


def _stored(store: Store, resource: Resource) -> Optional[Content]:
    parts = resource.content_parts
    return describe(masked(parts, lambda blob: store.content([blob]))) if parts and store.has_blobs(parts) else None


def digest(content: Optional[Content]) -> str:
    """Return a digest of what is shown; "" if nothing is."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest() if content else ""


def contents(
    system: System, store: Store, old: Configuration, new: Configuration, keys: Iterable[str], *, declared: bool
) -> Dict[str, Shown]:
    """Return what is shown of these resources, by key, up to the size of one answer; at least of one of them.

    Args:
        system: The machine.
        store: Its state directory.
        old: What was declared for it last.
        new: What it is to have.
        keys: The resources.
        declared: Whether to show what they are to have, too, if it is stored.
    """
    was, will = ({resource.key: resource for resource in each.resources} for each in (old, new))
    shown: Dict[str, Shown] = {}
    size = 0
    for key in keys:
        if size > BATCH:
            break
        known = key in was or key in will
        there = before(system, store, was.get(key), will.get(key)) if known else None
        after = after_removal(system, store, was[key]) if key in was and key not in will else None
        if declared and key in will:
            after = _stored(store, will[key])
        shown[key] = {"before": there, "after": after}
        size += sum(content["size"] for content in (there, after) if content and content["lines"])
    return shown


def _public(system: System, path: str) -> bool:
    """Return whether every local user can read a file."""
    entry = system.stat(system.resolve(path))
    return bool(entry and entry.mode & _OTHERS_READ) and _reachable(system, path)


def _reachable(system: System, path: str) -> bool:
    """Return whether every local user can enter the folders of a file."""
    names = system.resolve(path).split("/")[1:-1]
    folders = (system.stat("/" + "/".join(names[: count + 1])) for count in range(len(names)))
    return all(folder and folder.mode & _OTHERS_ENTER for folder in folders)


def _hidden(why: str) -> Content:
    return {"lines": [], "size": 0, "sha256": "", "why": why}
