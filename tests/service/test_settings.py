from __future__ import annotations

import pytest
from pydantic import ValidationError

from rolecall.service import AbsolutePath, CalendarEvent, HostAddress, Settings


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


class Server(Settings):
    address: HostAddress | None = None


@pytest.mark.parametrize(
    "address", ["store", "Backup.Home.example", "my_box", "10.0.0.1", "fe80::1", "FD00:77::13", "a" * 63, "1.example"]
)
def test_host_addresses(address: str) -> None:
    assert Server.model_validate({"address": address}).address == address


@pytest.mark.parametrize(
    "address",
    [
        *("", "-oProxyCommand=x", "a b", "a\n", "a/b", "user@host", "a,b", "#a", "store:22", "[::1]", "fe80::1%eth0"),
        *("a..b", ".a", "a.", "a-", "ü.example", "1::2::3", "a" * 64, ".".join(["a" * 60] * 5), "*", 5),
    ],
)
def test_what_is_not_a_host_address(address: object) -> None:
    with pytest.raises(ValidationError):
        Server.model_validate({"address": address})
