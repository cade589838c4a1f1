"""Rules for the fields of definitions. They reject values that a machine would misread."""

from __future__ import annotations

import re
from typing import Callable, Iterable, Union

from rolecall_agent.content import plain
from rolecall_agent.state import HOME

# useradd(8), CAVEATS: what shadow accepts, at most 32 characters; not only digits, which are an id, nor only dots.
_ACCOUNT = re.compile(r"(?![0-9]+\Z|\.+\Z)[A-Za-z0-9_.][A-Za-z0-9_.-]{0,30}(?:[A-Za-z0-9_.-]|\$)?\Z")
_ID = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
_LARGEST_ID = (1 << 32) - 2  # the next one stands for none, see chown(2)
# systemd.unit(5): "unit name", without template instances that would need escaping.
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,247}\.(service|timer|socket|path|mount|target|slice)\Z")
# Debian policy 5.6.7 and rpm's names, which also allow capitals and underscores.
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}\Z")
LONGEST_SETTLE = 300  # seconds; the machines of a run wait for each other
_KERNEL = re.compile(r"(/dev|/proc|/sys)(?:/|\Z)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Matches most paths at once; others are checked rule by rule.
_PLAIN_PATH = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9@:+,=_.-]{1,255})+\Z")


class DefinitionError(ValueError):
    """An invalid definition; the message names the resource and the problem."""


def require(condition: object, message: str) -> None:
    """Raise DefinitionError unless the condition holds."""
    if not condition:
        raise DefinitionError(message)


def absolute_path(path: str, what: str) -> str:
    """Return an absolute path without ``..``, empty or ``.`` components and control characters.

    Raises:
        DefinitionError: When it is not such a path.
    """
    if isinstance(path, str) and _PLAIN_PATH.match(path):  # type: ignore[redundant-expr]  # JSON holds anything
        return path
    require(isinstance(path, str) and plain(path).startswith("/"), f"{what}: {path!r} is not an absolute path")  # type: ignore[redundant-expr]  # as above
    require(not _CONTROL.search(path), f"{what}: {path!r} contains a control character")
    components = path[1:].split("/")
    require(path == "/" or not {"", ".", ".."} & set(components), f"{what}: {path!r} is not a normalized path")
    require(all(len(component.encode()) < 256 for component in components), f"{what}: a name in {path!r} is too long")  # noqa: PLR2004 - NAME_MAX, limits.h(0p)
    return path


def declarable_path(path: str, kind: str) -> str:
    """Return an absolute path, as `absolute_path`, at which a file or directory may be declared.

    Raises:
        DefinitionError: When it is the root directory, or belongs to the kernel or to Rolecall.
    """
    what = f"{kind} {absolute_path(path, kind)}"
    require(path != "/", f"{what}: the root directory cannot be declared")
    kernel = _KERNEL.match(path)
    require(not kernel, f"{what}: what is in {kernel and kernel[1]} is made by the kernel and cannot be declared")
    return outside_state(path, what)


def outside_state(path: str, what: str) -> str:
    """Return a path that is not in Rolecall's own directory.

    Raises:
        DefinitionError: When it is.
    """
    require(not f"{path}/".startswith(f"{HOME}/"), f"{what}: {HOME} belongs to Rolecall; choose another path")
    return path


def matching(pattern: re.Pattern[str], text: str, what: str) -> str:
    """Return a text that matches the pattern as a whole.

    Raises:
        DefinitionError: When it does not.
    """
    if isinstance(text, str) and pattern.match(text):  # type: ignore[redundant-expr]  # JSON holds anything
        return text
    raise DefinitionError(f"{what}: {text!r} is not allowed")


def account(name: str, what: str) -> str:
    """Return the name of a user or group.

    Raises:
        DefinitionError: When shadow would refuse it.
    """
    if isinstance(name, str) and _ACCOUNT.match(name):  # type: ignore[redundant-expr]  # JSON holds anything
        return name
    rule = "letters, digits, `_`, `.` and `-`, not at the start, at most 32"
    raise DefinitionError(f"{what}: {name!r} is not the name of a user or group ({rule})")


def account_id(value: int, what: str) -> int:
    """Return the id of a user or group.

    Raises:
        DefinitionError: When it is no whole number in the range of ids.
    """
    require(type(value) is int and 0 <= value <= _LARGEST_ID, f"{what} must be a whole number, not {value!r}")
    return value


def owner(name: Union[str, int], what: str) -> str:
    """Return the owner or the group of a file: a name, or an id in digits.

    Raises:
        DefinitionError: When it is neither.
    """
    text = str(name) if type(name) is int else name
    if isinstance(text, str) and _ID.match(text) and int(text) <= _LARGEST_ID:
        return text
    return account(text, what)  # type: ignore[arg-type]  # which refuses what is no text


def mode(value: int, what: str) -> int:
    """Return permission bits (chmod(2)).

    Raises:
        DefinitionError: When the value has other bits, or looks like octal digits written as a decimal number.
    """
    decimal = isinstance(value, int) and 0o777 < value < 1000 and re.match("[0-7]{3}$", str(value))  # type: ignore[redundant-expr]  # noqa: PLR2004 - three digits
    require(not decimal, f"{what}: mode {value} is decimal; write 0o{value}")
    if isinstance(value, int) and 0 <= value <= 0o7777:  # type: ignore[redundant-expr]  # noqa: PLR2004 - JSON holds anything
        return value
    raise DefinitionError(f"{what}: mode {value!r} is not between 0 and 0o7777")


def single_line(text: str, what: str) -> str:
    """Return a text without control characters.

    Raises:
        DefinitionError: When it contains one.
    """
    if isinstance(text, str) and (text.isprintable() or not _CONTROL.search(text)):  # type: ignore[redundant-expr]  # JSON holds anything
        return plain(text)
    raise DefinitionError(f"{what}: {text!r} is not a single line")


def elements(check: Callable[[str, str], str], values: object, what: str) -> tuple[str, ...]:
    """Return the elements of a list or tuple, each checked by the same rule.

    Raises:
        DefinitionError: When it is not a list, or an element breaks the rule.
    """
    require(isinstance(values, (list, tuple)), f"{what}: {values!r} is not a list")
    return tuple(check(value, what) for value in values)  # type: ignore[attr-defined]


def words(values: Iterable[object], what: str) -> tuple[str, ...]:
    """Return an argument vector as texts, each word without a NUL.

    Raises:
        DefinitionError: When it is a single text, which would be taken as a list of letters, or a word contains a NUL.
    """
    require(not isinstance(values, (str, bytes)), f"{what}: {values!r} is a single text; write a list of words")
    texts = tuple(plain(str(value)) for value in values)
    require(not any("\x00" in text for text in texts), f"{what}: a word contains a NUL")
    return texts


def keys(items: object, what: str) -> tuple[str, ...]:
    """Return the keys of resources, given as resources or keys, sorted.

    Raises:
        DefinitionError: When it is a single text, which would be taken as a list of letters.
    """
    require(isinstance(items, (list, tuple, set, frozenset)), f"{what}: {items!r} is not a list of resources")
    if not items:
        return ()
    named: set[str] = {item if isinstance(item, str) else item.key for item in items}  # type: ignore[attr-defined]
    return tuple(sorted(named))
