"""Pydantic's errors of settings as faults, in the inventory's words and at its places."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from rolecall.errors import Fault, Where, dotted, listed, nearest
from rolecall.evaluate.kinds import kind_of
from rolecall.evaluate.merge import merge, place
from rolecall.evaluate.references import HINT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from rolecall.evaluate.kinds import Kind
    from rolecall.evaluate.layers import Layer
    from rolecall.evaluate.merge import Keys, Record
    from rolecall.service.contract import Role

# What was expected instead, by pydantic's kinds of errors and with their context (docs: "Validation Errors").
_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "a string of at least {min_length} characters",
    "string_too_long": "a string of at most {max_length} characters",
    "string_pattern_mismatch": "a string that matches {pattern}",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
}
_SHORT = 40  # characters of a value in a hint
_JUDGED = {"value_error", "assertion_error"}  # by code of the service
_TYPES = {"none_required", "literal_error", *(kind for kind in _EXPECTED if kind.endswith("_type"))}


_VERBS = ("is ", "are ", "has ", "have ", "must ", "cannot ", "does ", "contains ", "needs ")  # of a sentence about it


class _Mistake(NamedTuple):
    """One error, with its place in the merged settings.

    Attributes:
        keys: Key path.
        variant: Key path and label of the outermost union around it, where pydantic tried several types.
        detail: Pydantic's own record.
    """

    keys: Keys
    variant: tuple[Keys, str] | None
    detail: ErrorDetails


class Lack(NamedTuple):
    """A required setting that no layer gives.

    Attributes:
        setting: Its key path, as it is written.
        hint: Its description.
        places: By member's machine: the key path below the role where it could be set.
    """

    setting: str
    hint: str
    places: Mapping[str, Keys]


def lacks_together(found: Iterable[Fault | Lack], where: Where) -> Iterator[Fault]:
    """Yield the faults of a role, with one fault for each required setting that members lack."""
    found = list(found)
    lacking: dict[str, list[Lack]] = {}
    for each in found:
        if isinstance(each, Lack):
            lacking.setdefault(each.setting, []).append(each)
    for each in found:
        if isinstance(each, Fault):
            yield each
        elif lacks := lacking.pop(each.setting, None):
            places = {machine: keys for lack in lacks for machine, keys in lack.places.items()}
            several = set(places.values())
            at = Where(keys=(*where.keys, *(() if len(several) > 1 else several.pop())))
            verb = "lacks" if len(places) == 1 else "lack"
            owner = dotted(where.keys[1::2])
            yield Fault(f"{listed(sorted(places))} {verb} the setting {each.setting!r} of {owner}", at, each.hint)


def setting_faults(
    error: ValidationError,
    role: Role[Any],
    layers: Sequence[Layer],
    where: Where,
    members: Mapping[str, tuple[str, ...]],
) -> Iterator[Fault | Lack]:
    """Yield a fault per mistake, placed in the most specific layer that sets it, and what is lacking.

    Args:
        error: Pydantic's error.
        role: Whose settings they are.
        layers: What was merged; it is merged again, to find where each value comes from.
        where: The role.
        members: Where each machine's membership stands below the role: the place of what no layer sets. Without any,
            these are not all layers: missing settings are not faults, nor are errors of whole tables.
    """
    kind = kind_of(role)
    record: Record = {}
    merged = merge(layers, [], kind, record)
    mistakes = [_mistake(detail, merged, kind) for detail in error.errors(include_url=False)]
    for group in _groups(mistakes):
        keys, _, detail = group[0]
        lacking = detail["type"] in {"missing", "union_tag_not_found"}
        if not members and (lacking or (detail["type"] in _JUDGED and isinstance(detail["input"], dict))):
            continue
        present = keys[:-1] if lacking else keys
        at = place(record, present) if present else None
        name, hint = dotted(_as_written(keys, record)), _hint(detail, keys, kind)
        if lacking:
            yield Lack(name, hint, {machine: at or via for machine, via in members.items()})
        else:
            at = at or next(iter(members.values()), ())
            yield Fault(_message(group, name, role, kind), Where(keys=(*where.keys, *at)), hint)


def _mistake(detail: ErrorDetails, merged: object, kind: Kind) -> _Mistake:
    """Return an error with its path, without the names of types that pydantic adds to it."""
    keys: list[str | int] = []
    variant = None
    for key in detail["loc"]:
        inside: Any = (
            merged if isinstance(merged, dict) else dict(enumerate(merged)) if isinstance(merged, list) else {}
        )
        if key in inside:
            merged = inside[key]
        elif detail["type"] != "missing" or key != detail["loc"][-1]:
            variant = variant or (tuple(keys), str(key))
            continue
        keys.append(key)
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        keys.append(kind.at(keys).tag or "")
    return _Mistake(tuple(keys), variant, detail)


def _groups(mistakes: Sequence[_Mistake]) -> Iterable[list[_Mistake]]:
    """Yield the mistakes of each fault: of a union, those of the nearest variant, or of all when no type matches."""
    unions: dict[Keys, dict[str, list[_Mistake]]] = {}
    for mistake in mistakes:
        if mistake.variant:
            at, label = mistake.variant
            unions.setdefault(at, {}).setdefault(label, []).append(mistake)
    for mistake in mistakes:
        if not mistake.variant:
            yield [mistake]
        elif variants := unions.pop(mistake.variant[0], None):
            at = mistake.variant[0]
            if near := [found for found in variants.values() if any(not _is_other(each, at) for each in found)]:
                yield from ([each] for each in min(near, key=len))
            else:
                yield [each for found in variants.values() for each in found]


def _is_other(mistake: _Mistake, at: Keys) -> bool:
    """Return whether the value at a place is of another type altogether."""
    return mistake.keys == at and mistake.detail["type"] in _TYPES


def _as_written(keys: Keys, record: Record) -> Keys:
    """Return the path as its layer has it: in a joined list, each layer counts from 0."""
    written = []
    for depth, key in enumerate(keys, 1):
        resolution = record.get(keys[:depth])
        own = resolution.decisive.keys if resolution else ()
        written.append(next((k for k in reversed(own) if isinstance(k, int)), key) if isinstance(key, int) else key)
    return tuple(written)


def _message(group: Sequence[_Mistake], name: str, role: Role[Any], kind: Kind) -> str:
    keys, _, detail = group[0]
    if detail["type"] == "extra_forbidden":
        return f"the role {role.name!r} of {role.service.name} has no setting {name!r}"
    expected = [_expected(mistake.detail) for mistake in group]
    if all(expected):
        if detail["type"] in {"too_short", "too_long"}:
            return f"{name} must have {expected[0]}, not {len(detail['input'])}"
        value = detail["input"][keys[-1]] if detail["type"] == "union_tag_invalid" else detail["input"]
        found = _found(value, hidden=kind.at(keys).secretive)
        return f"{name} must be {' or '.join(dict.fromkeys(expected))}, not {found}"
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{name} {text}" if text.startswith(_VERBS) else f"{name}: {text}"


def _expected(detail: ErrorDetails) -> str:
    """Return what was expected, or ""."""
    context = detail.get("ctx", {})
    if detail["type"] == "union_tag_invalid":
        return " or ".join(context["expected_tags"].split(", "))
    return _EXPECTED.get(detail["type"], "").format_map(context)


def _found(value: object, *, hidden: bool) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a string" if hidden else f"the string {value[:40]!r}"
        case int() | float():
            return "a number" if hidden else f"the number {value}"
        case list():
            return "a list"
        case _:
            return "a table"


def _hint(detail: ErrorDetails, keys: Keys, kind: Kind) -> str:
    around = kind.at(keys[:-1])
    hint = ""
    match detail["type"]:
        case "extra_forbidden" if keys:
            hint = nearest(str(keys[-1]), around.fields_beside(str(keys[-1])), what="settings")
        case "missing" if keys and keys[-1] in around.fields:
            hint = around.fields[str(keys[-1])].description or ""
        case "union_tag_not_found":
            choices = (repr(choice) for option in kind.at(keys).options for choice in get_args(option))
            hint = f"set it to {' or '.join(choices)}"
        case "literal_error" | "enum" | "union_tag_invalid":
            found = detail["ctx"].get("tag", detail["input"])
            close = get_close_matches(str(found), re.findall("'([^']*)'", _expected(detail)), n=1)
            hint = f"did you mean {close[0]!r}?" if close else ""
        case "secret_ref":
            hint = HINT
        case _ if detail["input"] is None:
            hint = "this setting cannot be null; remove the key to keep its default"
        case "list_type" | "set_type" | "frozen_set_type" if not kind.at(keys).secretive:
            item = json.dumps(detail["input"], ensure_ascii=False) if isinstance(detail["input"], str | int) else ""
            hint = f"write it as a list: `[{item}]`" if item and len(item) < _SHORT else ""
    return hint
