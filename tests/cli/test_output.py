"""Standard output is for results alone, whatever a project's own code prints."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import services

NOISE = services.code("noise")
INVENTORY = (
    NOISE
    + """
shout("inventory")
inventory = {
    "machines": {"a": {"deploy": {"targetHost": "dir:target"}}},
    "instances": {"loud": {
        "module": {"input": "self"}, "roles": {"role": {"machines": {"a": {"settings": {"word": "y"}}}}},
    }},
}
"""
)
RUNS = {
    "import",
    "validator",
    "generator",
    "validation",
    "exports",
    "configure",
    "check",
    "machine",
    "exit",
    "inventory",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    services.install(tmp_path, "loud", ("from services.noise import shout\n", NOISE))
    (tmp_path / "inventory.py").write_text(INVENTORY)
    return tmp_path


def run(project: Path, *words: str) -> tuple[str, str]:
    """The program as a process of its own: its output and errors."""
    environment = {**os.environ, "ROLECALL_IDENTITY": str(project / "identity"), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [Path(sys.executable).with_name("rolecall"), *words]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


COMMANDS = [
    ["keys", "create"],
    ["check"],
    ["show"],
    ["show", "a"],
    ["show", "--all"],
    ["explain", "loud.role.a"],
    ["services", "list"],
    ["services", "show", "loud"],
    ["vars", "list"],
    ["plan"],
    ["vars", "generate"],
    ["vars", "recipients"],
    ["vars", "get", "a/loud.var"],
    ["vars", "rotate", "a/loud.var"],
    ["update", "--yes"],
    ["inventory", "get", "machines"],
    ["inventory", "schema"],
    ["inventory", "convert", "--to", "toml"],
    ["inventory", "set", "machines.a.description", "x"],
]


@pytest.mark.slow
def test_json_is_one_document_whatever_a_project_prints(project: Path) -> None:
    heard = ""
    for words in COMMANDS:
        out, err = run(project, *words, "--json")
        json.loads(out)
        heard += err
    assert {run for run in RUNS if f"noise {run} print" in heard and f"noise {run} child" in heard} == RUNS
    assert "noise kept" in heard
    assert {"stdout", "__stdout__", "descriptor", "buffered"} <= set(heard.split())


@pytest.mark.parametrize(
    "commands",
    [
        "show a",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("check", "keys create && plan", "inventory schema")),
    ],
)
def test_text_is_the_result_alone(project: Path, commands: str) -> None:
    for command in commands.split(" && "):
        out, _ = run(project, *command.split())
        assert out
        assert "noise" not in out


def test_completion_offers_names_alone(project: Path) -> None:
    environment = {
        **os.environ,
        "_ROLECALL_COMPLETE": "bash_complete",
        "COMP_WORDS": "rolecall show ",
        "COMP_CWORD": "2",
    }
    argv = [Path(sys.executable).with_name("rolecall")]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,a\n"


@pytest.mark.slow
def test_a_closed_standard_output_is_no_traceback(project: Path) -> None:
    command = f"exec {Path(sys.executable).with_name('rolecall')} show >&-"
    done = subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_commands_print_results_through_output_alone() -> None:
    """What they printed in another way would arrive on standard error."""
    found = []
    for file in sorted((Path(__file__).parents[2] / "src/rolecall/cli").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"click.echo", "click.secho", "print"}:
                to_errors = any(keyword.arg == "err" for keyword in node.keywords)
                found += [] if to_errors else [f"{file.name}: {ast.unparse(node)}"]
    assert found == ["output.py: click.echo(text, nl=False)"]
