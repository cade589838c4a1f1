"""Merging the settings of several layers.

The layers, from general to specific: role, the machine's tags (by name), the machine. Tables merge deeply, lists are
joined in that order, and of other values the most specific wins. Two tags with different values are a fault, unless the
machine sets one. A value that is not a table, including null, overrides all more general layers. Where two files give
settings at one place, their tables merge too; of other values, including lists, the more specific file wins. A field's
author can choose another way (`rolecall.service.settings.Merging`). A table that can be of several kinds (a union of
models) is merged only while its kind stays the same.

Priorities of the Nix module system (nixpkgs lib/modules.nix) are honoured: first conditions, then priorities (the
lowest number wins at any place; 100 is the default), then order. Around all settings of a layer they apply to each
setting; inside another one, the inner priority wins. Inside `literal`, tables that look like these are plain data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall.evaluate.layers import layers_at
from rolecall.model.equality import key_of, same
from rolecall.service.settings import Merging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rolecall.evaluate.kinds import Kind
    from rolecall.evaluate.layers import Layer
    from rolecall.model.inventory import PerFile

DEFAULT_PRIORITY = 100
DEFAULT_ORDER = 1000
Keys = tuple[str | int, ...]


class Statement(NamedTuple):
    """The value that one layer gives to one place.

    Attributes:
        layer: The layer.
        keys: Its key path in the layer's own values, wrappers included.
        value: The value, unwrapped.
        priority: As `override` gives it.
        order: As `order` gives it.
        literal: Whether it stands in a `literal`, in which nothing is unwrapped.
    """

    layer: Layer
    keys: Keys
    value: Any
    priority: int = DEFAULT_PRIORITY
    order: int = DEFAULT_ORDER
    literal: bool = False


class Resolution(NamedTuple):
    """Every layer's value for one key, and which of them count.

    Attributes:
        stated: All values, from general to specific.
        kept: The values that count, in the order in which they are joined.
    """

    stated: Sequence[Statement]
    kept: Sequence[Statement]

    @property
    def decisive(self) -> Statement:
        """The most specific value that counts, or of all where none counts."""
        return max(self.kept or self.stated, key=lambda statement: (statement.layer.rank, statement.layer.part))


@dataclass(frozen=True, slots=True)
class Conflict:
    """Layers of one rank with different values, or one layer with two.

    Attributes:
        keys: Key path inside the settings.
        statements: The conflicting values.
    """

    keys: Keys
    statements: tuple[Statement, ...]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers with different values, each once."""
        return tuple({id(statement.layer): statement.layer for statement in self.statements}.values())


@dataclass(frozen=True, slots=True)
class Malformed:
    """A priority, order or condition that is not written as the module system expects.

    Attributes:
        statement: Where it stands.
        problem: What is wrong with it.
    """

    statement: Statement
    problem: str


Problem = Conflict | Malformed
Record = dict[Keys, Resolution]


def place(record: Record, keys: Keys) -> Keys | None:
    """Return where the value of a key path comes from, below the role; or that of the nearest table around it."""
    for depth in range(len(keys), 0, -1):
        if resolution := record.get(keys[:depth]):
            statement = resolution.decisive
            return (*statement.layer.at, *statement.keys)
    return None


def combined(settings: PerFile) -> dict[str, Any]:
    """Return what the settings that several files give at one place amount to, as far as no model is needed."""
    return merge([*layers_at(("settings",), 0, settings)], [])


class _Notes(NamedTuple):
    problems: list[Problem]
    record: Record | None


def merge(
    layers: Sequence[Layer], problems: list[Problem], kind: Kind | None = None, record: Record | None = None
) -> dict[str, Any]:
    """Return the merged settings of all layers.

    Args:
        layers: From general to specific.
        problems: Where conflicts and malformed values are added; malformed values are ignored.
        kind: Of the settings, where it `guides`.
        record: Where the values of every layer are recorded, for every key path in the result.
    """
    notes = _Notes(problems, record)
    tables: list[Statement] = []
    for layer in layers:
        for each in _bare(Statement(layer, (), layer.values), notes):
            if isinstance(each.value, dict):
                tables.append(each)
            else:
                problems.append(Malformed(each, "settings must be a table"))
    return _tables(tables, (), kind, notes, pushed_down=True)


