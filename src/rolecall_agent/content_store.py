"""The part of the agent's store that resources use: public contents, secret values, and originals.

An original is what was in a resource's place before Rolecall managed it. `store` shows the layout on disk.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Iterable, Optional, Sequence, Tuple

from rolecall_agent.content import Blob, Part
from rolecall_agent.errors import Failure
from rolecall_agent.sealed import Sealed
from rolecall_agent.state import HOME, Json, is_intact, read_json, write_json

if TYPE_CHECKING:
    from rolecall_agent.system import System

INDEX = "original/index.json"


class ContentStore:
    """Contents and originals below `HOME`. Every method raises OSError when the disk fails.

    Args:
        system: The machine.

    Attributes:
        sealed: The secret values.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self.sealed = Sealed(system, HOME)
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

    def add_blob(self, sha256: str, data: bytes) -> None:
        """Store a public content.

        Raises:
            Failure: When the data does not have this digest.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Failure(f"blob {sha256} arrived damaged")
        self._system.write(f"{HOME}/blobs/{sha256}", data)

    def holds(self, blob: Blob) -> bool:
        """Return whether a blob is stored, as all that a switch needs are."""
        return self._system.stat(f"{HOME}/blobs/{blob.sha256}") is not None

    def content(self, parts: Iterable[Part]) -> bytes:
        """Return the bytes of a file, joined from its parts.

        Raises:
            FileNotFoundError: When a part is not stored.
            Failure: When a part is damaged, or a secret cannot be decrypted.
        """
        return b"".join(
            self._blob(part.sha256) if isinstance(part, Blob) else self.sealed.open(part.version) for part in parts
        )

    def has_blobs(self, parts: Iterable[Part]) -> bool:
        """Return whether all blobs among these parts are stored, and none is damaged."""
        blobs = (part.sha256 for part in parts if isinstance(part, Blob))
        return all(is_intact(self._system, f"blobs/{sha256}", sha256) for sha256 in blobs)

    def matches(self, parts: Sequence[Part], data: bytes) -> bool:
        """Return whether these bytes are a file's content; False if unknown. Decrypts no secret."""
        if len(parts) == 1 and isinstance(parts[0], Blob):
            return hashlib.sha256(data).hexdigest() == parts[0].sha256
        try:
            for part in parts:
                if isinstance(part, Blob):
                    blob = self._blob(part.sha256)
                    size = len(blob) if data.startswith(blob) else -1
                else:
                    size = self.sealed.prefix_size(part.version, data)
                if size < 0:
                    return False
                data = data[size:]
        except (FileNotFoundError, Failure):
            return False
        return not data

    def _blob(self, sha256: str) -> bytes:
        data = self._system.read(f"{HOME}/blobs/{sha256}")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Failure(f"{HOME}/blobs/{sha256} is damaged; `rolecall update` replaces it")
        return data

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
        captured: Json = {"type": entry.type, "owner": entry.owner, "group": entry.group}
        if entry.type == "symlink":
            return {**captured, "target": entry.target}, b""
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
        if original["type"] == "absent":
            self._system.remove(path)
        elif original["type"] == "symlink":
            self._system.symlink(path, original["target"], original["owner"], original["group"])
        else:
            data = self._system.read(stored := _content_path(original["content"]))
            if hashlib.sha256(data).hexdigest() != original["content"]:
                raise Failure(f"{stored}, which was at {path} before, is damaged; restore it from a backup")
            self._system.write(
                path,
                data,
                original["owner"],
                original["group"],
                original["mode"],
                mtime_ns=original["mtime_ns"],
                attributes=original["attributes"],
            )


def _content_path(content: str) -> str:
    return f"{HOME}/original/{content}"
