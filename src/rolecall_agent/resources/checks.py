"""The rules that every definition holds its fields to, so that no value can mean more than it says."""

from __future__ import annotations

import re
from typing import Callable, Iterable

from rolecall_agent.content import plain

# useradd(8) of shadow-utils: portable names; 32 characters is the limit of utmp.
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
# systemd.unit(5): "unit name", without template instances that would need escaping.
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,247}\.(service|timer|socket|path|mount|target|slice)\Z")
# Debian policy 5.6.7 and rpm's names, which also allow capitals and underscores.
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Most paths by far; of any other the rules are looked at one by one.
_PLAIN_PATH = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9@:+,=_.-]{1,255})+\Z")


class DefinitionError(ValueError):
    """A definition that no machine could or should follow; the message names the field."""


def require(condition: object, message: str) -> None:
    """Raises DefinitionError unless the condition holds."""
    if not condition:
        raise DefinitionError(message)


def absolute_path(path: str, what: str) -> str:
    """A normal absolute path: no ``..``, no empty or ``.`` component, no control character.

    Raises:
        DefinitionError: When it is none.
    """
    if isinstance(path, str) and _PLAIN_PATH.match(path):  # type: ignore[redundant-expr]  # JSON holds anything
        return path
    require(isinstance(path, str) and plain(path).startswith("/"), f"{what}: {path!r} is not an absolute path")  # type: ignore[redundant-expr]  # as above
    require(not _CONTROL.search(path), f"{what}: {path!r} holds a control character")
    components = path[1:].split("/")
    require(path == "/" or not {"", ".", ".."} & set(components), f"{what}: {path!r} is not a normal path")
    require(all(len(component.encode()) < 256 for component in components), f"{what}: a name in {path!r} is too long")  # noqa: PLR2004 - NAME_MAX, limits.h(0p)
    return path


def matching(pattern: re.Pattern[str], text: str, what: str) -> str:
    """A text that the pattern allows as a whole.

    Raises:
        DefinitionError: When it does not.
    """
    if isinstance(text, str) and pattern.match(text):  # type: ignore[redundant-expr]  # JSON holds anything
        return text
    raise DefinitionError(f"{what}: {text!r} is not allowed")


def mode(value: int, what: str) -> int:
    """Permission bits (chmod(2)).

    Raises:
        DefinitionError: When there are other bits.
    """
    decimal = isinstance(value, int) and 0o777 < value < 1000 and re.match("[0-7]{3}$", str(value))  # type: ignore[redundant-expr]  # noqa: PLR2004 - three digits
    require(not decimal, f"{what}: mode {value} is decimal; write 0o{value}")
    if isinstance(value, int) and 0 <= value <= 0o7777:  # type: ignore[redundant-expr]  # noqa: PLR2004 - JSON holds anything
        return value
    raise DefinitionError(f"{what}: mode {value!r} is not between 0 and 0o7777")


def single_line(text: str, what: str) -> str:
    """A text without control characters.

    Raises:
        DefinitionError: When it has one.
    """
    if isinstance(text, str) and (text.isprintable() or not _CONTROL.search(text)):  # type: ignore[redundant-expr]  # JSON holds anything
        return plain(text)
    raise DefinitionError(f"{what}: {text!r} is not a single line")


def elements(check: Callable[[str, str], str], values: object, what: str) -> tuple[str, ...]:
    """Every element of a list or tuple under one rule.

    Raises:
        DefinitionError: When it is no list, or an element breaks the rule.
    """
    require(isinstance(values, (list, tuple)), f"{what}: {values!r} is not a list")
    return tuple(check(value, what) for value in values)  # type: ignore[attr-defined]


def words(values: Iterable[object], what: str) -> tuple[str, ...]:
    """Return an argument vector as texts, each word without a NUL.

    Raises:
        DefinitionError: When it is one text, which would be taken for a list of letters, or a word holds a NUL.
    """
    require(not isinstance(values, (str, bytes)), f"{what}: {values!r} is one text; write a list of words")
    found = tuple(plain(str(value)) for value in values)
    require(not any("\x00" in word for word in found), f"{what}: a word holds a NUL")
    return found


def keys(items: object, what: str) -> tuple[str, ...]:
    """Return the keys of resources that are named by themselves or by their keys, sorted.

    Raises:
        DefinitionError: When it is a single one, which would be taken for a list of letters.
    """
    require(isinstance(items, (list, tuple, set, frozenset)), f"{what}: {items!r} is not a list of resources")
    if not items:
        return ()
    named: set[str] = {item if isinstance(item, str) else item.key for item in items}  # type: ignore[attr-defined]
    return tuple(sorted(named))
