"""The tree of a Nix file; correct Nix that is more than data becomes one `Beyond`, a fault only where it is used."""

from __future__ import annotations

from dataclasses import dataclass


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
        body: Its result.
        defaults: Values of parts that the argument does not have.
        exact: Whether the argument cannot have other parts: names without ``...``.
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
    """Correct Nix that is not data.

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
