"""The functions of Nix and of nixpkgs' lib that inventories use and that always come to an end.

They take what is said and put it in another order; nothing is looked up, and what they call is counted (`Reader.call`).
"""

from __future__ import annotations

import re
from collections import ChainMap
from typing import TYPE_CHECKING, Final

from rolecall.inventory.notations import nix_syntax as syntax
from rolecall.inventory.notations.nix_values import Cell, Items, Known, Lambda, PathText, Priority, Table

if TYPE_CHECKING:
    from rolecall.inventory.notations.nix_values import Functions, Reader, Value


def _lazily(offset: int, function: Cell, *arguments: Cell) -> Cell:
    """The value of a function, which is called when somebody asks for it."""
    tree: syntax.Expression = syntax.Variable(offset, "f")
    names = {"f": function}
    for number, argument in enumerate(arguments):
        names[f"a{number}"] = argument
        tree = syntax.Apply(offset, tree, syntax.Variable(offset, f"a{number}"))
    return Cell(offset, tree, ChainMap(names))


def _text(reader: Reader, cell: Cell) -> str:
    value = reader.force(cell)
    if not isinstance(value, str):
        reader.fault("expected a text here", cell.offset)
    return value


def _texts(reader: Reader, items: Cell) -> list[str]:
    return [_text(reader, each) for each in reader.items(items)]


def _map(reader: Reader, function: Cell, items: Cell) -> Value:
    return Items(tuple(_lazily(each.offset, function, each) for each in reader.items(items)))


def _map_attrs(reader: Reader, function: Cell, table: Cell) -> Value:
    cells = reader.cells(table).items()
    return Table({name: _lazily(each.offset, function, Cell(each.offset, value=name), each) for name, each in cells})


def _map_attrs_to_list(reader: Reader, function: Cell, table: Cell) -> Value:
    cells = sorted(reader.cells(table).items())
    return Items(tuple(_lazily(each.offset, function, Cell(each.offset, value=name), each) for name, each in cells))


def _filter(reader: Reader, function: Cell, items: Cell) -> Value:
    return Items(tuple(each for each in reader.items(items) if reader.is_true(_lazily(each.offset, function, each))))


def _filter_attrs(reader: Reader, function: Cell, table: Cell) -> Value:
    cells = reader.cells(table)
    asked = {name: _lazily(each.offset, function, Cell(each.offset, value=name), each) for name, each in cells.items()}
    return Table({name: each for name, each in cells.items() if reader.is_true(asked[name])})


def _all(reader: Reader, function: Cell, items: Cell) -> Value:
    return all(reader.is_true(_lazily(each.offset, function, each)) for each in reader.items(items))


def _any(reader: Reader, function: Cell, items: Cell) -> Value:
    return any(reader.is_true(_lazily(each.offset, function, each)) for each in reader.items(items))


def _elem(reader: Reader, value: Cell, items: Cell) -> Value:
    return any(reader.same(value, each) for each in reader.items(items))


def _has_suffix(reader: Reader, suffix: Cell, text: Cell) -> Value:
    return _text(reader, text).endswith(_text(reader, suffix))


def _has_prefix(reader: Reader, prefix: Cell, text: Cell) -> Value:
    return _text(reader, text).startswith(_text(reader, prefix))


def _remove_suffix(reader: Reader, suffix: Cell, text: Cell) -> Value:
    return _text(reader, text).removesuffix(_text(reader, suffix))


def _replace_strings(reader: Reader, old: Cell, new: Cell, text: Cell) -> Value:
    replaced, by = _texts(reader, old), _texts(reader, new)
    if not all(replaced) or not replaced or len(replaced) != len(by):
        reader.fault("`replaceStrings` needs texts that are not empty, and as many replacements", old.offset)
    ways = dict(reversed([*zip(replaced, by, strict=True)]))  # of several that fit, the first, as in Nix
    pattern = "|".join(map(re.escape, replaced))
    return reader.counted(re.sub(pattern, lambda found: ways[found[0]], _text(reader, text)), text.offset)


