"""The content of a file: public bytes by digest, and secrets by reference."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import AnyStr, Dict, NoReturn, Optional, Sequence, Tuple, Union

_MARK = "rolecall-secret:"  # in the `repr` of every reference to a secret
_RAW_MARK = _MARK.encode()
_REFERENCE = re.compile(rf"<{_MARK}[^<>\s]+/[^<>\s]+>".encode())  # the whole `repr`, since a text may mention the mark


class SecretTextError(TypeError):
    """A reference to a secret was used as text."""


def shows_reference(content: Union[str, bytes]) -> bool:
    """Return whether this text contains the `repr` of a reference to a secret."""
    raw = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    return _REFERENCE.search(raw) is not None


def plain(text: AnyStr) -> AnyStr:
    """Return a text unchanged, if it does not contain the `repr` of a reference to a secret.

    Raises:
        SecretTextError: When it does.
    """
    marked = _MARK in text if isinstance(text, str) else _RAW_MARK in text  # type: ignore[redundant-expr]  # AnyStr
    if marked and shows_reference(text):
        raise SecretTextError("this text contains the name of a secret instead of its value")
    return text


class Reference:
    """The name of a secret, which refuses to become text: that would show the name where the value is meant.

    Attributes:
        name: The var's name.
        file: The file of the var.
    """

    __slots__ = ("file", "name")  # no dataclass: some serializers would write its fields
    name: str
    file: str

    def __init__(self, name: str, file: str) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "file", file)

    def _fields(self) -> Tuple[str, ...]:
        return (self.name, self.file)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> Tuple[object, Tuple[str, ...]]:
        return type(self), self._fields()

    def __repr__(self) -> str:
        return f"<{_MARK}{self.name}/{self.file}>"

    def __str__(self) -> str:
        raise SecretTextError(
            f"the secret {self.name}/{self.file} cannot be converted to text: its value is known only on the machine"
        )

    def __format__(self, spec: str) -> str:
        return str(self)

    def __fspath__(self) -> str:
        return str(self)

    def __add__(self, other: object) -> str:
        return str(self)

    __radd__ = __mul__ = __truediv__ = __rtruediv__ = __add__


@dataclass(frozen=True)
class Blob:
    """Public bytes, identified by their digest.

    Attributes:
        sha256: Lower-case hex digest of the bytes.
        data: The bytes, if known here; not a part of the encoded definition.
    """

    sha256: str
    data: Optional[bytes] = field(default=None, compare=False, repr=False)

    @staticmethod
    def of(data: Union[str, bytes]) -> Blob:
        """Return the blob of these bytes; text is encoded as UTF-8."""
        raw = plain(data.encode() if isinstance(data, str) else data)
        return Blob(hashlib.sha256(raw).hexdigest(), raw)


class Secret(Reference):
    """A reference to one secret value. The value itself exists only on machines that need it.

    Attributes:
        name: The var's name, ``INSTANCE.NAME``.
        file: The file of the var, e.g. ``"private"``.
        version: Random public id of this value; a new value gets a new one.
    """

    __slots__ = ("version",)
    version: str

    def __init__(self, name: str, file: str, version: str) -> None:
        super().__init__(name, file)
        object.__setattr__(self, "version", version)

    def _fields(self) -> Tuple[str, ...]:
        return (self.name, self.file, self.version)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Dict[str, object]:
        """Let pydantic accept it as a field, so that publishing a secret fails with a message of ours."""
        return {"type": "is-instance", "cls": cls}

    @property
    def path(self) -> str:
        """Its path on the machine if `secret_file` is used; on a tmpfs."""
        return f"/run/rolecall/secrets/{self.name}/{self.file}"


Part = Union[Blob, Secret]
Content = Union[str, bytes, Blob, Secret, Sequence[Union[str, bytes, Blob, Secret]]]


def parts(*pieces: Union[str, bytes, Blob, Secret]) -> Tuple[Part, ...]:
    """Return the parts of a file's content, which the machine joins: ``parts("PASS=", secret)``."""
    return tuple(piece if isinstance(piece, (Blob, Secret)) else Blob.of(piece) for piece in pieces)


def as_parts(content: Content) -> Tuple[Part, ...]:
    """Return any form of content as parts."""
    if isinstance(content, (str, bytes, Blob, Secret)):
        return parts(content)
    return parts(*content)
