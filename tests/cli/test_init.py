"""`rolecall init`: a project that its own check accepts, whatever its folder is called."""

from __future__ import annotations

import json
import os
import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


@pytest.mark.parametrize("name", ['q"x', "a\\b", "{name}", "ü 🎭", "'''"])
def test_the_inventory_is_sound_whatever_the_folder_is_called(run: Run, tmp_path: Path, name: str) -> None:
    assert run("init", name)[0] == 0
    read = tomllib.loads((tmp_path / name / "inventory.toml").read_text("utf-8"))
    assert read["meta"]["name"] == name
    assert run("-C", name, "check")[0] == 0


@pytest.mark.parametrize("name", ["a\nb", "a\x7f", "a\x1b[2J", os.fsdecode(b"a\xff")])
def test_a_name_that_cannot_be_shown(run: Run, tmp_path: Path, name: str) -> None:
    status, _, err = run("init", name)
    assert (status, "has unprintable characters" in err) == (1, True)
    assert not list(tmp_path.iterdir())


def test_twice(run: Run, tmp_path: Path) -> None:
    assert run("init", "x")[0] == 0
    before = (tmp_path / "x" / "inventory.toml").read_text()
    (tmp_path / "x" / "inventory.toml").write_text(before + "# mine\n")
    status, _, err = run("init", "x")
    assert (status, err.splitlines()[:2]) == (
        1,
        ["error: an inventory already exists", "  at x/inventory.toml"],
    )
    assert (tmp_path / "x" / "inventory.toml").read_text() == before + "# mine\n"


@pytest.mark.parametrize(
    ("folder", "told"),
    [("file", "/file is a file"), ("file/x", "Not a directory"), ("/proc/x", "No such file"), ("/sys/x", "")],
)
def test_where_there_can_be_no_project(run: Run, tmp_path: Path, folder: str, told: str) -> None:
    (tmp_path / "file").write_text("mine")
    status, out, err = run("init", folder)
    assert (status, out, told in err) == (1, "", True)
    assert err.startswith("error: ")
    assert (tmp_path / "file").read_text() == "mine"


def test_it_can_be_tried_again_when_it_failed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "identity").write_text("no key")
    assert run("init", "x")[0] == 1
    (tmp_path / "identity").unlink()
    assert run("init", "x", "--json")[0] == 0
    assert (tmp_path / "x" / ".gitignore").read_text() == ".rolecall/\n"


def test_a_user_whose_name_is_no_name_of_a_key(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "jon.doe@example.org")
    assert json.loads(run("init", "--json")[1])["identity"] == str(tmp_path / "identity")
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["jon_doe_example_org.pub"]