def _substring(reader: Reader, start: Cell, length: Cell, text: Cell) -> Value:
    first, number = reader.known(start), reader.known(length)
    if type(first) is not int or type(number) is not int or first < 0:
        reader.fault("`substring` needs two whole numbers", start.offset)
    content = _text(reader, text).encode()[first : first + number if number >= 0 else None]  # Nix counts bytes
    try:
        return content.decode()
    except UnicodeDecodeError:
        hint = "cut at the end of a character: `substring` counts bytes"
        return reader.fault("the text is cut inside a character", text.offset, hint)


def _concat_lists(reader: Reader, lists: Cell) -> Value:
    return Items(tuple(each for items in reader.items(lists) for each in reader.items(items)))


def _concat_strings_sep(reader: Reader, separator: Cell, texts: Cell) -> Value:
    return reader.counted(_text(reader, separator).join(_texts(reader, texts)), texts.offset)


def _to_string(reader: Reader, value: Cell) -> Value:
    found = reader.known(value)
    if found is None or isinstance(found, bool):
        return "1" if found else ""
    if not isinstance(found, str | int) or isinstance(found, PathText):
        reader.beyond("`toString` of anything but a text or a whole number", value.offset, nix=True)
    return str(found)


def _has_attr(reader: Reader, name: Cell, table: Cell) -> Value:
    return _text(reader, name) in reader.cells(table)


def _is_function(reader: Reader, value: Cell) -> Value:
    return isinstance(reader.known(value), Lambda | Known | Priority)


def _gen_attrs(reader: Reader, names: Cell, function: Cell) -> Value:
    return Table({_text(reader, each): _lazily(each.offset, function, each) for each in reader.items(names)})


def _list_to_attrs(reader: Reader, items: Cell) -> Value:
    pairs = [reader.cells(each) for each in reader.items(items)]
    found: dict[str, Cell] = {}
    for pair, item in zip(pairs, reader.items(items), strict=True):
        if not {"name", "value"} <= pair.keys():
            reader.fault("`listToAttrs` needs `name` and `value`", item.offset)
        found.setdefault(_text(reader, pair["name"]), pair["value"])
    return Table(found)


def _concat_map(reader: Reader, function: Cell, items: Cell) -> Value:
    lists = [reader.items(_lazily(each.offset, function, each)) for each in reader.items(items)]
    return Items(tuple(each for cells in lists for each in cells))


def _foldl(reader: Reader, function: Cell, start: Cell, items: Cell) -> Value:
    whole = start
    for each in reader.items(items):
        whole = _lazily(each.offset, function, whole, each)
        reader.force(whole)
    return reader.force(whole)


def _foldr(reader: Reader, function: Cell, start: Cell, items: Cell) -> Value:
    whole = start
    for each in reversed(reader.items(items)):
        whole = _lazily(each.offset, function, each, whole)
        reader.force(whole)
    return reader.force(whole)


def _update(reader: Reader, below: Cell, above: Cell) -> Value:
    """Two tables as one, at every depth; what stands above wins."""
    reader.deeper(above.offset)
    cells = {**reader.cells(below), **reader.cells(above)}
    for name in reader.cells(below).keys() & reader.cells(above).keys():
        one, two = reader.cells(below)[name], cells[name]
        if isinstance(reader.force(one), Table) and isinstance(reader.force(two), Table):
            cells[name] = Cell(two.offset, value=_update(reader, one, two))
    reader.higher()
    return Table(cells)


def _optional(reader: Reader, condition: Cell, value: Cell) -> Value:
    return Items((value,) if reader.is_true(condition) else ())


def _optionals(reader: Reader, condition: Cell, items: Cell) -> Value:
    return Items(reader.items(items) if reader.is_true(condition) else ())


def _optional_attrs(reader: Reader, condition: Cell, table: Cell) -> Value:
    return Table(dict(reader.cells(table)) if reader.is_true(condition) else {})


def _pair(_: Reader, name: Cell, value: Cell) -> Value:
    return Table({"name": name, "value": value})


def _names(reader: Reader, table: Cell) -> Value:
    return Items(tuple(Cell(table.offset, value=name) for name in sorted(reader.cells(table))))


def _values(reader: Reader, table: Cell) -> Value:
    return Items(tuple(cell for _, cell in sorted(reader.cells(table).items())))


# By name: how many arguments it takes, and what it gives. Nix's own stand in `builtins`, most of them in `lib` too.
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
