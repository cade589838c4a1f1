"""What belongs to one checkout alone never gets into git, whoever makes its folder first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rolecall import files
from rolecall.lab import Lab, base

pytestmark = pytest.mark.slow  # each case starts several programs

INVENTORY = """
[machines.jon]
tags = ["backup"]
deploy.targetHost = "dir:targets/jon"
state.documents.folders = ["/srv/documents"]
[machines.store]
deploy.targetHost = "dir:targets/store"
[instances.backup]
module.name = "borgbackup"
roles.client.tags = ["backup"]
roles.server.machines.store = {}
"""


def run(folder: Path, *argv: str) -> str:
    environment = os.environ | {"HOME": str(folder.parent), "ROLECALL_IDENTITY": str(folder.parent / "identity")}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rolecall(folder: Path, *words: str) -> str:
    return run(folder, sys.executable, "-m", "rolecall", *words)


def test_the_way_of_the_readme_leaves_nothing_for_git_that_should_not_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "inventory.toml").write_text(INVENTORY)
    run(folder, "git", "init", "-q")
    for words in (
        ["check"], ["keys", "create", "me"], ["plan"], ["update", "--yes"],
        ["vars", "rotate", "jon/backup.ssh"],
    ):  # fmt: skip
        rolecall(folder, *words)
    assert list((folder / ".rolecall/pending").rglob("secret"))
    run(folder, "git", "add", "-A")
    added = [Path(line) for line in run(folder, "git", "ls-files").splitlines()]
    assert {path.parts[0] for path in added} == {"inventory.toml", "keys", "vars"}
    assert {path.name for path in added if path.parts[0] == "keys"} == {"me.pub"}
    ours = [folder / path for path in added]
    assert not [path for path in ours if b"PRIVATE" in path.read_bytes() or b"AGE-SECRET-KEY" in path.read_bytes()]
    assert list((folder / "targets/jon/run/rolecall/secrets").rglob("private"))
    (folder / "targets/jon/.gitignore").unlink()  # as of an earlier version
    assert "targets/jon" in run(folder, "git", "status", "--porcelain", "--untracked-files=all")
    rolecall(folder, "vars", "discard")
    assert rolecall(folder, "plan") == "nothing changes (2 machines)\n"
    assert (folder / "targets/jon/.gitignore").read_text() == "*\n"
    assert "targets" not in run(folder, "git", "status", "--porcelain", "--untracked-files=all")


@pytest.mark.parametrize(
    "first",
    [
        ["vars", "generate"],
        ["inventory", "set", "meta.name", "x"],
        ["machines", "add", "sara"],
        ["machines", "rename", "jon", "bob"],
        ["plan"],
    ],
    ids=lambda words: words[1] if isinstance(words, list) and len(words) > 1 else "plan",
)
def test_whoever_makes_the_folder_first(tmp_path: Path, first: list[str]) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "inventory.toml").write_text(INVENTORY)
    rolecall(folder, "keys", "create", "me")
    rolecall(folder, *first)
    assert (folder / ".rolecall/.gitignore").read_text() == "*\n"
    run(folder, "git", "init", "-q")
    assert ".rolecall" not in run(folder, "git", "status", "--porcelain", "--untracked-files=all")


@pytest.mark.parametrize("words", [["check"], ["plan"], ["vars", "list"]], ids=" ".join)
def test_the_folder_of_an_earlier_version(tmp_path: Path, words: list[str]) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "inventory.toml").write_text(INVENTORY)
    rolecall(folder, "keys", "create", "me")
    rolecall(folder, "plan")
    (folder / ".rolecall/.gitignore").unlink()
    rolecall(folder, *words)
    assert (folder / ".rolecall/.gitignore").read_text() == "*\n"


def test_pins_and_the_lab_do_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with files.locked(tmp_path / "a/.rolecall/pins.lock"):
        assert (tmp_path / "a/.rolecall/.gitignore").read_text() == "*\n"

    class StoppedError(Exception):
        pass

    def stop(*_: object, **__: object) -> None:
        raise StoppedError

    monkeypatch.setattr(Lab, "available", staticmethod(lambda: ""))
    monkeypatch.setattr(base, "build", stop)
    for name in (".rolecall", "other"):
        with pytest.raises(StoppedError):
            Lab(tmp_path / f"b/{name}/lab", ["web"]).up()
    assert (tmp_path / "b/.rolecall/.gitignore").read_text() == "*\n"
    assert not (tmp_path / "b/other/.gitignore").exists()


def test_what_a_person_wrote_there_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    files.make_local(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
