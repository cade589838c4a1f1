"""Print data and comments in each notation: tables in brackets, by indentation, or as TOML's sections."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolecall.inventory.comments import Comments
    from rolecall.inventory.data import Data, Keys

WIDTH: Final = 100  # columns that a list on one line may end at

_NIX_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_NIX_WORDS = frozenset({"if", "then", "else", "let", "in", "inherit", "rec", "with", "assert", "or"})
_YAML_PLAIN = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_./-]*[A-Za-z0-9_/])?")
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def printed(notation: str, data: Data, comments: Comments) -> str:
    """Return the text of an inventory.

    Args:
        notation: A key of `STYLES`.
        data: The inventory; TOML has no null.
        comments: Its comments; JSON leaves them out. Editors know no schema for Nix and Python.
    """
    if notation == "json":
        data = {"$schema": comments.schema, **data} if comments.schema else data
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    style = STYLES[notation]
    printer = _Printer(style, comments)
    entries = printer.sections(data, ()) if notation == "toml" else printer.entries(data, (), style.margin_at_top)
    top, bottom = style.around
    lines = [*top, *entries, *bottom, "", *printer.remarks(comments.end, "")]
    schema = f"{style.schema.format(comments.schema)}\n" if style.schema and comments.schema else ""
    return schema + "\n".join(lines).strip("\n") + "\n"


@dataclass(frozen=True, slots=True)
class Style:
    """How a notation is written.

    Attributes:
        key: A key path; several keys only where `dotted`.
        scalar: A value that is neither table nor list.
        dotted: Whether tables of one entry are written as key paths.
        entry: Key and value of an entry on one line, to be filled in.
        table: The signs that open and close a table; empty where indentation does.
        items: The same for a list with its items on separate lines.
        list: The list on a single line, to be filled in.
        item: The signs before and after an item on a separate line.
        between: The separators of a table's entries, and of a list's items, on one line.
        end: The sign after an entry.
        around: Lines before and behind everything.
        margin: One level of indentation.
        schema: The first line that names the schema for editors, to be filled in; "" if they read none.
    """

    key: Callable[[tuple[str, ...]], str]
    scalar: Callable[[Any], str]
    dotted: bool = False
    entry: str = "{}: {}"
    table: tuple[str, str] = ("{", "}")
    items: tuple[str, str] = ("[", "]")
    list: str = "[{}]"
    item: tuple[str, str] = ("", ",")
    between: tuple[str, str] = (", ", ", ")
    end: str = ","
    around: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    margin: str = "    "
    schema: str = ""

    @property
    def margin_at_top(self) -> str:
        """The indentation of entries: none unless the file has a line around them all."""
        return self.margin if self.around[0] else ""


class _Printer:
    """One style, and the comments that are not printed yet."""

    def __init__(self, style: Style, comments: Comments) -> None:
        self.style = style
        self.above, self.behind = comments.above, comments.behind
        # Key paths with comments below them.
        self.noted = {keys[:end] for keys in (*self.above, *self.behind) for end in range(len(keys))}

    def entries(self, table: Data, keys: Keys, margin: str) -> Iterator[str]:
        """Yield the lines of a table's entries."""
        for name, each in table.items():
            path, value = self._path(name, each)
            yield from self._entry(keys, path, value, margin)

    def sections(self, table: Data, keys: tuple[str, ...]) -> Iterator[str]:
        """Yield the lines of a table in TOML: plain values first, then a section for each table."""
        later: list[tuple[tuple[str, ...], Data]] = []
        for name, each in table.items():
            # A machine or an instance is a section of its own, even an empty one.
            path, value = self._path(name, each) if len(keys) > 1 else ((name,), each)
            if isinstance(value, dict) and (value or len(keys) < 2):  # noqa: PLR2004 - as above
                later.append((path, value))
            else:
                yield from self._entry(keys, path, value, "")
        for path, value in later:
            at = (*keys, *path)
            lines = [*self.sections(value, at)]
            yield ""
            yield from self._remarks_above(keys, path, "")
            remark = self._remarks_behind(keys, path)
            if remark or not (value and lines[0] == ""):
                yield f"[{self.style.key(at)}]{remark}"
            else:
                lines = lines[1:]
            yield from lines

    def remarks(self, words: list[str], margin: str) -> Iterator[str]:
        """Yield comments on lines of their own."""
        for line in words:
            yield f"{margin}# {line}" if line else ""

    def _path(self, name: str, value: Any) -> tuple[tuple[str, ...], Any]:  # noqa: ANN401 - any data
        path: tuple[str, ...] = (name,)
        while self.style.dotted and isinstance(value, dict) and len(value) == 1:
            ((name, value),) = value.items()
            path = (*path, name)
        return path, value

    def _entry(self, keys: Keys, path: tuple[str, ...], value: Any, margin: str) -> Iterator[str]:  # noqa: ANN401 - any data
        style, at, inner = self.style, (*keys, *path), margin + self.style.margin
        name, line = style.key(path), self._line(value)
        yield from self._remarks_above(keys, path, margin)
        if isinstance(value, dict) and value:
            yield f"{margin}{style.entry.format(name, style.table[0])}".rstrip() + self._remarks_behind(keys, path)
            yield from self.entries(value, at, inner)
            closing = style.table[1]
        elif isinstance(value, list) and value and (at in self.noted or len(f"{margin}{name}{line}") > WIDTH):
            yield f"{margin}{style.entry.format(name, style.items[0])}".rstrip() + self._remarks_behind(keys, path)
            before, after = style.item
            for index, each in enumerate(value):
                yield from self._remarks_above(at, (index,), inner, deep=True)
                yield f"{inner}{before}{self._line(each)}{after}{self._remarks_behind(at, (index,), deep=True)}"
            closing = style.items[1]
        else:
            yield f"{margin}{style.entry.format(name, line)}{style.end}{self._remarks_behind(keys, path)}"
            return
        if closing:
            yield f"{margin}{closing}{style.end}"

    def _line(self, value: Any) -> str:  # noqa: ANN401 - any data
        """Return a value on one line."""
        style = self.style
        if isinstance(value, dict) and value:
            entries = [style.entry.format(style.key((name,)), self._line(each)) for name, each in value.items()]
            return f"{{ {style.between[0].join(entries)}{style.end.strip(',')} }}"
        if isinstance(value, dict):
            return "{}"
        if isinstance(value, list):
            return style.list.format(style.between[1].join(map(self._line, value))) if value else "[]"
        return style.scalar(value)

    def _remarks_above(self, keys: Keys, path: Keys, margin: str, *, deep: bool = False) -> Iterator[str]:
        """Yield the comments above each key on an entry's path, and, if the entry is one line, above all below it."""
        for end in range(1, len(path) + 1):
            yield from self.remarks(self.above.get((*keys, *path[:end]), []), margin)
        for words in self._below((*keys, *path), self.above) if deep else ():
            yield from self.remarks(words, margin)

    def _remarks_behind(self, keys: Keys, path: Keys, *, deep: bool = False) -> str:
        words = [word for end in range(1, len(path) + 1) for word in self.behind.get((*keys, *path[:end]), ())]
        words += [word for more in self._below((*keys, *path), self.behind) if deep for word in more]
        return f"  # {'; '.join(words)}" if words else ""

    def _below(self, keys: Keys, remarks: Mapping[Keys, list[str]]) -> list[list[str]]:
        if keys not in self.noted:
            return []
        return [words for at, words in remarks.items() if at[: len(keys)] == keys and at != keys]


