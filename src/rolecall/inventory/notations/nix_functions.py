"""The functions of Nix and of nixpkgs' lib that inventories use and that always terminate.

They only rearrange their arguments; calls of functions are counted (`Evaluator.call`).
"""

from __future__ import annotations

import re
from collections import ChainMap
from typing import TYPE_CHECKING, Final

from rolecall.inventory.notations import nix_syntax as syntax
from rolecall.inventory.notations.nix_values import Cell, Items, Known, Lambda, PathText, Priority, Table

if TYPE_CHECKING:
    from rolecall.inventory.notations.nix_evaluation import Evaluator
    from rolecall.inventory.notations.nix_values import Functions, Value


def _lazily(offset: int, function: Cell, *arguments: Cell) -> Cell:
    """Return the result of a function, which is called when it is needed."""
    tree: syntax.Expression = syntax.Variable(offset, "f")
    names = {"f": function}
    for number, argument in enumerate(arguments):
        names[f"a{number}"] = argument
        tree = syntax.Apply(offset, tree, syntax.Variable(offset, f"a{number}"))
    return Cell(offset, tree, ChainMap(names))


def _text(nix: Evaluator, cell: Cell) -> str:
    value = nix.force(cell)
    if not isinstance(value, str):
        nix.fault("expected a string here", cell.offset)
    return value


def _texts(nix: Evaluator, items: Cell) -> list[str]:
    return [_text(nix, each) for each in nix.items(items)]


def _map(nix: Evaluator, function: Cell, items: Cell) -> Value:
    return Items(tuple(_lazily(each.offset, function, each) for each in nix.items(items)))


def _map_attrs(nix: Evaluator, function: Cell, table: Cell) -> Value:
    cells = nix.cells(table).items()
    return Table({name: _lazily(each.offset, function, Cell(each.offset, value=name), each) for name, each in cells})


def _map_attrs_to_list(nix: Evaluator, function: Cell, table: Cell) -> Value:
    cells = sorted(nix.cells(table).items())
    return Items(tuple(_lazily(each.offset, function, Cell(each.offset, value=name), each) for name, each in cells))


def _filter(nix: Evaluator, function: Cell, items: Cell) -> Value:
    return Items(tuple(each for each in nix.items(items) if nix.is_true(_lazily(each.offset, function, each))))


def _filter_attrs(nix: Evaluator, function: Cell, table: Cell) -> Value:
    cells = nix.cells(table)
    holds = {name: _lazily(each.offset, function, Cell(each.offset, value=name), each) for name, each in cells.items()}
    return Table({name: each for name, each in cells.items() if nix.is_true(holds[name])})


def _all(nix: Evaluator, function: Cell, items: Cell) -> Value:
    return all(nix.is_true(_lazily(each.offset, function, each)) for each in nix.items(items))


def _any(nix: Evaluator, function: Cell, items: Cell) -> Value:
    return any(nix.is_true(_lazily(each.offset, function, each)) for each in nix.items(items))


def _elem(nix: Evaluator, value: Cell, items: Cell) -> Value:
    return any(nix.same(value, each) for each in nix.items(items))


def _has_suffix(nix: Evaluator, suffix: Cell, text: Cell) -> Value:
    return _text(nix, text).endswith(_text(nix, suffix))


def _has_prefix(nix: Evaluator, prefix: Cell, text: Cell) -> Value:
    return _text(nix, text).startswith(_text(nix, prefix))


def _remove_suffix(nix: Evaluator, suffix: Cell, text: Cell) -> Value:
    return _text(nix, text).removesuffix(_text(nix, suffix))


def _replace_strings(nix: Evaluator, old: Cell, new: Cell, text: Cell) -> Value:
    replaced, by = _texts(nix, old), _texts(nix, new)
    if not all(replaced) or not replaced or len(replaced) != len(by):
        nix.fault("`replaceStrings` needs strings that are not empty, and as many replacements", old.offset)
    ways = dict(reversed([*zip(replaced, by, strict=True)]))  # of several that fit, the first, as in Nix
    pattern = "|".join(map(re.escape, replaced))
    return nix.counted(re.sub(pattern, lambda found: ways[found[0]], _text(nix, text)), text.offset)


def _substring(nix: Evaluator, start: Cell, length: Cell, text: Cell) -> Value:
    first, number = nix.known(start), nix.known(length)
    if type(first) is not int or type(number) is not int or first < 0:
        nix.fault("`substring` needs two whole numbers", start.offset)
    content = _text(nix, text).encode()[first : first + number if number >= 0 else None]  # Nix counts bytes
    try:
        return content.decode()
    except UnicodeDecodeError:
        hint = "cut at the end of a character: `substring` counts bytes"
        return nix.fault("the string is cut inside a character", text.offset, hint)


def _concat_lists(nix: Evaluator, lists: Cell) -> Value:
    return Items(tuple(each for items in nix.items(lists) for each in nix.items(items)))


def _concat_strings_sep(nix: Evaluator, separator: Cell, texts: Cell) -> Value:
    return nix.counted(_text(nix, separator).join(_texts(nix, texts)), texts.offset)


