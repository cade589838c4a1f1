"""The same data means the same in every notation, and no input does anything but load or fault."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notated import STARTS, Data, as_nix, as_toml, as_yaml, inventories, top

from rolecall.errors import Faults
from rolecall.inventory import load
from rolecall.inventory.files import read
from rolecall.inventory.locate import written
from rolecall.inventory.notations import trees
from rolecall.inventory.notations.nix_parser import parse
from rolecall.project import Project

if TYPE_CHECKING:
    from conftest import FaultsOf


@given(inventories())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_every_notation_means_the_same(data: Data) -> None:
    written_as = {
        "json": json.dumps(data),
        "toml": top(as_toml, data),
        "nix": as_nix(data),
        "yaml": as_yaml(data),
        "py": f"inventory = {data!r}",
    }
    with tempfile.TemporaryDirectory() as folder:
        for notation, text in written_as.items():
            file = Path(folder) / f"inventory.{notation}"
            file.write_text(text, newline="")
            assert read(file).data == data, notation
            known = written(file)
            for keys in key_paths(data):
                assert keys in known or notation == "py", (notation, keys)


def key_paths(data: object, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(data, dict):
        return [path for key, each in data.items() for path in ((*above, key), *key_paths(each, (*above, key)))]
    return []


def only_faults(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        try:
            load(Project(Path(folder)))
        except Faults as faults:
            for each in str(faults).split("\n"):
                assert each.isprintable(), each


FILES = [f"inventory.{suffix}" for suffix in ("toml", "yaml", "json", "nix")]
SIGNS = [*list("{}[]()=;:,.\"'$\\#/*&!|>-+?@<%~\n\t \x00é\x1b😀")]
SIGNS += ["''", "${", "let ", " in ", "rec ", "inherit ", "lib.mkForce "]


@given(st.sampled_from(FILES), st.binary(max_size=60))
def test_random_bytes_only_fault(name: str, content: bytes) -> None:
    only_faults(name, content)


@given(st.sampled_from(FILES), st.sampled_from(STARTS), st.data())
def test_mutated_documents_only_fault(name: str, text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 8)))
        text = text[:start] + data.draw(st.sampled_from([*SIGNS, ""])) + text[end:]
    only_faults(name, text.encode())


@pytest.mark.parametrize("name", [*FILES, "inventory.py"])
@pytest.mark.parametrize("sign", ["[", '{"a":', "{a=", "(", '"${', "''${", "- ", "a.", "!"])
def test_a_hundred_thousand_levels_end_in_a_fault(name: str, sign: str) -> None:
    start = "inventory = " if name in {"inventory.toml", "inventory.py"} else ""
    only_faults(name, (start + sign * 100_000).encode())


@given(st.sampled_from(STARTS), st.data())
def test_nothing_is_read_that_the_public_grammar_refuses(text: str, data: st.DataObject) -> None:
    """The reverse is not so: tree-sitter-nix takes reserved words for names, where Nix itself refuses them."""
    start = data.draw(st.integers(0, len(text)))
    text = text[:start] + data.draw(st.sampled_from([*SIGNS, ""]).filter(lambda sign: sign != "\0")) + text[start + 1 :]
    try:
        parse(text)
    except Faults:
        return
    # An `inherit` of nothing is one to Nix itself, and none to that grammar.
    assert not trees.parse("nix", text).has_error or re.search(r"inherit\s*(\([^()]*\)\s*)?;", text)


BOMBS = {
    "inventory.nix": "let a0 = { x = 1; };\n%s in { tags = a40; }",
    "inventory.yaml": "tags:\n - &a0 {x: 1}\n%s",
    "inventory.py": "a0 = {'x': 1}\n%sinventory = {'tags': a40}",
}
DOUBLE = {
    "inventory.nix": "a{1} = {{ p = a{0}; q = a{0}; }};\n",
    "inventory.yaml": " - &a{1} {{p: *a{0}, q: *a{0}}}\n",
    "inventory.py": "a{1} = {{'p': a{0}, 'q': a{0}}}\n",
}


@pytest.mark.slow  # seconds go by until five million values are counted
@pytest.mark.parametrize("name", BOMBS)
def test_what_doubles_itself_forty_times_ends_in_a_fault(name: str, faults_of: FaultsOf) -> None:
    doubled = "".join(DOUBLE[name].format(number, number + 1) for number in range(40))
    assert faults_of(BOMBS[name] % doubled, name) == (
        f"error: more than 5,000,000 values\n  at {name}\nhint: check for references that multiply each other"
    )


# One inventory, its faults at the same key paths; what stands at each path is a line and a column of its own.
PLACED = {
    "inventory.toml": """\
