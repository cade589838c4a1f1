"""What a file holds: public bytes by digest, and secrets by reference."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import AnyStr, Dict, NoReturn, Optional, Sequence, Tuple, Union

_MARK = "rolecall-secret:"  # stands in the `repr` of a reference to a secret
_RAW_MARK = _MARK.encode()
_REFERENCE = re.compile(rf"<{_MARK}[^<>\s]+/[^<>\s]+>".encode())  # the whole of it; a text may speak of the mark


class SecretTextError(TypeError):
    """A reference to a secret stands where text is expected; the message says what to write instead."""


def shows_reference(content: Union[str, bytes]) -> bool:
    """Whether the `repr` of a reference to a secret became a part of this text."""
    raw = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    return _REFERENCE.search(raw) is not None


def plain(text: AnyStr) -> AnyStr:
    """A text, when no reference to a secret was turned into a part of it.

    Raises:
        SecretTextError: When one was.
    """
    marked = _MARK in text if isinstance(text, str) else _RAW_MARK in text  # type: ignore[redundant-expr]  # AnyStr
    if marked and shows_reference(text):
        raise SecretTextError("this text holds the name of a secret where its value is meant; join them with parts(…)")
    return text


class Reference:
    """Names a secret, and never turns into text: an author would get its name where its value is meant.

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
            f"the secret {self.name}/{self.file} cannot be turned into text; join it with text with parts(…)"
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
        raw = plain(data.encode() if isinstance(data, str) else data)
        return Blob(hashlib.sha256(raw).hexdigest(), raw)


class Secret(Reference):
    """A reference to one secret value. The value itself exists only on machines that need it.

    Attributes:
        name: The var's name, ``INSTANCE.NAME``.
        file: The file of the var, e.g. ``"private"``.
        version: Random public id of this very value; it changes only when the value does.
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
        """Lets an interface have such a field, so that whoever publishes a secret is told so."""
        return {"type": "is-instance", "cls": cls}

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
