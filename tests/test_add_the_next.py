"""What CONTRIBUTING.md says to do for the next service, notation or command is all that it takes.

A toy of each is added to a copy of the checkout, in exactly the files that the table names. The copy is then built and
installed, and the command line uses the toy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import services

ROOT = Path(__file__).parents[1]
PATH = re.compile(r"`([\w./-]+(?:\.py|\.md|\.toml|/))`")


def table() -> dict[str, list[str]]:
    """Return what CONTRIBUTING's table says to touch, by what is added."""
    part = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add the next")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return {what: PATH.findall(files) for what, files in rows[1:]}


class Copy:
    """A copy of the checkout, and what was added to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "copy"
        self.installed = folder / "installed"
        self.project = folder / "project"
        self.touched: set[str] = set()
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src", self.folder / "src", ignore=ignore)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.folder)
        self.project.mkdir()

    def add(self, path: str, text: str) -> None:
        self.touched.add(path)
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)

    def insert(self, path: str, line: str, *, after: str) -> None:
        """Insert text behind the only place that a pattern matches."""
        self.touched.add(path)
        file = self.folder / path
        text, count = re.subn(f"({after})", lambda found: found[0] + line, file.read_text())
        assert count == 1, f"{path}: {count} places match {after}"
        file.write_text(text)

    def install(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(self.installed)],
            cwd=self.folder, check=True, capture_output=True,
        )  # fmt: skip
        [wheel] = self.installed.iterdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.installed)

    def rolecall(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rolecall", *words],
            cwd=self.project,
            env={**os.environ, "PYTHONPATH": str(self.installed)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def assert_touched(copy: Copy, what: str) -> None:
    """Assert that the files of a row were touched, and no others; a folder stands for any file in it."""
    named = {path.replace("NAME", "toy") for path in table()[what]}
    of_folders = {
        path: next((name for name in named if name[-1] == "/" and path.startswith(name)), path) for path in copy.touched
    }
    assert set(of_folders.values()) == named


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_the_table_names_what_exists() -> None:
    assert {"service", "notation", "command"} < table().keys()
    for what, paths in table().items():
        assert paths, what
        for path in paths:
            known = path.partition("NAME")[0]
            assert "/" not in known or (ROOT / known).exists(), f"{what}: {path}"


@pytest.mark.slow
def test_the_next_service(copy: Copy) -> None:
    folder = "src/rolecall_services/toy"
    copy.add(f"{folder}/__init__.py", services.code("toy"))
    copy.add(f"{folder}/README.md", "# toy\n")
    copy.add(f"{folder}/tests/test_toy.py", "")
    copy.insert("pyproject.toml", '\ntoy = "rolecall_services.toy:service"', after=r"borgbackup = .*")
    assert_touched(copy, "service")
    copy.install()
    (copy.project / "inventory.toml").write_text(
        '[machines.jon]\ndeploy.targetHost = "dir:jon"\n[instances.toy]\nroles.user.machines.jon = {}\n'
    )
    assert "toy         A toy." in copy.rolecall("services", "list")
    assert "1 machine updated" in copy.rolecall("update", "--yes")
    assert (copy.project / "jon/etc/toy").read_text() == "jon"


@pytest.mark.slow
def test_the_next_notation(copy: Copy) -> None:
    stage = "src/rolecall/inventory"
    copy.add(f"{stage}/notations/toy.py", NOTATION)
    copy.add(f"{stage}/writers/toy.py", WRITER)
    table = "src/rolecall/model/notation.py"
    copy.insert(table, '\n    Notation("toy", (".toy",), "toy", written=True),', after=r'"python"\),')
    copy.insert(f"{stage}/printing.py", STYLE, after=r"STYLES: .* = \{")
    assert_touched(copy, "notation")
    copy.install()
    (copy.project / "inventory.toml").write_text("# a comment\n[machines.jon]\n")
    copy.rolecall("inventory", "convert", "--to", "toy", "--output", "inventory.toy")
    (copy.project / "inventory.toml").unlink()
    text = (copy.project / "inventory.toy").read_text()
    assert text.startswith("{\n    # a comment\n")
    assert "1 machine" in copy.rolecall("check")
    copy.rolecall("inventory", "set", "--own", "machines.jon.tags", '["home"]')
    assert "tag home   in its own tags  inventory.toy:1:" in copy.rolecall("explain", "machines.jon")


@pytest.mark.slow
def test_the_next_command(copy: Copy) -> None:
    copy.add("src/rolecall/cli/toy.py", COMMAND)
    copy.insert("src/rolecall/cli/__init__.py", '\n    "toy": "rolecall.cli.toy:toy",', after=r'    "services": .*')
    copy.add("src/rolecall/pipeline/toy.py", PIPELINE)
    assert_touched(copy, "command")
    copy.install()
    (copy.project / "inventory.toml").write_text("[machines.jon]\n")
    assert copy.rolecall("toy") == "1 machine\n"
    assert copy.rolecall("toy", "--json") == '{\n  "machines": 1\n}\n'
    assert "  toy " in copy.rolecall("--help")


NOTATION = '''
"""A literal of Python."""

import ast
import io
import tokenize

from rolecall.inventory import wrapping


def read(text, file):
    return wrapping.source(file, ast.literal_eval(text))


def positions(text):
    todo = [((), ast.parse(text.strip(), mode="eval").body)]
    while todo:
        keys, node = todo.pop()
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                yield (*keys, key.value), key.lineno, key.col_offset + 1
                todo.append(((*keys, key.value), value))
        if isinstance(node, ast.List):
            for index, item in enumerate(node.elts):
                yield (*keys, index), item.lineno, item.col_offset + 1


def comments(text):
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.start[1] + 1, token.string[1:]


def computes(text):
    return False
'''

WRITER = '''
"""Writes a literal of Python as a whole."""

import ast

from rolecall.inventory.changes import Set


def change(text, change):
    data = table = ast.literal_eval(text)
    for key in change.keys[:-1]:
        table = table.setdefault(key, {})
    if isinstance(change, Set):
        table[change.keys[-1]] = change.value
    else:
        del table[change.keys[-1]]
    return repr(data)
'''

STYLE = """
    "toy": Style(lambda path: _python(path[0]), _python, around=(("{",), ("}",))),"""

COMMAND = '''
"""``rolecall toy``."""

import click


@click.command()
@click.pass_obj
def toy(invocation):
    """Count the machines."""
    from rolecall.errors import plural
    from rolecall.pipeline.toy import count

    machines = count(invocation.workspace)
    invocation.emit({"machines": machines}, plural(machines, "machine"))
'''

PIPELINE = '''
"""Counts machines."""


def count(workspace):
    return len(workspace.machine_names())
'''
