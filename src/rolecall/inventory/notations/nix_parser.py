"""A parser of Nix.

Written by hand rather than on tree-sitter-nix because a fault must say *which* sign is missing (an error tree does
not know), because that parser needs quadratic time for long chains of operators, and because depth must be bounded.
The tests compare it with tree-sitter-nix. Source of the rules: Nix's src/libexpr/parser.y.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from rolecall.inventory.data import DEPTH, LARGEST, code, shown
from rolecall.inventory.notations.nix_syntax import (
    Apply,
    Assert,
    Beyond,
    Binding,
    Constant,
    Expression,
    Function,
    If,
    Inherit,
    Items,
    Join,
    Let,
    Not,
    Path,
    Select,
    Set,
    Text,
    Variable,
    With,
)
from rolecall.inventory.notations.nix_tokens import KEYWORDS, Lexer, Token, unindented

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

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


def parse(text: str, start: int = 0) -> Expression:
    """Return the tree of a Nix file.

    Args:
        text: The file's content; lines end with a line feed alone.
        start: The offset of the file's first character, if other files stand before it; lines count from there.

    Raises:
        Faults: A syntax error, with line and column, or too deep nesting.
    """
    return _Parser(Lexer(text, start)).file()


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each comment of a file starts, and all of it.

    Raises:
        Faults: As `parse`.
    """
    lexer = Lexer(text)
    _Parser(lexer).file()
    return lexer.comments()


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, lexer: Lexer) -> None:
        self.lexer = lexer
        self._read = lexer.token
        self.depth = 0
        self.previous_end = lexer.start
        self.token = self._read(lexer.start)

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
        """Read what can stand right of a ``=``."""
        start = self.token.start
        self.depth += 1
        if self.depth > DEPTH:
            self._too_deep()
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
        """Read ``x: …``, ``{ a, b ? 1, ... }: …``, or either with ``@``; return None if it is something else."""
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
                names, exact = self._formals(whole)
        elif self.token.text == "{" and self._opens_formals():
            names, exact = self._formals()
            if self.token.text == "@":
                self._advance()
                self._refuse_twice(names)
                whole = self._advance().text
        else:
            return None
        self._expect(":", start, "function")
        defaults = tuple((name, default) for name, default in names.items() if default)
        return Function(start, whole, tuple(names), self.expression(), defaults, exact)

    def _refuse_twice(self, names: Collection[str]) -> None:
        """Refuse the name of an argument that is among these already."""
        if self.token.text in names:
            self._fault(f"the argument {shown(self.token.text)} is named twice", "remove one of them")

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

    def _formals(self, whole: str = "") -> tuple[dict[str, Expression | None], bool]:
        opener, exact = self.token, True
        self._expect("{", opener.start, "function")
        names: dict[str, Expression | None] = {}
        while self.token.text != "}":
            if self.token.text == "...":
                self._advance()
                exact = False
                if self.token.text != "}":
                    self._fault(f"`...` must be the last argument, found {self._found()}")
            elif self._is_variable():
                self._refuse_twice([*names, whole])
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
        """Read operands and operators side by side, then split them at the loosest operators (Nix: parser.y)."""
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

    def _split(self, operands: list[Expression], operators: list[Token], level: int) -> Expression:
        """Return the tree of operands and the operators between them, none of them looser than a level."""
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
        """Read an operand with the signs before it; only the `-` of a number and a single `!` are data."""
        signs: list[Token] = []
        while self.token.text in {"-", "!"} and self.token.kind == "sign":
            signs.append(self._advance())
        result = self._application()
        if not signs:
            return result
        start = signs[0].start
        if [sign.text for sign in signs] == ["!"]:
            return Not(start, result)
        plain = isinstance(result, Constant) and not isinstance(result.value, str)
        if plain and self.lexer.between(start, result.offset).strip() == "-":
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
        return token.kind != "end" and (token.text not in KEYWORDS or token.text == "rec")

    def _operand(self) -> Expression:
        """Read a simple value with the names selected from it."""
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
            case "name" if token.text not in KEYWORDS:
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
            self._too_deep()
        while self.token.text != "]" or self.token.kind != "sign":
            if self.token.kind == "end":
                self._unclosed(opener)
            if self.token.text == ",":
                self._fault("unexpected `,` in a list", 'separate items with spaces: `[ "a" "b" ]`')
            if self.token.text == "-":
                self._fault("unexpected `-` in a list", "put a negative number in parentheses: `[ (-1) ]`")
            if not self._at_operand():
                self._fault(
                    f"unexpected {self._found()} in the list that starts on line {self.lexer.line(opener.start)}",
                    "close the list with `]`",
                )
            items.append(self._operand())
        self._advance()
        self.depth -= 1
        return Items(opener.start, tuple(items))

    # Sets

    def _bindings(self, opener: Token, closer: str) -> tuple[Binding | Inherit, ...]:
        found: list[Binding | Inherit] = []
        while self.token.text != closer or self.token.kind not in {"sign", "name"}:
            if self.token.kind == "end":
                self._unclosed(opener)
            if self.token.text == "inherit":
                found.append(self._inherit())
                continue
            if not self._at_name():
                if self.token.text in {"]", ")", "}", "in"}:
                    still_open = f"the `{opener.text}` on line {self.lexer.line(opener.start)} is not closed"
                    self._fault(f"unexpected {self._found()}: {still_open}", f"close it with `{closer}` first")
                hint = ""
                if self.token.text in {",", ";"}:
                    hint = "remove it: one `;` ends each entry"
                elif self.token.text in KEYWORDS:
                    hint = f'put a name that is a Nix keyword in quotes: "{self.token.text}"'
                self._fault(f"expected a name, found {self._found()}", hint)
            start = self.token.start
            path = self._path()
            self._equals(self.lexer.between(start, self.previous_end))
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
        return (token.kind == "name" and token.text not in KEYWORDS) or token.text in {'"', "${"}

    def _path(self) -> tuple[Text, ...]:
        names = [self._name()]
        while self.token.text == ".":
            self._advance()
            if len(names) > DEPTH:
                self._too_deep()
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
        if plain := self.lexer.plain_string(opener):
            self.previous_end = plain.end
            self.token = self._read(plain.end)
            return Text(opener.start, (plain.text,) if plain.text else ())
        position = opener.end
        parts: list[tuple[str | Expression, bool]] = []  # a part, and whether its spaces can be indentation
        while (piece := self.lexer.piece(position, opener)).kind != "end":
            if piece.kind == "open":
                self.token = piece
                parts.append((self._interpolation(resume=True), False))
                position = self.previous_end
            else:
                parts.append((piece.text, piece.kind != "escape"))
                position = piece.end
        self.previous_end = piece.end
        self.token = self._read(piece.end)
        pieces = unindented(parts) if opener.text == "''" else (part for part, _ in parts)
        return Text(opener.start, tuple(_joined(pieces)))

    def _interpolation(self, *, resume: bool = False) -> Expression:
        """Read ``${ … }``; with ``resume`` the text after ``}`` is left to the string around it."""
        opener = self._advance()
        inner = self.expression()
        if resume and self.token.text == "}":
            self.previous_end = self.token.end
            return inner
        self._expect("}", opener.start, "${")
        return inner

    # Tokens

    def _advance(self) -> Token:
        token = self.token
        self.previous_end = token.end
        self.token = self._read(token.end)
        return token

    def _expect(self, text: str, opener: int, what: str) -> None:
        if self.token.text == text:
            self._advance()
            return
        self._fault(
            f"expected `{text}`, found {self._found()}",
            f"add it: the `{what}` on line {self.lexer.line(opener)} needs it",
        )

    def _adjoins(self, what: str) -> bool:
        return what in {self.token.text, self.token.kind} and self.token.start == self.previous_end

    def _is_variable(self) -> bool:
        return self.token.kind == "name" and self.token.text not in KEYWORDS

    def _found(self) -> str:
        return "the end of the file" if self.token.kind == "end" else code(self.token.text)

    def _too_deep(self) -> NoReturn:
        self._fault(f"nested deeper than {DEPTH} levels", "flatten it: an inventory needs only a few levels")

    def _unclosed(self, opener: Token) -> NoReturn:
        closer = {"{": "}", "[": "]", "let": "in"}[opener.text]
        self._fault(f"this `{opener.text}` is not closed", f"close it with `{closer}`", at=opener.start)

    def _fault(self, message: str, hint: str = "", *, at: int | None = None) -> NoReturn:
        self.lexer.fault(message, self.token.start if at is None else at, hint)


def _joined(parts: Iterable[str | Expression]) -> Iterator[str | Expression]:
    """Yield the parts, with adjacent literals joined."""
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
