"""Faults: what is wrong, where, and what to do. Rolecall reports every mistake as one."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_KEY = re.compile(r"""(?P<dot>\.)?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^."\[\]]+))|\[(?P<index>\d{1,9})\]""")
_NOT_THEIRS = ("rolecall", "rolecall_agent", "importlib", "pydantic")  # frames that are not an author's code

TEXT = 5_000  # characters of a text of a machine that are kept


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a user's text.

    Attributes:
        file: The file; None when the input comes from elsewhere, such as a machine or a command line.
        keys: Key path inside the file, e.g. ``("instances", "backup", "roles", "client")``; list positions are ints.
        line: 1-based line; 0 while unknown; looked up when a fault is shown (see inventory/locate.py).
        column: 1-based column in characters; 0 while unknown.
    """

    file: Path | None = None
    keys: tuple[str | int, ...] = ()
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return ``inventory.toml:12:3 instances.backup.roles.client``, as far as it is known."""
        position = "".join(f":{number}" for number in (self.line, self.column) if number)
        place = f"{self.file}{position}" if self.file else ""
        return " ".join(part for part in (place, dotted(self.keys)) if part)


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake, described for the person who made it.

    Attributes:
        message: What is wrong, without a full stop; never a secret.
        where: Its place, or None if it has none.
        hint: What to do about it, or "".
        warning: Whether it is only a warning, which stops nothing.
    """

    message: str
    where: Where | None = None
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        """Return the lines that a person sees."""
        lines = [f"{'warning' if self.warning else 'error'}: {printable(self.message)}"]
        if self.where and str(self.where):
            lines.append(f"  at {printable(str(self.where))}")
        if self.hint:
            lines.append(f"hint: {printable(self.hint, keep=chr(10))}")
        return "\n".join(lines)

    def at(self, where: Where) -> Fault:
        """Return this fault at another place."""
        return replace(self, where=where)

    def as_json(self) -> dict[str, object]:
        """Return the fault as documented for ``--json`` (docs/reference/json.md)."""
        where = self.where or Where()
        return {
            "level": "warning" if self.warning else "error",
            "message": self.message,
            "file": str(where.file) if where.file else None,
            "line": where.line or None,
            "column": where.column or None,
            "path": list(where.keys),
            "hint": self.hint or None,
        }


class Faults(Exception):  # noqa: N818 - the design's word for it
    """All faults of a run, reported together.

    Attributes:
        faults: At least one fault.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def fault(message: str, *, where: Where | None = None, hint: str = "") -> Faults:
    """Return a single fault, ready to raise."""
    return Faults([Fault(message, where, hint)])


def printable(text: str, *, keep: str = "") -> str:
    """Escape control characters: text of a file or a machine must not control the terminal that shows it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def shown(text: str) -> str:
    """Return a text of a machine as it is shown: without control characters, and cut off after `TEXT` characters."""
    if len(text) > TEXT:
        text = f"{text[:TEXT]}… ({len(text):,} characters)"
    return printable(text, keep="\n\t")


def dotted(keys: Sequence[str | int]) -> str:
    """Return a key path as a person writes it: ``a.b[0].c``; keys that are not plain words are quoted."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            plain = key.replace("_", "a").replace("-", "a").isalnum()
            text += ("." if text else "") + (key if plain else f'"{_escaped(key)}"')
    return text


def _escaped(key: str) -> str:
    return key.encode("unicode_escape").decode().replace('"', '\\"')


def undotted(text: str) -> tuple[str | int, ...]:
    """Return the key path that `dotted` writes as this text.

    Raises:
        Faults: When the text is not a key path.
    """
    keys: list[str | int] = []
    end = 0
    invalid = fault(f"invalid path {text!r}", hint="write it as `a.b[0].c`; put quotes around a key with dots")
    while end < len(text):
        match = _KEY.match(text, end)
        if not match or bool(match["dot"]) != (bool(keys) and not match["index"]):
            raise invalid
        try:
            quoted = (match["quoted"] or "").encode("latin-1", "backslashreplace").decode("unicode_escape")
        except UnicodeDecodeError:
            raise invalid from None
        keys.append(int(match["index"]) if match["index"] else match["plain"] or quoted)
        end = match.end()
    return tuple(keys)


def nearest(name: str, known: Iterable[str], *, what: str) -> str:
    """Return a hint with the nearest known name, or with all known names.

    Args:
        name: The name that was written.
        known: The names that are valid.
        what: What the names name, in the plural, e.g. ``"machines"``.
    """
    names = sorted(known)
    if not names:
        return f"no {what} exist"
    close = [each for each in names if each.lower() == name.lower()]
    if not close:
        from difflib import get_close_matches

        close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(names[:10]) + (f", … ({len(names)} in all)" if len(names) > 10 else "")  # noqa: PLR2004
    return f"available {what}: {shown}"


def listed(names: Sequence[str], *, most: int = 4) -> str:
    """Return names as a phrase: ``a``, ``a and b``, ``a, b, c and 7 more``."""
    shown = list(names) if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``"1 machine"``, ``"2 machines"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentences(*hints: str) -> str:
    """Join hints; each but the last one ends with a full stop or a question mark."""
    return " ".join(hint if hint.endswith(("?", ".")) else f"{hint}." for hint in hints[:-1]) + f" {hints[-1]}"


def defined_at(function: object) -> str:
    """Return ``FILE:LINE`` of a function, or of the class of a callable object; "" if that is unknown."""
    while isinstance(function, functools.partial):
        function = function.func
    if not callable(function):
        return ""
    plain = inspect.unwrap(function)
    code = getattr(plain, "__code__", None) or getattr(type(plain).__call__, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def raised_at(error: BaseException) -> str:
    """Return ``FILE:LINE`` of an author's code that raised an error or called what raised it; "" if none of it ran.

    The first frame outside of Rolecall and the import system is the author's. So are later ones in the same folder or
    below it, but not the libraries that they called.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    modules = [sys.modules[name] for name in _NOT_THEIRS if name in sys.modules]
    ours = ("<frozen", *(f"{Path(str(module.__file__)).parent}/" for module in modules))
    from traceback import extract_tb

    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith(ours)]
    theirs = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(frames[0].filename).parent)]
    return f"{theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
