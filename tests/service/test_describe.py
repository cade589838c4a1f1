"""A service in words."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from rolecall.service import (
    AbsolutePath,
    CalendarEvent,
    FreeForm,
    HostAddress,
    NoSettings,
    Passphrase,
    Service,
    Settings,
    lines,
    replace,
    unique,
)
from rolecall.service.describe import entries, machines, schema, traits


class Peer(Settings):
    host_name: str = Field(description="Where it is.")
    port: int = 22


class Tree(Settings):
    name: str = ""
    below: list[Tree] = Field([])
    best: Tree | None = None


def told(annotation: object, default: object = ...) -> list[tuple[str, str]]:
    namespace = {"__annotations__": {"it": annotation}} | ({} if default is ... else {"it": default})
    model = type("Model", (Settings,), namespace)
    return [(entry.name, entry.summary) for entry in entries(model)]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (str, "string"),
        (bool, "true or false"),
        (float, "number"),
        (Annotated[int, Field(ge=1, le=65535)], "whole number 1 to 65535"),
        (Annotated[int, Field(ge=1)], "whole number at least 1"),
        (Annotated[int, Field(gt=0, lt=9)], "whole number above 0 below 9"),
        (Annotated[str, Field(pattern="^a")], "string matching ^a"),
        (Annotated[str, Field(min_length=1, max_length=3)], "string, length 1 to 3"),
        (AbsolutePath, "absolute path"),
        (CalendarEvent, "calendar event"),
        (HostAddress, "host address"),
        (Annotated[list[str], unique], "list of strings, each item once"),
        (Annotated[list[str], replace] | None, "list of strings, replaced as a whole or null"),
        (Annotated[str, lines], "string, joined line by line"),
        (int | None, "whole number or null"),
        (int | bool | None, "whole number, true or false or null"),
        (Literal["a", "b", 1], '"a", "b" or 1'),
        (Literal["a"], '"a"'),
        (list[str], "list of strings"),
        (list[AbsolutePath], "list of absolute paths"),
        (list[Any], "list"),
        (list[list[int]], "list of list of whole numbers"),
        (list[int | str], "list of whole number or string"),
        (Annotated[list[str], Field(min_length=1)], "list of strings, length at least 1"),
        (tuple[int, str], "list of whole number, string, length exactly 2"),
        (dict[str, int], "table of whole numbers"),
        (dict[str, Any], "table"),
        (Any, "anything"),
        (re.Pattern[str], "regex"),
        (type, "anything"),
    ],
)
def test_types(annotation: object, words: str) -> None:
    assert told(annotation) == [("it", f"{words}; required")]


PEER = [("hostName", "string; required"), ("port", "whole number; default 22")]


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (str, "ü", [("it", 'string; default "ü"')]),
        (Peer, ..., [("it", "table; required"), *((f"it.{name}", words) for name, words in PEER)]),
        (
            Peer,
            Peer(host_name="h", port=23),
            [("it", "table"), ("it.hostName", 'string; default "h"'), ("it.port", "whole number; default 23")],
        ),
        (Peer | None, None, [("it", "table or null; default null"), *((f"it.{name}", words) for name, words in PEER)]),
        (list[Peer], [], [("it", "list of tables; default []"), *((f"it[].{name}", words) for name, words in PEER)]),
        (
            dict[str, Peer],
            {},
            [("it", "table of tables; default {}"), *((f"it.NAME.{name}", words) for name, words in PEER)],
        ),
        (re.Pattern[str], object(), [("it", "regex")]),
    ],
)
def test_defaults_and_tables(annotation: object, default: object, expected: list[tuple[str, str]]) -> None:
    assert told(annotation, default) == expected


class Open(Settings, extra="allow"):
    word: str = ""


class OpenTo(Settings, extra="allow"):
    __pydantic_extra__: dict[str, Peer] = Field(init=False)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (FreeForm, [("it", "table of anything; required")]),
        (list[FreeForm], [("it", "list of table of anything; required")]),
        (Open, [("it", "table; required"), ("it.word", 'string; default ""'), ("it.NAME", "anything")]),
        (
            OpenTo,
            [("it", "table; required"), ("it.NAME", "table"), *((f"it.NAME.{name}", words) for name, words in PEER)],
        ),
    ],
)
def test_tables_with_keys_of_any_name(annotation: object, expected: list[tuple[str, str]]) -> None:
    assert told(annotation) == expected
    assert [entry.name for entry in entries(Open)] == ["word", "NAME"]


def test_a_model_that_contains_itself_ends() -> None:
    assert [(entry.name, entry.type) for entry in entries(Tree)] == [
        ("name", "string"),
        ("below", "list of tables"),
        ("best", "table or null"),
    ]


def test_descriptions() -> None:
    assert [entry.description for entry in entries(Peer)] == ["Where it is.", ""]
    assert schema(NoSettings)["additionalProperties"] is False


@pytest.mark.parametrize(
    ("minimum", "maximum", "words"),
    [
        (0, None, "any number of machines"),
        (1, None, "at least 1 machine"),
        (0, 2, "at most 2 machines"),
        (1, 1, "exactly 1 machine"),
        (1, 3, "1 to 3 machines"),
    ],
)
def test_machines(minimum: int, maximum: int | None, words: str) -> None:
    role = Service("s", description="").role("r", description="", minimum=minimum, maximum=maximum)
    assert machines(role) == words


def test_what_is_special_about_a_var() -> None:
    role = Service("x", description="X.").role("r", description="R.")
    assert traits(role.var("plain", Passphrase())) == []
    assert traits(role.var("one", Passphrase(), scope="shared", accepted=True, binds="much is lost")) == [
        "one for all members",
        "rotated without a gap",
        "kept unless forced: much is lost",
    ]
    assert traits(role.var("host", Passphrase(), scope="machine")) == ["one per machine, for all instances"]
