from __future__ import annotations

import pytest
from pydantic import ValidationError

from rolecall.service import AbsolutePath, CalendarEvent, Settings


class Example(Settings):
    path: AbsolutePath = AbsolutePath("/srv")
    start_at: CalendarEvent = "daily"


@pytest.mark.parametrize(
    "path", ["/", "/srv", "/srv/a b", "/srv/ü", "/srv/...", "/srv/-rf", "/srv/%h;x", "/" + "a" * 255]
)
def test_absolute_paths(path: str) -> None:
    assert Example.model_validate({"path": path}).path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "srv",
        "./srv",
        "//",
        "/srv/",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/..",
        "/a\nb",
        "/a\0",
        "/a\x7f",
        "/" + "a" * 256,
        5,
    ],
)
def test_no_absolute_paths(path: object) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate({"path": path})


def test_below_a_path_stands_nothing_else() -> None:
    assert AbsolutePath("/srv") / "a" / "b" == "/srv/a/b"
    assert AbsolutePath("/") / "a" == "/a"
    for name in ("..", "a/../b", "", "/a", "a\n"):
        with pytest.raises(ValueError, match="path"):
            AbsolutePath("/srv") / name


@pytest.mark.parametrize("text", ["", "noon", "daily\n", "daily\nX=1", "12:00 %h", "daily;x", 5, None])
def test_no_calendar_events(text: object) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate({"startAt": text})


def test_settings_are_dumped_as_the_inventory_writes_them() -> None:
    assert Example().model_dump(mode="json", by_alias=True) == {"path": "/srv", "startAt": "daily"}
    assert Example.model_json_schema()["properties"]["path"]["type"] == "string"
