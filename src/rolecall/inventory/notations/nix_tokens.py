"""The tokens of a Nix file, the pieces of its strings, and the lines and columns of its offsets.

Source of the rules: Nix's src/libexpr/lexer.l.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from rolecall.inventory.data import code, syntax_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolecall.inventory.notations.nix_syntax import Expression


# What comes before the `:` of a URI or the first `/` of a path is bounded, so that reading stays linear.
_TOKEN = re.compile(
    r"""
    (?P<space> (?: \s | \#[^\n]*+ | /\*(?s:.*?)\*/ )++ )
  | (?P<uri>   [A-Za-z][A-Za-z0-9+.-]{0,63}+ : [A-Za-z0-9%/?:@&=+$,_.!~*'-]++ )
  | (?P<path>  (?: ~ | [A-Za-z0-9._+-]{0,255}+ ) (?: (?: / [A-Za-z0-9._+-]++ )++ /? | /(?=\$\{) )
             | < [A-Za-z0-9._+-]++ (?: / [A-Za-z0-9._+-]++ )*+ > )
  | (?P<float> (?: [1-9][0-9]*+ \. [0-9]*+ | 0? \. [0-9]++ ) (?: [Ee] [+-]? [0-9]++ )? )
  | (?P<int>   [0-9]++ )
  | (?P<name>  [A-Za-z_][A-Za-z0-9_'-]*+ )
  | (?P<sign>  \.\.\. | \$\{ | '' | == | != | <= | >= | && | \|\| | -> | \+\+ | // | <\| | \|>
             | [][{}()=;:,.?@"+*<>!-] | /(?!\*) )
    """,
    re.VERBOSE,
)
_COMMENT = re.compile(r"#[^\n]*+|/\*(?s:.*?)\*/")
_PLAIN = re.compile(r'"([^"\\$]*+)"')
_TEXT = re.compile(
    r"""(?P<literal> (?: [^$"\\] | \$[^{"\\] | \$(?=["\\]) )++ ) | (?P<escape> \\(?s:.) )
    | (?P<open> \$\{ ) | (?P<end> " )""",
    re.VERBOSE,
)
_INDENTED = re.compile(
    r"""(?P<literal> (?: [^$'] | \$[^{'] | '[^'$] )++ ) | (?P<quotes> ''' ) | (?P<dollar> ''\$ )
    | (?P<escape> ''\\(?s:.) ) | (?P<open> \$\{ ) | (?P<end> '' ) | (?P<single> [$'] )""",
    re.VERBOSE,
)
_FIRST_LINE = re.compile(r" *\n")  # of an indented string, which does not count
_ESCAPED: Final = {"quotes": "''", "dollar": "$"}  # by group: what stands for itself
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
KEYWORDS: Final = frozenset({"if", "then", "else", "let", "in", "inherit", "rec", "with", "assert"})


class Token(NamedTuple):
    """A token, or a piece of a string.

    Attributes:
        kind: Of a token name, int, float, path, uri, sign or end; of a piece literal, escape, open or end.
        text: What it stands for: its own text, or of an escape the text that it means.
        start: The offset of its first character.
        end: The offset after its last character.
    """

    kind: str
    text: str
    start: int
    end: int


class Lexer:
    """Reads the token or the piece of a string at any offset of a file.

    Args:
        text: The file's content.
        start: The offset of its first character.

    Attributes:
        spaces: From where to where white space with comments goes, as far as it was read.
    """

    def __init__(self, text: str, start: int = 0) -> None:
        self.text = text
        self.start = start
        self.spaces: set[tuple[int, int]] = set()

    def token(self, position: int) -> Token:
        """Return the token at an offset, or after the white space there.

        Raises:
            Faults: When no token starts there.
        """
        text, start = self.text, self.start
        local = position - start
        match = _TOKEN.match(text, local)
        if match and match.lastgroup == "space":
            if match.end() - local > 1 and not match[0].isspace():
                self.spaces.add(match.span())
            local = match.end()
            match = _TOKEN.match(text, local)
        position = start + local
        if match:
            return Token(match.lastgroup or "", match[0], position, start + match.end())
        if local >= len(text):
            return Token("end", "", position, position)
        if self.text.startswith("/*", local):
            self.fault("this comment is not closed", position, "end it with `*/`")
        hint = 'put text in double quotes: "text"' if self.text[local] == "'" else ""
        return self.fault(f"unexpected {code(self.text[local])}", position, hint)

    def plain_string(self, opener: Token) -> Token | None:
        """Return the text of a string without escapes and expressions, up to its end; this is the quick way."""
        match = _PLAIN.match(self.text, opener.start - self.start)
        return Token("literal", match[1], opener.start, self.start + match.end()) if match else None

    def piece(self, position: int, opener: Token) -> Token:
        """Return the piece of a string at an offset.

        Args:
            position: The offset.
            opener: The token that opens the string: `"` or `''`.

        Raises:
            Faults: When the string is not closed.
        """
        indented = opener.text == "''"
        local = position - self.start
        if indented and position == opener.end and (first_line := _FIRST_LINE.match(self.text, local)):
            local = first_line.end()
        match = (_INDENTED if indented else _TEXT).match(self.text, local)
        if match is None:
            self.fault("this string is not closed", opener.start, f"end it with `{opener.text}`")
        kind, text = match.lastgroup or "", match[0]
        if kind == "escape":
            text = _ESCAPES.get(text[-1], text[-1])
        elif kind in _ESCAPED:
            kind, text = "escape", _ESCAPED[kind]
        return Token(kind, text, self.start + match.start(), self.start + match.end())

    def comments(self) -> Iterator[tuple[int, str]]:
        """Yield where each comment starts, and all of it, as far as the file was read."""
        for start, end in sorted(self.spaces):
            for comment in _COMMENT.finditer(self.text, start, end):
                yield comment.start(), comment[0]

    def between(self, start: int, end: int) -> str:
        """Return the text between two offsets."""
        return self.text[start - self.start : end - self.start]

    def line(self, offset: int) -> int:
        """Return the line of an offset."""
        return place(self.text, offset - self.start)[0]

    def fault(self, message: str, offset: int, hint: str = "") -> NoReturn:
        """Raise a fault with the line and column of an offset.

        Raises:
            Faults: Always.
        """
        raise syntax_fault(message, *place(self.text, offset - self.start), hint=hint)


def unindented(parts: Sequence[tuple[str | Expression, bool]]) -> Iterator[str | Expression]:
    """Yield the parts of an indented string without the indentation that all of its lines share.

    A last line of spaces is dropped too (Nix: ParserState::stripIndentation).

    Args:
        parts: Each part, and whether its spaces can be indentation.
    """
    least = _indentation(parts)
    starts = True  # whether the next part starts a line
    for number, (part, _) in enumerate(parts, 1):
        if not isinstance(part, str):
            starts = False
            yield part
            continue
        first, *rest = part.split("\n")
        lines = [_dropped(first, least) if starts else first, *(_dropped(line, least) for line in rest)]
        starts = not (rest or [first])[-1].strip(" ") and (starts or bool(rest))
        if number == len(parts) and len(lines) > 1 and not lines[-1].strip(" "):
            lines[-1] = ""
        yield "\n".join(lines)


def _dropped(line: str, count: int) -> str:
    """Return a line without its first spaces, at most ``count``."""
    return line[min(count, len(line) - len(line.lstrip(" "))) :]


def _indentation(parts: Sequence[tuple[str | Expression, bool]]) -> int:
    """Return the smallest indentation of all lines that have more than spaces."""
    least = 1_000_000
    current, starts = 0, True
    for part, can_indent in parts:
        if not can_indent or not isinstance(part, str):
            if starts:
                starts, least = False, min(least, current)
            continue
        for number, line in enumerate(part.split("\n")):
            if number:
                starts, current = True, 0
            if starts:
                rest = line.lstrip(" ")
                current += len(line) - len(rest)
                if rest:
                    starts, least = False, min(least, current)
    return least


def place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of an offset in characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def line_starts(text: str) -> list[int]:
    """Return the offset at which each line starts."""
    return [0, *(match.end() for match in re.finditer("\n", text))]


def place_in(starts: list[int], offset: int) -> tuple[int, int]:
    """Return the same as `place`, for many offsets of one text."""
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1