def _tables(
    statements: Sequence[Statement], path: Keys, kind: Kind | None, notes: _Notes, *, pushed_down: bool = False
) -> dict[str, Any]:
    """Merge tables by key.

    Settings as a whole are not an option but a set of them, so a priority or order around them counts for each entry
    (`pushDownProperties` in nixpkgs lib/modules.nix). Around a table inside of the settings it has counted already.
    """
    by_key: dict[str, list[Statement]] = {}
    for layer, keys, table, priority, order, literal in statements:
        if not pushed_down:
            priority, order = DEFAULT_PRIORITY, DEFAULT_ORDER  # noqa: PLW2901 - from here on those of the entries
        for key, value in table.items():
            by_key.setdefault(key, []).append(Statement(layer, (*keys, key), value, priority, order, literal))
    merged = {}
    for key, stated in by_key.items():
        if len(stated) == 1 and notes.record is None and not isinstance(stated[0].value, dict | list):
            merged[key] = stated[0].value
            continue
        below = kind.below(key) if kind else None
        if kept := _kept(stated, (*path, key), below, notes):
            merged[key] = _joined(kept, (*path, key), below, notes)
    return merged


def _joined(kept: Sequence[Statement], path: Keys, kind: Kind | None, notes: _Notes) -> object:
    """Join statements that count to one value."""
    first = kept[0]
    form = _form(first.value, kind)
    if form is object or _alone(form, kind) or any(_form(each.value, kind) is not form for each in kept):
        parts: list[Statement] = []
        for each in kept:  # all of one rank; a single layer may give a list or table in parts
            if each is first or (form is not object and each.layer is first.layer and _form(each.value, kind) is form):
                parts.append(each)
            elif not same(each.value, first.value):
                notes.problems.append(Conflict(path, tuple(kept)))
                break
        kept = parts
    if isinstance(first.value, dict):
        return _tables(kept, path, kind, notes)
    if isinstance(first.value, list):
        return _items(kept, path, kind, notes)
    return "\n".join(each.value for each in kept) if form is str else first.value


def _items(kept: Sequence[Statement], path: Keys, kind: Kind | None, notes: _Notes) -> list[Any]:
    """Join lists. Wrapped items are unwrapped, as in nixpkgs' ``listOf``."""
    items: list[Any] = []
    unique = kind is not None and kind.merging is Merging.UNIQUE
    seen: set[str] = set()
    for layer, keys, values, _, _, literal in kept:
        for index, value in enumerate(values):
            if notes.record is None and not unique and not isinstance(value, dict | list):
                items.append(value)
                continue
            at = (*path, len(items))
            below = kind.below(len(items)) if kind else None
            own = _Notes(notes.problems, {}) if unique else notes
            if statements := _kept([Statement(layer, (*keys, index), value, literal=literal)], at, below, own):
                item = _joined(statements, at, below, own)
                if unique and (written := key_of(item)) in seen:
                    continue
                if unique:
                    seen.add(written)
                    if notes.record is not None:
                        notes.record.update(own.record or {})
                items.append(item)
    return items


def _kept(stated: Iterable[Statement], path: Keys, kind: Kind | None, notes: _Notes) -> Sequence[Statement]:
    """Return the statements that count, unwrapped, in the order in which they are joined."""
    bare = [each for statement in stated for each in _bare(statement, notes)]
    kept: Sequence[Statement] = bare
    if len(bare) > 1:
        best = min(statement.priority for statement in bare)
        kept = _of_files([each for each in bare if each.priority == best], kind)
        kept = _joinable(kept, kind, _rank, (dict, list, str))
        if kind and kind.tag:
            kept = _of_one_variant(kept, (*path, kind.tag), kind.tag)
        kept = sorted(kept, key=lambda statement: statement.order)  # stable: equal orders stay in the order of layers
    if notes.record is not None and bare:
        notes.record[path] = Resolution(bare, kept)
    return kept


def _of_files(statements: Sequence[Statement], kind: Kind | None) -> Sequence[Statement]:
    """Return what counts of several files at each place: the most specific one, with tables of the others."""
    if not any(each.layer.part for each in statements):
        return statements
    by_place: dict[Keys, list[Statement]] = {}
    for each in statements:
        by_place.setdefault(each.layer.at, []).append(each)
    return [each for those in by_place.values() for each in _joinable(those, kind, _part, (dict,))]


