from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

import services
from rolecall.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]

sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests here share


class LabFactory(Protocol):
    def __call__(self, *machines: str, disk: bool = False) -> Lab: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a lab, and skip them with the reason if no lab can run."""
    reason = Lab.available()
    here = Path(__file__).parent
    for item in items:
        used = {"lab", "lab_factory", "new_desk"} & set(getattr(item, "fixturenames", ()))
        if used and item.path.is_relative_to(here):
            item.add_marker(pytest.mark.lab)
        if reason and item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def lab_factory() -> Iterator[LabFactory]:
    """Return a function that boots labs, which end with the session or this process."""
    with ExitStack() as ends:

        def boot(*machines: str, disk: bool = False) -> Lab:
            folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="lab-"))
            return ends.enter_context(Lab(Path(folder) / "a project/.rolecall/lab", machines, disk=disk))

        yield boot


@pytest.fixture(scope="session")
def lab(lab_factory: LabFactory) -> Lab:
    """Two machines for tests that leave them running and unchanged."""
    return lab_factory("web", "backup_server")


# Runs on a machine: prints everything at and below the paths as JSON.
LOOK = """
import hashlib, json, os, stat, sys
found = {}
def look(path):
    try:
        state = os.lstat(path)
        content = ""
        if stat.S_ISREG(state.st_mode):
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()
        elif stat.S_ISLNK(state.st_mode):
            content = os.readlink(path)
        elif stat.S_ISDIR(state.st_mode):
            for name in sorted(os.listdir(path)):
                look(os.path.join(path, name))
        names = sorted(os.listxattr(path, follow_symlinks=False))
        attributes = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    except FileNotFoundError:
        return
    found[path] = {
        "mode": oct(state.st_mode), "owner": [state.st_uid, state.st_gid], "content": content,
        "attributes": attributes, "mtime": state.st_mtime_ns, "inode": state.st_ino,
        "links": 1 if stat.S_ISDIR(state.st_mode) else state.st_nlink,
    }
for path in sys.argv[1:]:
    look(path)
print(json.dumps(found))
"""

Looks = dict[str, dict[str, Any]]


class Desk:
    """A project of a user, with the command line and the machines of its lab."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lab = Lab(root / ".rolecall/lab", ())
        self._begun: list[subprocess.Popen[str]] = []
        self.environment = os.environ | {"ROLECALL_IDENTITY": str(root.parent / "identity")}

    def rolecall(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command, which must end with this status."""
        done = subprocess.run(
            self._argv(words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, status: int = 0) -> Any:  # noqa: ANN401 - any command's document
        """Return what the command prints with ``--json``."""
        return json.loads(self.rolecall(*words, "--json", status=status).stdout)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start the command, with standard output and error as one stream; `end` ends it, whatever happens."""
        pipe, out = subprocess.PIPE, subprocess.STDOUT
        process = subprocess.Popen(
            self._argv(words), env=self.environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=out, text=True
        )
        self._begun.append(process)
        return process

    def end(self) -> None:
        """End the commands that a failed test has left running."""
        while self._begun:
            process = self._begun.pop()
            if process.returncode is None:
                process.kill()
                process.communicate(timeout=30)

    def write(self, **inventory: object) -> None:
        """Replace inventory.json."""
        (self.root / "inventory.json").write_text(json.dumps(inventory, indent=2))

    def on(self, machine: str, script: str, *argv: str, given: str = "", status: int | None = 0) -> str:
        """Run a shell script on a machine; return its output and errors. It must end with this status, if any."""
        script = f"exec 2>&1\n{script}"
        done = self.lab.run(machine, "bash", "-c", script, "bash", *argv, input=given.encode(), check=False)
        output = done.stdout.decode(errors="replace")
        assert status in {None, done.returncode}, f"{machine}: {script}: {done.returncode}\n{output}{done.stderr!r}"
        return output

    def look(self, machine: str, *paths: str, but: tuple[str, ...] = ()) -> Looks:
        """Return every entry at and below paths, without these fields."""
        done = self.lab.run(machine, "python3", "-c", LOOK, *paths)
        looks: Looks = json.loads(done.stdout)
        return {path: {name: value for name, value in look.items() if name not in but} for path, look in looks.items()}

    def _argv(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "rolecall", "-C", str(self.root), *words]


class DeskFactory(Protocol):
    def __call__(self) -> Desk: ...


@pytest.fixture(scope="module")
def new_desk() -> Iterator[DeskFactory]:
    """Return a function that creates desks with an empty project; their labs end with the module."""
    with ExitStack() as ends:

        def make() -> Desk:
            root = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="desk-"))) / "a project"
            root.mkdir()
            made = Desk(root)
            ends.callback(made.lab.down)
            ends.callback(made.end)
            return made

        yield make


@pytest.fixture(scope="module")
def office(request: pytest.FixtureRequest, new_desk: DeskFactory) -> Desk:
    """A project with the service that the module of the tests names in `SERVICE`, as its `declare` begins, in a lab."""
    desk = new_desk()
    services.install(desk.root, request.module.SERVICE, module=request.module.MODULE)
    request.module.declare(desk)
    desk.rolecall("keys", "create")
    desk.rolecall("lab", "up")
    return desk


@pytest.fixture
def desk(request: pytest.FixtureRequest, office: Desk) -> Iterator[Desk]:
    """A machine for which nothing is declared, and on which nothing has failed."""
    yield office
    request.module.declare(office)
    office.rolecall("update", "--yes")
    assert office.on("jon", "systemctl is-system-running") == "running\n"


@pytest.fixture(scope="session")
def section() -> Callable[[str], str]:
    """Return a function that gives the Nix block in a section of the document on the inventory."""
    document = (ROOT / "tests/documents/inventory.md").read_text()

    def block(title: str) -> str:
        below = document.partition(f"### {title}\n")[2].partition("\n### ")[0]
        match = re.search(r"^( *)```\{\.nix[^\n]*\n(.*?)^\1```", below, re.MULTILINE | re.DOTALL)
        assert match
        return textwrap.dedent(match[2])

    return block
