"""What real editors make of the schema: their language servers, and taplo's lint for TOML."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from language_server import LanguageServer

from rolecall import pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

pytestmark = pytest.mark.slow

VENV = Path(sys.executable).parent.parent
YAML_SERVER = VENV / "npm/node_modules/yaml-language-server/bin/yaml-language-server"  # script/parts.py puts it there
TAPLO = VENV / "bin/taplo"

TOML = """\
#:schema ./inventory.schema.json
[machines.jon]
tags = ["backup"]

[instances.club]
module = { name = "club", input = "self" }
roles.talk.tags = ["backup"]

[instances.club.roles.talk.settings]
word = "hi"
tone = "loud"
limits.soft = 3
also = { _type = "order", priority = 500, content = ["x"] }
"""
YAML = """\
# yaml-language-server: $schema=./inventory.schema.json
machines:
  jon:
    tags: [backup]
instances:
  club:
    module: {name: club, input: self}
    roles:
      talk:
        tags: [backup]
        settings:
          wrod: hi
        machines:
          jon:
            settings:

  borgbackup:
    roles:
      client:
        settings:

"""
JSON = """\
{
  "$schema": "./inventory.schema.json",
  "machines": {"jon": {}},
  "instances": {
    "club": {
      "module": {"name": "club", "input": "self"},
      "roles": {"talk": {"settings": {
        "word": 3
      }}}
    }
  }
}
"""


def lint(file: Path) -> tuple[int, str]:
    done = subprocess.run([TAPLO, "lint", file], cwd=file.parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ('word = "hi"', "word = 3", '3 is not of type "string"'),
        ("limits.soft = 3", "limits.soft = -3", "-3 is less than the minimum of 0"),
        ('tone = "loud"', 'tone = "odd"', '"odd" is not one of'),
        ("roles.talk.tags", "roles.takl.tags", "'takl' was unexpected"),
        ("[machines.jon]", "[machine.jon]", "'machine' was unexpected"),
        ('tags = ["backup"]', "tags = 1", "1 is not"),
    ],
)
def test_taplo_checks_toml(make_project: MakeProject, was: str, becomes: str, message: str) -> None:
    project = make_project(TOML)
    pipeline.write_schema(pipeline.Workspace(project))
    file = project.root / "inventory.toml"
    status, output = lint(file)
    assert status == 0, output
    assert TOML.count(was)
    file.write_text(TOML.replace(was, becomes, 1))
    line = TOML[: TOML.index(was)].count("\n") + 1
    status, output = lint(file)
    assert status == 1
    assert message in output or "anyOf" in output, output
    assert f"inventory.toml:{line}:" in output, output


def test_init_configures_taplo(tmp_path: Path) -> None:
    environment = {"ROLECALL_IDENTITY": str(tmp_path / "identity"), "PATH": str(VENV / "bin")}
    subprocess.run([VENV / "bin/rolecall", "init", tmp_path / "new"], env=environment, check=True, capture_output=True)
    file = tmp_path / "new/inventory.toml"
    assert lint(file)[0] == 0
    file.write_text(file.read_text().replace("[meta]\nname", "[meta]\nnaem"))
    status, output = lint(file)
    assert (status, "'naem' was unexpected" in output) == (1, True), output


@pytest.mark.skipif(not YAML_SERVER.exists() or not shutil.which("node"), reason="needs node and npm's registry")
@pytest.mark.parametrize(("name", "text", "line"), [("inventory.yaml", YAML, 12), ("inventory.json", JSON, 8)])
def test_a_language_server_finds_what_is_wrong(make_project: MakeProject, name: str, text: str, line: int) -> None:
    project = make_project(text, name)
    pipeline.write_schema(pipeline.Workspace(project))
    with LanguageServer(["node", YAML_SERVER, "--stdio"], project.root) as server:
        server.open(project.root / name, "yaml")
        assert [place for place, _ in server.wrong(project.root / name)] == [line]


@pytest.mark.skipif(not YAML_SERVER.exists() or not shutil.which("node"), reason="needs node and npm's registry")
def test_a_language_server_completes(make_project: MakeProject) -> None:
    project = make_project(YAML, "inventory.yaml")
    pipeline.write_schema(pipeline.Workspace(project))
    file = project.root / "inventory.yaml"
    lines = YAML.splitlines()
    lines[14] += "\n              "  # below `settings:` of jon
    lines[-1] += "          "
    file.write_text("\n".join(lines))
    with LanguageServer(["node", YAML_SERVER, "--stdio"], project.root) as server:
        server.open(file, "yaml")
        assert {"word", "times", "tone", "limits"} <= set(server.offers(file, 16, 15))
        assert {"startAt", "exclude", "keep"} <= set(server.offers(file, len(lines) + 1, 11))