def _rank(statement: Statement) -> int:
    return statement.layer.rank


def _part(statement: Statement) -> int:
    return statement.layer.part


def _joinable(
    statements: Sequence[Statement], kind: Kind | None, level: Callable[[Statement], int], joined: Sequence[type]
) -> Sequence[Statement]:
    """Return the statements of the most specific level, and of more general ones what can be joined to them.

    Args:
        statements: All statements at one place.
        kind: Of the place.
        level: Its place from general to specific.
        joined: The forms whose values are joined over levels.
    """
    top = max(map(level, statements))
    form = next(_form(each.value, kind) for each in statements if level(each) == top)
    ended = top - 1
    if form in joined and not _alone(form, kind):
        others = (level(each) for each in statements if _form(each.value, kind) is not form)
        ended = min(ended, max(others, default=-1))
    return [each for each in statements if level(each) > ended]


def _of_one_variant(statements: Sequence[Statement], path: Keys, tag: str) -> Sequence[Statement]:
    """Return the tables of the kind that wins; a table that names no kind is of the kind of the one before it."""
    naming = [
        Statement(layer, (*keys, tag), value[tag], priority, order, literal)
        for layer, keys, value, priority, order, literal in statements
        if isinstance(value, dict) and tag in value
    ]
    silent = _Notes([], None)
    winners = _kept(naming, path, None, silent)
    if not winners:
        return statements
    top = max(each.layer.rank for each in winners)
    names = [each.value for each in winners if each.layer.rank == top]
    kept: list[Statement] = []
    current: object = None
    for statement in statements:
        own = _kept([each for each in naming if each.layer is statement.layer], path, None, silent)
        current = own[-1].value if own else current
        if current is None or any(same(current, name) for name in names):
            kept.append(statement)
    return kept


def _form(value: object, kind: Kind | None) -> type:
    """Return the form by which a value is joined with others; `object` if it is not joined."""
    if isinstance(value, str) and kind is not None and kind.merging is Merging.LINES:
        return str
    return dict if isinstance(value, dict) else list if isinstance(value, list) else object


def _alone(form: type, kind: Kind | None) -> bool:
    """Return whether tables or lists at a place are not joined."""
    return kind is not None and (kind.merging is Merging.REPLACE or (kind.varies and form is dict))


_PARTS: Mapping[str, tuple[tuple[str, type | None], ...]] = {
    "override": (("content", None), ("priority", int)),
    "order": (("content", None), ("priority", int)),
    "if": (("content", None), ("condition", bool)),
    "merge": (("contents", list),),
    "literal": (("content", None),),
}
_KINDS = {int: "a whole number", bool: "true or false", list: "a list"}


def _bare(statement: Statement, notes: _Notes) -> Sequence[Statement]:
    """Return the statements inside of priorities, orders and conditions."""
    layer, keys, value, priority, order, literal = statement
    kind = value.get("_type") if isinstance(value, dict) and not literal else None
    if not (isinstance(kind, str) and kind in _PARTS):
        return (statement,)
    if problem := _malformed(kind, value):
        notes.problems.append(Malformed(statement, problem))
        return ()
    match kind:
        case "literal":
            return (statement._replace(keys=(*keys, "content"), value=value["content"], literal=True),)
        case "merge":
            inner = [statement._replace(keys=(*keys, "contents", n), value=v) for n, v in enumerate(value["contents"])]
            return [each for content in inner for each in _bare(content, notes)]
        case "if" if not value["condition"]:
            return ()
        case "override":
            priority = value["priority"]
        case "order":
            order = value["priority"]
    return _bare(Statement(layer, (*keys, "content"), value["content"], priority, order), notes)


def _malformed(kind: str, value: Mapping[str, Any]) -> str:
    """Return what is wrong with a wrapper, or ""."""
    for name, wanted in _PARTS[kind]:
        if name not in value:
            return f"`{kind}` lacks its `{name}`"
        if wanted and type(value[name]) is not wanted:  # true is not a number here
            return f"the `{name}` of `{kind}` must be {_KINDS[wanted]}"
    unknown = sorted(value.keys() - {"_type", *(name for name, _ in _PARTS[kind])})
    return f"`{kind}` has an unknown key `{unknown[0]}`" if unknown else ""
