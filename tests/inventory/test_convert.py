"""An inventory in another notation means the same and keeps its comments."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notated import Data, commented, snippets

from rolecall.errors import Faults
from rolecall.inventory.comments import Comments, comments
from rolecall.inventory.convert import convert
from rolecall.inventory.files import read
from rolecall.inventory.notation import NOTATIONS
from rolecall.inventory.printing import printed
from rolecall.project import Project

WITH_COMMENTS = [notation for notation in NOTATIONS if notation != "json"]


def as_lines(found: Comments) -> list[str]:
    lines = [line for group in (*found.above.values(), found.end) for line in group if line]
    return sorted([*lines, *(part for group in found.behind.values() for line in group for part in line.split("; "))])


@given(commented(), st.sampled_from(WITH_COMMENTS), st.sampled_from(WITH_COMMENTS))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_conversion_keeps_data_and_comments(case: tuple[Data, Comments], one: str, other: str) -> None:
    data, remarks = case
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"inventory{NOTATIONS[one].suffixes[0]}"
        file.write_text(printed(one, data, remarks), newline="")
        assert as_lines(comments(file, ())) == as_lines(remarks)
        text, warnings = convert(Project(Path(folder)), other)
        file.unlink()
        file = Path(folder) / f"inventory{NOTATIONS[other].suffixes[0]}"
        file.write_text(text, newline="")
        assert read(file).data == data
        assert as_lines(comments(file, ())) == as_lines(remarks)
        assert warnings == ()
        assert convert(Project(Path(folder)), other) == (text, ())  # there is nothing left to change


ALL = """\
# About all

machines:  # of the house
  jon:
    # Where he works
    tags: [&work office, "two words"]  # two
    description: |
      One
      two
  sara: {tags: [*work], installedAt: 5}
instances:
  backup:
    roles:
      client:
        settings:
          # long
          list:
            - first  # one
            # two
            - {a: 1, b: [c]}
          number: -1.5e-7
          "": null
# Last
"""
AS_NIX = """\
{
  # About all

  machines = {  # of the house
    jon = {
      # Where he works
      tags = [ "office" "two words" ];  # two
      description = "One\\ntwo\\n";
    };
    sara = {
      tags = [ "office" ];
      installedAt = 5;
    };
  };
  instances.backup.roles.client.settings = {
    # long
    list = [
      "first"  # one
      # two
      { a = 1; b = [ "c" ]; }
    ];
    number = (-1.5e-07);
    "" = null;
  };
}