[machines.jon]
tags = ["a", 5]
description = 1
[instances.b.roles.c.machines.tom]
[instances.b.roles.c]
settings = 3
""",
    "inventory.yaml": """\
machines:
  jon:
    tags: [a,
      5]
    "description": 1
instances: {b: {roles: {c: {machines: {tom: {}},
  settings: 3}}}}
""",
    "inventory.yml": """\
machines:
  jon:
    <<: [&common {tags: [a, 5]}, {tags: []}]
    description: &one 1
instances:
  b:
    roles:
      c:
        machines: {tom: {}}
        settings: 3
""",
    "inventory.json": """\
{
  "machines": {"jon": {"tags": ["a", 5],
    "description": 1}},
  "instances": {"b": {"roles": {"c":
    {"machines": {"tom": {}}, "settings": 3}}}}
}
""",
    "inventory.nix": """\
{ lib, ... }:
let five = [ "a" 5 ]; in {
  machines.jon = { tags = five;
    description = 1; };
  instances.b.roles.c = {
    machines.tom = { }; settings = 3; };
}
""",
    "flake.nix": """\
{
  inputs.a.url = "b";
  outputs = { self, a }: a.lib.clan {
    inventory = rec {
      machines."jon".tags = [ "a" 5 ];
      machines.jon.description = 1;
      instances.b.roles.c.machines.tom = { };
      instances.b.roles.c.settings = 3;
    };
  };
}
""",
    "inventory.py": """\
jon = {"tags": ["a", 5],
       "description": 1}
inventory = {"machines": {"jon": jon},
  "instances": {"b": {"roles": {"c": {
    "machines": {"tom": {}}, "settings": 3}}}}}
""",
}
PLACES = {
    "inventory.toml": ("3:1", "2:14", "6:1"),
    "inventory.yaml": ("5:5", "4:7", "7:3"),
    "inventory.yml": ("4:5", "3:29", "10:9"),
    "inventory.json": ("3:5", "2:38", "5:31"),
    "inventory.nix": ("4:5", "2:18", "6:25"),
    "flake.nix": ("6:20", "5:35", "8:27"),
    "inventory.py": ("2:8", "1:22", "5:30"),
}
PATHS = ("machines.jon.description", "machines.jon.tags[1]", "instances.b.roles.c.settings")


@pytest.mark.parametrize("name", PLACED)
def test_faults_have_line_and_column(name: str, faults_of: FaultsOf) -> None:
    found = re.findall(r"^  at (\S+?):(\d+:\d+) (\S+)$", faults_of(PLACED[name], name), re.MULTILINE)
    assert {path: place for file, place, path in found if file == name} == dict(zip(PATHS, PLACES[name], strict=True))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12", 12), ("+12", 12), ("012", 12), ("0o14", 12), ("0x1F", 31), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0),
        ("TRUE", True), ("~", None),
        *((text, text) for text in ("1_000", "0_1", "0b101", "1.5_0", "0x_1", "-0x1", "1:30", "2001-01-01", "no", "=")),
    ],
)  # fmt: skip
def test_plain_values_of_yaml_are_those_of_its_core_schema(written: str, value: object, tmp_path: Path) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text(f"meta: {{name: {written}}}\n")
    found = read(file).data["meta"]["name"]
    assert (found, type(found)) == (value, type(value))


def test_a_quoted_merge_key_is_a_key_as_any_other(tmp_path: Path) -> None:
    text = 'meta:\n  name: x\n  "<<": 5\nbase: &base {a: 1}\nmore:\n  <<: *base\n'
    (tmp_path / "inventory.yaml").write_text(text)
    positions = set(written(tmp_path / "inventory.yaml"))
    assert ("meta", "<<") in positions
    assert ("more", "<<") not in positions
    assert ("more", "a") in positions