def _to_string(nix: Evaluator, value: Cell) -> Value:
    content = nix.known(value)
    if content is None or isinstance(content, bool):
        return "1" if content else ""
    if not isinstance(content, str | int) or isinstance(content, PathText):
        nix.beyond("`toString` of anything but a string or a whole number", value.offset, nix=True)
    return str(content)


def _has_attr(nix: Evaluator, name: Cell, table: Cell) -> Value:
    return _text(nix, name) in nix.cells(table)


def _is_function(nix: Evaluator, value: Cell) -> Value:
    return isinstance(nix.known(value), Lambda | Known | Priority)


def _gen_attrs(nix: Evaluator, names: Cell, function: Cell) -> Value:
    return Table({_text(nix, each): _lazily(each.offset, function, each) for each in nix.items(names)})


def _list_to_attrs(nix: Evaluator, items: Cell) -> Value:
    pairs = [nix.cells(each) for each in nix.items(items)]
    cells: dict[str, Cell] = {}
    for pair, item in zip(pairs, nix.items(items), strict=True):
        if not {"name", "value"} <= pair.keys():
            nix.fault("`listToAttrs` needs `name` and `value`", item.offset)
        cells.setdefault(_text(nix, pair["name"]), pair["value"])
    return Table(cells)


def _concat_map(nix: Evaluator, function: Cell, items: Cell) -> Value:
    lists = [nix.items(_lazily(each.offset, function, each)) for each in nix.items(items)]
    return Items(tuple(each for cells in lists for each in cells))


def _foldl(nix: Evaluator, function: Cell, start: Cell, items: Cell) -> Value:
    whole = start
    for each in nix.items(items):
        whole = _lazily(each.offset, function, whole, each)
        nix.force(whole)
    return nix.force(whole)


def _foldr(nix: Evaluator, function: Cell, start: Cell, items: Cell) -> Value:
    whole = start
    for each in reversed(nix.items(items)):
        whole = _lazily(each.offset, function, each, whole)
        nix.force(whole)
    return nix.force(whole)


def _update(nix: Evaluator, below: Cell, above: Cell) -> Value:
    """Merge two tables at every depth; values of `above` win."""
    nix.deeper(above.offset)
    cells = {**nix.cells(below), **nix.cells(above)}
    for name in nix.cells(below).keys() & nix.cells(above).keys():
        one, two = nix.cells(below)[name], cells[name]
        if isinstance(nix.force(one), Table) and isinstance(nix.force(two), Table):
            cells[name] = Cell(two.offset, value=_update(nix, one, two))
    nix.higher()
    return Table(cells)


def _optional(nix: Evaluator, condition: Cell, value: Cell) -> Value:
    return Items((value,) if nix.is_true(condition) else ())


def _optionals(nix: Evaluator, condition: Cell, items: Cell) -> Value:
    return Items(nix.items(items) if nix.is_true(condition) else ())


def _optional_attrs(nix: Evaluator, condition: Cell, table: Cell) -> Value:
    return Table(dict(nix.cells(table)) if nix.is_true(condition) else {})


def _pair(_: Evaluator, name: Cell, value: Cell) -> Value:
    return Table({"name": name, "value": value})


def _names(nix: Evaluator, table: Cell) -> Value:
    return Items(tuple(Cell(table.offset, value=name) for name in sorted(nix.cells(table))))


def _values(nix: Evaluator, table: Cell) -> Value:
    return Items(tuple(cell for _, cell in sorted(nix.cells(table).items())))


# By name: how many arguments it takes, and the function. Nix's own are in `builtins`, most of them in `lib` too.
BUILTINS: Final[Functions] = {
    "map": (2, _map),
    "mapAttrs": (2, _map_attrs),
    "filter": (2, _filter),
    "elem": (2, _elem),
    "all": (2, _all),
    "any": (2, _any),
    "concatLists": (1, _concat_lists),
    "concatStringsSep": (2, _concat_strings_sep),
    "replaceStrings": (3, _replace_strings),
    "substring": (3, _substring),
    "hasAttr": (2, _has_attr),
    "toString": (1, _to_string),
    "isFunction": (1, _is_function),
    "listToAttrs": (1, _list_to_attrs),
    "concatMap": (2, _concat_map),
    "foldl'": (3, _foldl),
    "attrNames": (1, _names),
    "attrValues": (1, _values),
}
LIB: Final[Functions] = {
    **BUILTINS,
    "hasPrefix": (2, _has_prefix),
    "hasSuffix": (2, _has_suffix),
    "removeSuffix": (2, _remove_suffix),
    "foldl": (3, _foldl),
    "foldr": (3, _foldr),
    "mapAttrsToList": (2, _map_attrs_to_list),
    "filterAttrs": (2, _filter_attrs),
    "genAttrs": (2, _gen_attrs),
    "nameValuePair": (2, _pair),
    "optional": (2, _optional),
    "optionals": (2, _optionals),
    "optionalAttrs": (2, _optional_attrs),
    "recursiveUpdate": (2, _update),
}
