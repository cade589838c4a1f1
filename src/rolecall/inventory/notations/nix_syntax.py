"""Nix's grammar, read into a small tree; what is beyond data becomes one `Beyond` that only a use of it faults.

Written by hand rather than on tree-sitter-nix because a fault must say *which* sign is missing (an error tree does
not know), because that parser needs quadratic time for long chains of operators, and because depth must be bounded.
The tests hold it against tree-sitter-nix. Source of the rules: Nix's src/libexpr/lexer.l and parser.y.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from rolecall.inventory.data import DEPTH, LARGEST, code, shown, syntax_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
_TEXT = re.compile(
    r"""(?P<text> (?: [^$"\\] | \$[^{"\\] | \$(?=["\\]) )++ ) | (?P<escape> \\(?s:.) )
    | (?P<open> \$\{ ) | (?P<end> " )""",
    re.VERBOSE,
)
_INDENTED = re.compile(
    r"""(?P<text> (?: [^$'] | \$[^{'] | '[^'$] )++ ) | (?P<quotes> ''' ) | (?P<dollar> ''\$ )
    | (?P<escape> ''\\(?s:.) ) | (?P<open> \$\{ ) | (?P<end> '' ) | (?P<single> [$'] )""",
    re.VERBOSE,
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
_KEYWORDS: Final = frozenset({"if", "then", "else", "let", "in", "inherit", "rec", "with", "assert"})
_LEVELS: Final = (  # operators between two values, from the loosest to the tightest (Nix: parser.y)
    {"<|", "|>"},
    {"->"},
    {"||"},
    {"&&"},
    {"==", "!="},
    {"<", ">", "<=", ">="},
    {"//"},
    {"+", "-"},
    {"*", "/"},
    {"++"},
)
_DATA: Final = frozenset({"||", "&&", "==", "!=", "//", "+", "++"})  # those that are read; any other is beyond data
_OPERATORS: Final = frozenset({"?"}.union(*_LEVELS))


@dataclass(frozen=True, slots=True)
class Constant:
    """A number or a URI."""

    offset: int
    value: str | float


@dataclass(frozen=True, slots=True)
class Path:
    """A path as it is written: `./x`, `../y`, `/etc`."""

    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string: literal parts, and expressions between ``${`` and ``}``."""

    offset: int
    parts: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    offset: int
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """``a.b."c" = value;``."""

    path: tuple[Text, ...]
    value: Expression


@dataclass(frozen=True, slots=True)
class Inherit:
    """``inherit a b;`` or ``inherit (source) a b;``."""

    names: tuple[Text, ...]
    source: Expression | None


@dataclass(frozen=True, slots=True)
class Set:
    """``{ … }`` or ``rec { … }``."""

    offset: int
    bindings: tuple[Binding | Inherit, ...]
    recursive: bool = False


@dataclass(frozen=True, slots=True)
class Let:
    """``let … in body``."""

    offset: int
    bindings: Set
    body: Expression


@dataclass(frozen=True, slots=True)
class Variable:
    """A name that stands for its value."""

    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """``base.a.b``, or ``base.a.b or default``."""

    offset: int
    base: Expression
    path: tuple[Text, ...]
    default: Expression | None = None


@dataclass(frozen=True, slots=True)
class Apply:
    """``function argument``."""

    offset: int
    function: Expression
    argument: Expression


@dataclass(frozen=True, slots=True)
class Function:
    """``whole: body`` or ``{ names }@whole: body``.

    Attributes:
        offset: Where it stands.
        whole: The name of its whole argument, or "".
        names: Which parts of the argument it takes.
        body: What it gives.
        defaults: What parts are that the argument lacks.
        exact: Whether the argument has no other parts: names without ``...``.
    """

    offset: int
    whole: str
    names: tuple[str, ...]
    body: Expression
    defaults: tuple[tuple[str, Expression], ...] = ()
    exact: bool = False


@dataclass(frozen=True, slots=True)
class With:
    """``with names; body``."""

    offset: int
    names: Expression
    body: Expression


@dataclass(frozen=True, slots=True)
class Assert:
    """``assert condition; body``."""

    offset: int
    condition: Expression
    body: Expression


@dataclass(frozen=True, slots=True)
class If:
    """``if condition then yes else no``."""

    offset: int
    condition: Expression
    yes: Expression
    no: Expression


@dataclass(frozen=True, slots=True)
class Join:
    """Two or more values with one of the operators of `_DATA` between them."""

    offset: int
    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """``!value``."""

    offset: int
    value: Expression


@dataclass(frozen=True, slots=True)
class Beyond:
    """Correct Nix that is no data.

    Attributes:
        offset: Where it stands.
        what: What it is, e.g. "the operator `+`".
    """

    offset: int
    what: str


Expression = (
    Constant
    | Path
    | Text
    | Items
    | Set
    | Let
    | With
    | Variable
    | Select
    | Apply
    | Function
    | Assert
    | If
    | Join
    | Not
    | Beyond
)


class _Token(NamedTuple):
    kind: str  # name, int, float, path, uri, sign, end
    text: str
    start: int
    end: int


def parse(text: str, start: int = 0) -> Expression:
    """The tree of a Nix file.

    Args:
        text: The file's content; lines end with a line feed alone.
        start: The offset of the file's first character, if other files stand before it; lines count from there.

    Raises:
        Faults: A syntax error, with line and column, or too deep nesting.
    """
    return _Parser(text, start).file()


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Where each comment of a file starts, and all of it.

    Raises:
        Faults: As `parse`.
    """
    parser = _Parser(text)
    parser.file()
    for start, end in sorted(parser.spaces):
        for comment in _COMMENT.finditer(text, start, end):
            yield comment.start(), comment[0]


class _Parser:
    """Recursive descent with one token of look-ahead; strings are read in their own two small modes."""

    def __init__(self, text: str, start: int = 0) -> None:
        self.text = text
        self.start = start
        self.depth = 0
        self.previous_end = start
        self.spaces: set[tuple[int, int]] = set()  # from where to where, those with comments in them
        self.token = self._read(start)

    def file(self) -> Expression:
        whole = self.expression()
        if self.token.kind != "end":
            if self.token.text in {"}", "]", ")"}:
                self._fault(f"unmatched `{self.token.text}`", "remove it, or add its opening bracket further up")
            self._fault(
                f"unexpected {self._found()} after the end of the value",
                "put everything between one `{` and its `}`: a file is one value",
            )
        return whole

    # Expressions

    def expression(self) -> Expression:
        """Whatever can stand right of a ``=``."""
        start = self.token.start
        self.depth += 1
        if self.depth > DEPTH:
            self._fault(f"nested deeper than {DEPTH} levels", "flatten it: an inventory needs only a few levels")
        try:
            match self.token.text if self.token.kind == "name" else "":
                case "let":
                    return self._let()
                case "if":
                    self._advance()
                    condition = self.expression()
                    self._expect("then", start, "if")
                    yes = self.expression()
                    self._expect("else", start, "if")
                    return If(start, condition, yes, self.expression())
                case "with" | "assert" as keyword:
                    self._advance()
                    before = self.expression()
                    self._expect(";", start, keyword)
                    body = self.expression()
                    return (With if keyword == "with" else Assert)(start, before, body)
            return self._function() or self._operation()
        finally:
            self.depth -= 1

    def _let(self) -> Expression:
        opener = self._advance()
        bindings = self._bindings(opener, "in")
        return Let(opener.start, Set(opener.start, bindings, recursive=True), self.expression())

    def _function(self) -> Expression | None:
        """``x: …``, ``{ a, b ? 1, ... }: …``, and either with ``@``; None when none stands here."""
        start = self.token.start
        whole = ""
        names: dict[str, Expression | None] = {}
        exact = False
        if self._is_variable():
            after = self._read(self.token.end)
            if after.text not in {":", "@"}:
                return None
            whole = self._advance().text
            if self.token.text == "@":
                self._advance()
                names, exact = self._formals()
        elif self.token.text == "{" and self._opens_formals():
            names, exact = self._formals()
            if self.token.text == "@":
                self._advance()
                whole = self._advance().text
        else:
            return None
        self._expect(":", start, "function")
        defaults = tuple((name, default) for name, default in names.items() if default)
        return Function(start, whole, tuple(names), self.expression(), defaults, exact)

    def _opens_formals(self) -> bool:
        first = self._read(self.token.end)
        if first.kind != "name" and first.text not in {"}", "..."}:
            return False  # and what follows may be the inside of a text, which has no tokens
        second = self._read(first.end)
        if first.text == "}":
            return second.text in {":", "@"}
        if first.text == "..." or second.text in {",", "?"}:
            return True
        return second.text == "}" and self._read(second.end).text in {":", "@"}

    def _formals(self) -> tuple[dict[str, Expression | None], bool]:
        opener, exact = self.token, True
        self._expect("{", opener.start, "function")
        names: dict[str, Expression | None] = {}
        while self.token.text != "}":
            if self.token.text == "...":
                self._advance()
                exact = False
            elif self._is_variable():
                name = self._advance().text
                names[name] = None
                if self.token.text == "?":
                    self._advance()
                    names[name] = self.expression()
            else:
                self._fault(f"expected the name of an argument, found {self._found()}")
            if self.token.text != "}":
                self._expect(",", opener.start, "{")
        self._advance()
        return names, exact

    def _operation(self) -> Expression:
        """Operands and operators, first side by side, then split at the loosest operators (Nix: parser.y)."""
        operands, operators = [self._signed()], []
        while self.token.text in _OPERATORS and self.token.kind == "sign":
            operator = self._advance()
            if operator.text == "?":
                operands[-1] = Beyond(operator.start, "the operator `?`")
                self._path()
                continue
            operators.append(operator)
            if self.token.text in {"let", "if", "with", "assert"} or (
                (self._is_variable() or self.token.text == "{") and self._starts_function()
            ):
                operands.append(self.expression())
                break
            operands.append(self._signed())
        return self._split(operands, operators, 0)

    def _split(self, operands: list[Expression], operators: list[_Token], level: int) -> Expression:
        """What stands between operators from a level on."""
        if not operators:
            return operands[0]
        splits = [index for index, each in enumerate(operators) if each.text in _LEVELS[level]]
        if not splits:
            return self._split(operands, operators, level + 1)
        first = operators[splits[0]]
        chained = len(splits) > 1 and first.text in {"==", "!="}  # which Nix itself refuses
        other = next((each for each in operators if each.text in _LEVELS[level] - _DATA), None)
        if other or chained:
            beyond = other or first
            return Beyond(beyond.start, f"the operator `{beyond.text}`")
        starts, ends = [0, *(index + 1 for index in splits)], [*splits, len(operators)]
        groups = [
            self._split(operands[start : end + 1], operators[start:end], level + 1)
            for start, end in zip(starts, ends, strict=True)
        ]
        return Join(first.start, first.text, tuple(groups))

    def _signed(self) -> Expression:
        """An operand with the signs before it; of these a number's own and one `!` are data."""
        signs: list[_Token] = []
        while self.token.text in {"-", "!"} and self.token.kind == "sign":
            signs.append(self._advance())
        result = self._application()
        if not signs:
            return result
        start, told = signs[0].start, "".join(sign.text for sign in signs)
        if told == "!":
            return Not(start, result)
        plain = isinstance(result, Constant) and not isinstance(result.value, str)
        if plain and self.text[start - self.start : result.offset - self.start].strip() == "-":
            return Constant(start, -result.value)  # type: ignore[union-attr,operator]
        return Beyond(start, f"the operator `{signs[0].text}`")

    def _starts_function(self) -> bool:
        if self.token.text == "{":
            return self._opens_formals()
        return self._read(self.token.end).text in {":", "@"}

    def _application(self) -> Expression:
        start = self.token.start
        result = self._operand()
        while self._at_operand():
            end = self.previous_end
            argument = self._operand()
            if self.token.text == "=":  # what was read as an argument is the next entry's name
                self._fault("missing `;` after this value", "end every entry with `;`: `name = value;`", at=end)
            result = Apply(start, result, argument)
        return result

    def _at_operand(self) -> bool:
        token = self.token
        if token.kind == "sign":
            return token.text in {'"', "''", "{", "[", "("}
        return token.kind != "end" and (token.text not in _KEYWORDS or token.text == "rec")

    def _operand(self) -> Expression:
        """A simple value with the names selected from it."""
        start = self.token.start
        value = self._simple()
        path: tuple[Text, ...] = ()
        if self.token.text == "." and self.token.kind == "sign":
            self._advance()
            path = self._path()
        if self.token.text == "or" and self.token.kind == "name":
            self._advance()
            default = self._operand()
            return Select(start, value, path, default) if path else Beyond(start, "`or`")
        return Select(start, value, path) if path else value

    def _simple(self) -> Expression:  # noqa: C901, PLR0911 - a case per kind of value
        token = self.token
        match token.kind:
            case "int" | "float":
                return self._number()
            case "path" | "uri":
                return self._file_path()
            case "name" if token.text not in _KEYWORDS:
                self._advance()
                return Variable(token.start, token.text)
        match token.text:
            case '"' | "''":
                return self._string()
            case "[":
                return self._list()
            case "(":
                self._advance()
                inner = self.expression()
                self._expect(")", token.start, "(")
                return inner
            case "{":
                self._advance()
                return Set(token.start, self._bindings(token, "}"))
            case "rec":
                self._advance()
                opener = self.token
                self._expect("{", token.start, "rec")
                return Set(token.start, self._bindings(opener, "}"), recursive=True)
        hint = ""
        if token.text in {";", "}"}:
            hint = "write a value before it, such as `null` or `{}`"
        elif token.text == "=":
            hint = "put one `=` between a name and its value"
        return self._fault(f"expected a value, found {self._found()}", hint)

    def _number(self) -> Constant:
        token = self._advance()
        if token.kind == "float":
            return Constant(token.start, float(token.text))
        if len(token.text) > len(str(LARGEST)) or int(token.text) >= LARGEST:
            self._fault(
                f"the number {shown(token.text, quote='')} is too large",
                "use a number that fits in 64 bits",
                at=token.start,
            )
        return Constant(token.start, int(token.text))

    def _file_path(self) -> Expression:
        token = self._advance()
        if not self._adjoins("${"):
            return (Constant if token.kind == "uri" else Path)(token.start, token.text)
        while self._adjoins("${") or self._adjoins("path"):
            self._interpolation() if self.token.text == "${" else self._advance()
        return Beyond(token.start, "a path with `${…}` in it")

    def _list(self) -> Expression:
        opener = self._advance()
        items: list[Expression] = []
        self.depth += 1
        if self.depth > DEPTH:
            self._fault(f"nested deeper than {DEPTH} levels", "flatten it: an inventory needs only a few levels")
        while self.token.text != "]" or self.token.kind != "sign":
            if self.token.kind == "end":
                self._unclosed(opener)
            if self.token.text == ",":
                self._fault("unexpected `,` in a list", 'separate items with spaces: `[ "a" "b" ]`')
            if self.token.text == "-":
                self._fault("unexpected `-` in a list", "put a negative number in parentheses: `[ (-1) ]`")
            if not self._at_operand():
                self._fault(
                    f"unexpected {self._found()} in the list that starts on line {self._line(opener.start)}",
                    "close the list with `]`",
                )
            items.append(self._operand())
        self._advance()
        self.depth -= 1
        return Items(opener.start, tuple(items))

    # Sets

    def _bindings(self, opener: _Token, closer: str) -> tuple[Binding | Inherit, ...]:
        found: list[Binding | Inherit] = []
        while self.token.text != closer or self.token.kind not in {"sign", "name"}:
            if self.token.kind == "end":
                self._unclosed(opener)
            if self.token.text == "inherit":
                found.append(self._inherit())
                continue
            if not self._at_name():
                if self.token.text in {"]", ")", "}", "in"}:
                    still_open = f"the `{opener.text}` on line {self._line(opener.start)} is not closed"
                    self._fault(f"unexpected {self._found()}: {still_open}", f"close it with `{closer}` first")
                hint = ""
                if self.token.text in {",", ";"}:
                    hint = "remove it: one `;` ends each entry"
                elif self.token.text in _KEYWORDS:
                    hint = f'put a name that is a Nix keyword in quotes: "{self.token.text}"'
                self._fault(f"expected a name, found {self._found()}", hint)
            start = self.token.start
            path = self._path()
            self._equals(self.text[start - self.start : self.previous_end - self.start])
            value = self.expression()
            self._semicolon()
            found.append(Binding(path, value))
        self._advance()
        return tuple(found)

    def _inherit(self) -> Inherit:
        self._advance()
        source = None
        if self.token.text == "(":
            opener = self._advance()
            source = self.expression()
            self._expect(")", opener.start, "(")
        names = []
        while self._at_name():
            names.append(self._name())
        self._semicolon()
        return Inherit(tuple(names), source)

    def _equals(self, name: str) -> None:
        if self.token.text == "=":
            self._advance()
            return
        name, example = shown(name), code(f"{name} = …;")
        if self.token.text == ":":
            self._fault(f"unexpected `:` after {name}", f"put `=` between a name and its value: {example}")
        if self.token.text in {";", "}"} or self.token.kind == "end":
            self._fault(f"{name} has no value", f"write {example}")
        self._fault(
            f"expected `=` after {name}, found {self._found()}",
            f"put `=` between a name and its value: {example}",
        )

    def _semicolon(self) -> None:
        if self.token.text == ";":
            self._advance()
            return
        if self.token.text == ",":
            self._fault("unexpected `,` after a value", "end every entry with `;`, not `,`")
        if self.token.text in {"=", ":"}:
            self._fault(
                f"a second `{self.token.text}` in one entry", "end the entry before it with `;`: `name = value;`"
            )
        self._fault("missing `;` after this value", "end every entry with `;`: `name = value;`", at=self.previous_end)

    def _at_name(self) -> bool:
        token = self.token
        return (token.kind == "name" and token.text not in _KEYWORDS) or token.text in {'"', "${"}

    def _path(self) -> tuple[Text, ...]:
        names = [self._name()]
        while self.token.text == ".":
            self._advance()
            if len(names) > DEPTH:
                self._fault(f"nested deeper than {DEPTH} levels", "flatten it: an inventory needs only a few levels")
            names.append(self._name())
        return tuple(names)

    def _name(self) -> Text:
        token = self.token
        if not self._at_name():
            self._fault(f"expected a name, found {self._found()}", "put a name between the dots: `a.b.c`")
        if token.kind == "name":
            self._advance()
            return Text(token.start, (token.text,))
        if token.text == "${":
            return Text(token.start, (self._interpolation(),))
        return self._string()

    # Strings

    def _string(self) -> Text:
        opener = self.token
        indented = opener.text == "''"
        pattern = _INDENTED if indented else _TEXT
        position = opener.end
        parts: list[tuple[str | Expression, bool]] = []  # a part, and whether its spaces can be indentation
        if indented and (first_line := re.compile(r" *\n").match(self.text, position - self.start)):
            position = self.start + first_line.end()
        while True:
            match = pattern.match(self.text, position - self.start)
            if match is None:
                self._fault("this text is not closed", f"end it with `{opener.text}`", at=opener.start)
            position = self.start + match.end()
            piece = match[0]
            match match.lastgroup:
                case "end":
                    break
                case "text" | "single":
                    parts.append((piece, True))
                case "quotes":
                    parts.append(("''", False))
                case "dollar":
                    parts.append(("$", False))
                case "escape":
                    parts.append((_ESCAPES.get(piece[-1], piece[-1]), False))
                case _:
                    self.token = _Token("sign", "${", self.start + match.start(), position)
                    parts.append((self._interpolation(resume=True), False))
                    position = self.previous_end
        self.previous_end = position
        self.token = self._read(position)
        pieces = _unindent(parts) if indented else (part for part, _ in parts)
        return Text(opener.start, tuple(_joined(pieces)))

    def _interpolation(self, *, resume: bool = False) -> Expression:
        """``${ … }``; with ``resume`` the text after ``}`` is left to the string around it."""
        opener = self._advance()
        inner = self.expression()
        if resume and self.token.text == "}":
            self.previous_end = self.token.end
            return inner
        self._expect("}", opener.start, "${")
        return inner

    # Tokens

    def _read(self, position: int) -> _Token:
        local = position - self.start
        match = _TOKEN.match(self.text, local)
        if match and match.lastgroup == "space":
            if match.end() - local > 1 and not match[0].isspace():
                self.spaces.add(match.span())
            local = match.end()
            match = _TOKEN.match(self.text, local)
        position = self.start + local
        if match:
            kind = match.lastgroup or ""
            return _Token(kind, match[0], position, self.start + match.end())
        if local >= len(self.text):
            return _Token("end", "", position, position)
        if self.text.startswith("/*", local):
            self._fault("this comment is not closed", "end it with `*/`", at=position)
        hint = 'put text in double quotes: "text"' if self.text[local] == "'" else ""
        return self._fault(f"unexpected {code(self.text[local])}", hint, at=position)

    def _advance(self) -> _Token:
        token = self.token
        self.previous_end = token.end
        self.token = self._read(token.end)
        return token

    def _expect(self, text: str, opener: int, what: str) -> None:
        if self.token.text == text:
            self._advance()
            return
        self._fault(
            f"expected `{text}`, found {self._found()}", f"add it: the `{what}` on line {self._line(opener)} needs it"
        )

    def _adjoins(self, what: str) -> bool:
        return what in {self.token.text, self.token.kind} and self.token.start == self.previous_end

    def _is_variable(self) -> bool:
        return self.token.kind == "name" and self.token.text not in _KEYWORDS

    def _found(self) -> str:
        return "the end of the file" if self.token.kind == "end" else code(self.token.text)

    def _line(self, offset: int) -> int:
        return self.text.count("\n", 0, offset - self.start) + 1

    def _unclosed(self, opener: _Token) -> NoReturn:
        closer = {"{": "}", "[": "]", "let": "in"}[opener.text]
        self._fault(f"this `{opener.text}` is not closed", f"close it with `{closer}`", at=opener.start)

    def _fault(self, message: str, hint: str = "", *, at: int | None = None) -> NoReturn:
        offset = (self.token.start if at is None else at) - self.start
        raise syntax_fault(message, *place(self.text, offset), hint=hint)


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset in characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _joined(parts: Iterator[str | Expression] | Sequence[str | Expression]) -> Iterator[str | Expression]:
    """The parts with neighbouring literals made one."""
    literal: list[str] = []
    for part in parts:
        if isinstance(part, str):
            literal.append(part)
            continue
        if literal:
            yield "".join(literal)
            literal = []
        yield part
    if literal:
        yield "".join(literal)


def _unindent(parts: Sequence[tuple[str | Expression, bool]]) -> Iterator[str | Expression]:
    """Drops the indentation that all lines share, and a last line of spaces (Nix: ParserState::stripIndentation)."""
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
    """A line without its first spaces, at most ``count``."""
    return line[min(count, len(line) - len(line.lstrip(" "))) :]


def _indentation(parts: Sequence[tuple[str | Expression, bool]]) -> int:
    """The number of spaces before the first other sign of a line, at the least of all lines that have one."""
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
                signs = line.lstrip(" ")
                current += len(line) - len(signs)
                if signs:
                    starts, least = False, min(least, current)
    return least


def line_starts(text: str) -> list[int]:
    """The offset at which each line starts."""
    return [0, *(match.end() for match in re.finditer("\n", text))]


def place_in(starts: list[int], offset: int) -> tuple[int, int]:
    """As `place`, for many offsets of one text."""
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1