def _word(value: Any) -> str:  # noqa: ANN401 - any data
    """Return a number, true, false or null; a fraction always has a dot, as Nix requires."""
    if isinstance(value, float):
        digits, sign, exponent = repr(value).partition("e")
        return f"{digits}{'' if '.' in digits else '.0'}{sign}{exponent}"
    return json.dumps(value)


def _nix(value: Any) -> str:  # noqa: ANN401 - any data
    if isinstance(value, str):
        text = value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
        return '"' + text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
    word = _word(value)
    return f"({word})" if word[0] == "-" else word


def _nix_key(path: tuple[str, ...]) -> str:
    return ".".join(key if _NIX_NAME.fullmatch(key) and key not in _NIX_WORDS else _nix(key) for key in path)


def _toml(value: Any) -> str:  # noqa: ANN401 - any data
    from tomlkit import item

    return item(value).as_string() if isinstance(value, str) else _word(value)


def _toml_key(path: tuple[str, ...]) -> str:
    from tomlkit import key

    return ".".join(key(name).as_string() for name in path)


def _yaml(value: Any) -> str:  # noqa: ANN401 - any data
    if not isinstance(value, str):
        return _word(value)
    if _YAML_PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'


def _python(value: Any) -> str:  # noqa: ANN401 - any data
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    return repr(value)


STYLES: Final[Mapping[str, Style]] = {
    "toml": Style(_toml_key, _toml, dotted=True, entry="{} = {}", end="", schema="#:schema {}"),
    "yaml": Style(
        lambda path: _yaml(path[0]), _yaml, table=("", ""), items=("", ""), item=("- ", ""), end="", margin="  ",
        schema="# yaml-language-server: $schema={}",
    ),
    "nix": Style(
        _nix_key, _nix, dotted=True, entry="{} = {}", list="[ {} ]", item=("", ""), between=("; ", " "),
        end=";",
        around=(("{",), ("}",)), margin="  ",
    ),
    "python": Style(lambda path: _python(path[0]), _python, around=(("inventory = {",), ("}",))),
}  # fmt: skip
