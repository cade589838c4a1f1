"""Public contents and secret values, which files are made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Iterable, Sequence

from rolecall_agent.content import Blob, Part
from rolecall_agent.errors import Failure
from rolecall_agent.sealed import Sealed
from rolecall_agent.state import HOME, is_intact

if TYPE_CHECKING:
    from rolecall_agent.system import System


class Contents:
    """The contents below `HOME`. Every method raises OSError when the disk fails.

    Args:
        system: The machine.

    Attributes:
        sealed: The secret values.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self.sealed = Sealed(system, HOME)

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
