"""What a file holds: public bytes by digest, and secrets by reference."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Optional, Sequence, Tuple, Union


@dataclass(frozen=True)
class Blob:
    """Public bytes, named by their digest.

    Attributes:
        sha256: Lower-case hex digest of the bytes.
        data: The bytes, where they are at hand; never on the wire with the definition.
    """

    sha256: str
    data: Optional[bytes] = field(default=None, compare=False, repr=False)

    @staticmethod
    def of(data: Union[str, bytes]) -> Blob:
        """The blob of these bytes; text is encoded as UTF-8."""
        raw = data.encode() if isinstance(data, str) else data
        return Blob(hashlib.sha256(raw).hexdigest(), raw)


@dataclass(frozen=True)
class Secret:
    """A reference to one secret value. The value itself exists only on machines that need it.

    Attributes:
        name: The var's name, ``INSTANCE.NAME``.
        file: The file of the var, e.g. ``"private"``.
        version: Random public id of this very value; it changes only when the value does.
    """

    name: str
    file: str
    version: str

    @property
    def path(self) -> str:
        """Where `secret_file` puts it on the machine (a tmpfs)."""
        return f"/run/rolecall/secrets/{self.name}/{self.file}"


Part = Union[Blob, Secret]
Content = Union[str, bytes, Blob, Secret, Sequence[Union[str, bytes, Blob, Secret]]]


def parts(*pieces: Union[str, bytes, Blob, Secret]) -> Tuple[Part, ...]:
    """The parts of a file's content, joined on the machine: ``parts("PASS=", secret)``."""
    return tuple(piece if isinstance(piece, (Blob, Secret)) else Blob.of(piece) for piece in pieces)


def as_parts(content: Content) -> Tuple[Part, ...]:
    """Whatever an author gave as content, as parts."""
    if isinstance(content, (str, bytes, Blob, Secret)):
        return parts(content)
    return parts(*content)