# Last
"""


def converted(tmp_path: Path, text: str, to: str, name: str = "inventory.yaml", **more: Any) -> tuple[str, str]:  # noqa: ANN401
    (tmp_path / name).write_text(text)
    written, warnings = convert(Project(tmp_path, **more), to)
    return written, "\n".join(map(str, warnings)).replace(f"{tmp_path}/", "")


def test_places_of_comments(tmp_path: Path) -> None:
    assert converted(tmp_path, ALL, "nix") == (
        AS_NIX,
        (
            "warning: computed values are written as plain values\n"
            "  at inventory.yaml\n"
            "hint: check the result: it has no names, references and functions"
        ),
    )


def test_toml_has_no_null(tmp_path: Path) -> None:
    with pytest.raises(Faults) as caught:
        converted(tmp_path, ALL, "toml")
    assert str(caught.value).replace(f"{tmp_path}/", "") == (
        "error: TOML has no null\n"
        '  at inventory.yaml:22:11 instances.backup.roles.client.settings.""\n'
        "hint: remove the key; if null is to override another value, choose another notation"
    )


def test_toml_has_no_keys_without_a_value(tmp_path: Path) -> None:
    text = "machines:\n  store:\n  jon: # he\n    # none\n    tags: # yet\n    description: x\n    deploy: ~\n"
    toml, warnings = converted(tmp_path, text, "toml")
    assert toml == '[machines.store]\n\n[machines.jon]  # he\ndescription = "x"\n'
    assert warnings == (
        "warning: the comment at machines.jon.tags is left out: TOML has no key without a value\n"
        "  at inventory.yaml\n"
        "hint: move the comment, then remove the key"
    )
    yaml, warnings = converted(tmp_path, text, "yaml")
    assert yaml.splitlines()[2:5] == ["  jon:  # he", "    # none", "    tags: null  # yet"]
    assert warnings == ""
    text = "instances: {b: {roles: {server: {machines: {store: }}, client: {settings: {exclude: }}}}}"
    with pytest.raises(Faults, match="'exclude' has no value"):
        converted(tmp_path, text, "json")


def test_a_name_without_a_value_is_a_table_in_nix(tmp_path: Path) -> None:
    text = "machines:\n  jon:\ninstances:\n  b:\n    roles: {client: {machines: {jon: }, settings: {x: null}}}\n"
    nix, _ = converted(tmp_path, text, "nix")
    assert "  machines.jon = {};\n" in nix
    assert "    machines.jon = {};\n    settings.x = null;\n" in nix
    (tmp_path / "inventory.nix").write_text(nix)
    assert read(tmp_path / "inventory.nix").data["machines"] == {"jon": {}}


def test_json_has_no_comments(tmp_path: Path) -> None:
    _, warnings = converted(tmp_path, "# a\n\n# b\nmachines: {} # c\n", "json")
    assert warnings.startswith("warning: JSON has no comments: 3 comment lines left out\n  at inventory.yaml\n")


SCHEMAS = {
    "toml": "#:schema ./inventory.schema.json\n# Mine\n[machines.jon]\n",
    "yaml": "# yaml-language-server: $schema=./inventory.schema.json\n# Mine\nmachines:\n  jon: {}\n",
    "json": '{"$schema": "./inventory.schema.json", "machines": {"jon": {}}}',
}


@pytest.mark.parametrize("to", NOTATIONS)
@pytest.mark.parametrize("notation", SCHEMAS)
def test_the_line_that_names_the_schema_is_written_for_editors_of_the_notation(
    tmp_path: Path, notation: str, to: str
) -> None:
    text, warnings = converted(tmp_path, SCHEMAS[notation], to, f"inventory.{notation}")
    lines = {
        "toml": "#:schema ./inventory.schema.json\n",
        "yaml": "# yaml-language-server: $schema=./inventory.schema.json\n",
        "json": '{\n  "$schema": "./inventory.schema.json",\n',
    }
    assert text.startswith(lines.get(to, text))
    assert text.count("schema") == lines.get(to, "").count("schema")
    assert warnings.count("comment line") == (to == "json" != notation)
    assert text.count("Mine") == ("json" not in {to, notation})


@pytest.mark.parametrize("to", NOTATIONS)
@pytest.mark.parametrize("text", [*snippets("instances.md"), *snippets("inventory.md")[1:]])
def test_snippets_of_the_documents(text: str, to: str, tmp_path: Path) -> None:
    name = "flake.nix" if "outputs" in text else "inventory.nix"
    written, _ = converted(tmp_path, text, to, name)
    before = read(tmp_path / name)
    file = tmp_path / f"again{NOTATIONS[to].suffixes[0]}"
    file.write_text(written)
    after = read(file)
    assert (after.data, after.inputs) == (before.data, before.inputs)
    assert to == "json" or as_lines(comments(file, after.prefix)) == as_lines(comments(tmp_path / name, before.prefix))


def test_data_that_a_notation_cannot_express_is_a_fault(tmp_path: Path) -> None:
    least = '{"instances": {"i": {"roles": {"r": {"settings": {"x": -9223372036854775808}}}}}}'
    with pytest.raises(Faults, match="this inventory cannot be written as nix: the number"):
        converted(tmp_path, least, "nix", "inventory.json")


@pytest.mark.parametrize(
    ("name", "text", "computes"),
    [
        ("inventory.nix", '{ a = true; b = [ "x" (-1) ]; c.d = { }; }', False),
        ("inventory.nix", "let a = 1; in { b = a; }", True),
        ("inventory.nix", "rec { b = 1; }", True),
        ("inventory.nix", '{ a = "x${"y"}"; }', True),
        ("inventory.nix", "{ lib, ... }: { a = lib.mkForce 1; }", True),
        ("inventory.py", "inventory = {'a': [1, -2]}", False),
        ("inventory.py", "inventory = {'a': 1 + 2}", True),
        ("inventory.py", "import os\ninventory = {}", True),
        ("inventory.yaml", "machines: {}", False),
        ("inventory.toml", "machines = {}", False),
    ],
)
def test_computed_values_are_a_warning(name: str, text: str, computes: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a case
    _, warnings = converted(tmp_path, text, "json", name)
    assert bool(warnings) == computes
