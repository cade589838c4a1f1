"""What was in the place of a resource before Rolecall managed it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Iterable, Optional, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME, Json, is_intact, read_json, write_json

if TYPE_CHECKING:
    from rolecall_agent.system import System

INDEX = "original/index.json"
MADE = "made:"
"""How the keys of paths begin that were created because a resource needed them."""
LEFT = "left:"
"""How the keys of resources begin that were created, are undeclared, and are left on the machine until a purge."""


class Originals:
    """The originals below `HOME`. Every method raises OSError when the disk fails.

    Args:
        system: The machine.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._originals: Optional[Json] = None

    @property
    def originals(self) -> Json:
        """What was in the place of each resource before it was managed, by the resource's key.

        Raises:
            Failure: When the index of originals is damaged.
        """
        if self._originals is None:
            self._originals = read_json(self._system, INDEX) or {}
        return self._originals

    @property
    def has_originals(self) -> bool:
        """Whether there is an index of originals, as there is since the first switch."""
        return self._system.stat(f"{HOME}/{INDEX}") is not None

    def add_originals(self, originals: Json) -> None:
        """Record what resources replace; durable before they are applied."""
        if originals:
            self.originals.update(originals)
            write_json(self._system, INDEX, self.originals)

    def drop_originals(self, keys: Iterable[str]) -> None:
        """Forget the originals of resources that are no longer managed."""
        recorded = [key for key in keys if key in self.originals]
        for key in recorded:
            del self.originals[key]
        if recorded:
            write_json(self._system, INDEX, self.originals)

    def leave(self, left: Json) -> None:
        """Record what is left on the machine of resources that are undeclared, by key."""
        self.add_originals({f"{LEFT}{key}": value for key, value in left.items()})

    def mark_abandoned(self, keys: Iterable[str]) -> None:
        """Keep the originals of resources that are not managed and were not restored, until they are managed again."""
        kept = {key: {**self.originals[key], "abandoned": True} for key in keys if key in self.originals}
        if kept:
            self.add_originals(kept)

    def look(self, path: str) -> Json:
        """Return what is at a path, with the digest of its content.

        Raises:
            Failure: When it is neither a file nor a link.
        """
        return self._look(path)[0]

    def capture(self, path: str) -> Json:
        """Return what is at a path, for `restore`, and store its content.

        Raises:
            Failure: As `look`.
        """
        captured, data = self._look(path)
        content = captured.get("content")
        if content and not is_intact(self._system, f"original/{content}", content):
            self._system.write(f"{HOME}/original/{content}", data)
        return captured

    def _look(self, path: str) -> Tuple[Json, bytes]:
        entry = self._system.stat(path)
        if entry is None:
            return {"type": "absent"}, b""
        if entry.type not in {"file", "symlink"}:
            raise Failure(f"{path} is not a file; move it away first")
        captured: Json = {"type": entry.type, "owner": entry.owner, "group": entry.group, "ids": entry.ids}
        if entry.type == "symlink":
            return {**captured, "target": entry.target, "mtime_ns": entry.mtime_ns}, b""
        data = self._system.read(path)
        attributes = self._system.attributes(path)
        captured.update(mode=entry.mode, mtime_ns=entry.mtime_ns, attributes=attributes)
        return {**captured, "content": hashlib.sha256(data).hexdigest()}, data

    def lost_content(self, original: Json) -> str:
        """Return the path of the stored content of an original if it is missing or damaged, else ""."""
        content = original.get("file", original).get("content")
        return "" if not content or is_intact(self._system, f"original/{content}", content) else _content_path(content)

    def restore(self, path: str, original: Json) -> None:
        """Put back what `capture` returned for a path.

        Raises:
            Failure: When the stored content is damaged.
        """
        original = with_known_owner(original, self._system)
        if original["type"] == "absent":
            self._system.remove(path)
        elif original["type"] == "symlink":
            mtime_ns = original.get("mtime_ns", 0)  # earlier versions recorded none
            self._system.symlink(path, original["target"], original["owner"], original["group"], mtime_ns=mtime_ns)
        else:
            self._system.write(
                path,
                self.original_content(original, path),
                original["owner"],
                original["group"],
                original["mode"],
                mtime_ns=original["mtime_ns"],
                attributes=original["attributes"],
            )

    def original_content(self, original: Json, path: str) -> bytes:
        """Return the content of a file that was captured at a path.

        Raises:
            Failure: When it is damaged.
        """
        data = self._system.read(stored := _content_path(original["content"]))
        if hashlib.sha256(data).hexdigest() != original["content"]:
            raise Failure(f"{stored}, which was at {path} before, is damaged; restore it from a backup")
        return data

    def forget_originals(self) -> None:
        """Begin a new index, since the old one is damaged or lost."""
        self._originals = {}
        write_json(self._system, INDEX, {})


def is_resource(key: str) -> bool:
    """Return whether the key of an original is that of a resource."""
    return not key.startswith((MADE, LEFT))


def with_known_owner(captured: Json, system: System) -> Json:
    """Return what was captured without its ids, which replace the name of a user or group that no longer exists."""
    if "ids" not in captured:
        return captured
    known = {name: value for name, value in captured.items() if name != "ids"}
    uid, gid = captured["ids"]
    if not system.accounts.user(known["owner"]):
        known["owner"] = str(uid)
    if not system.accounts.has_group(known["group"]):
        known["group"] = str(gid)
    return known


def note_on_owner(captured: Json, system: System) -> str:
    """Return that a user or group of what was captured no longer exists, for a person, or ""."""
    before = captured.get("file", captured)
    names, after = (f"{each.get('owner')}:{each.get('group')}" for each in (before, with_known_owner(before, system)))
    return f"its owner will be {after}, since {names} no longer exists" if after != names else ""


def _content_path(content: str) -> str:
    return f"{HOME}/original/{content}"
