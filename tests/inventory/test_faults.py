"""Bad inventory files, each against the exact faults that a person reads; faults.txt has the table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import FaultsOf, Load

TEXT = Path(__file__).with_name("faults.txt").read_text()
TABLE = re.findall(r"^=== (\w+)\.(\w+)\n(.*?)^---\n(.*?)\n(?==== |\Z)", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("notation", "text", "faults"),
    [pytest.param(notation, text, faults, id=f"{name}.{notation}") for name, notation, text, faults in TABLE],
)
def test_faults(notation: str, text: str, faults: str, faults_of: FaultsOf) -> None:
    assert faults_of(text, f"inventory.{notation}") == faults


def test_the_table_is_long() -> None:
    assert len({(notation, text) for _, notation, text, _ in TABLE}) >= 70  # tests/evaluate/faults.txt has more


def test_two_inventories(faults_of: FaultsOf) -> None:
    assert faults_of("", "inventory.toml", yaml="") == (
        "error: two inventory files: inventory.toml and inventory.yaml\n  at inventory.yaml\nhint: keep one of them"
    )


def test_faults_of_all_files_come_together(faults_of: FaultsOf) -> None:
    message = faults_of("[machines.jon]\ntagz = []\n", "inventory.toml", json="{")
    assert "inventory.toml:2:1 machines.jon.tagz" in message
    assert "inventory.json:1:2" in message


def test_the_users_value_wins_and_gives_the_place(loading: Load, faults_of: FaultsOf, tmp_path: Path) -> None:
    tools = '{"machines": {"jon": {"description": "b", "tags": ["x"]}, "sara": {}}}'
    (tmp_path / "machines" / "erik").mkdir(parents=True)
    loaded = loading('[machines.jon]\ndescription = "a"\n', "inventory.toml", json=tools)
    assert {name: (each.description, each.tags) for name, each in loaded.inventory.machines.items()} == {
        "jon": ("a", ["x"]),
        "sara": ("", []),
        "erik": ("", []),
    }
    assert "inventory.toml:2:1" in faults_of("[machines.jon]\ndescription = 1\n", "inventory.toml", json=tools)
    wrong = '{"machines": {"jon": {"platform": 1}}}'
    assert "inventory.json:1:23" in faults_of('[machines.jon]\ndescription = "a"\n', "inventory.toml", json=wrong)


def test_nix_values(loading: Load) -> None:
    settings = (
        loading(
            """{ lib, ... }: let v = "w"; s = { a = 1; }; in { instances.i.roles.r.settings = rec {
          force = lib.mkForce [ 1 ]; over = lib.mkOverride 5 2; after = lib.mkAfter [ ]; n = -1; f = (-1.5); p = ./x/y;
          none = null; t = "a${v}\\n$${b}\\${c}"; same = n; inherit (s) a; inherit v;
          lines = ''
            a
              ${v}
            '''q'' + 1; }; }""".replace("'' + 1", "''")
        )
        .inventory.instances["i"]
        .roles["r"]
        .settings
    )
    assert settings == {
        "force": {"_type": "override", "priority": 50, "content": [1]},
        "over": {"_type": "override", "priority": 5, "content": 2},
        "after": {"_type": "order", "priority": 1500, "content": []},
        "n": -1,
        "f": -1.5,
        "p": "./x/y",
        "none": None,
        "t": "aw\n$${b}${c}",
        "same": -1,
        "a": 1,
        "v": "w",
        "lines": "a\n  w\n''q",
    }
