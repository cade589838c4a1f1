"""What the shell offers: as it asks for it, by environment variables (click's protocol)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Run

INVENTORY = """
[machines.jon]
[machines.jane]
[machines.store]
[instances.backup]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store = {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/me.pub").write_text("age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa\n")
    for name in ("ssh/public", "repokey/passphrase"):
        value = tmp_path / "vars/per-machine/jon" / f"backup.{name}"
        value.mkdir(parents=True)
        (value / "version").write_text("v\n")
        (value / "value").write_text("x")
    return tmp_path


@pytest.fixture
def offered(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:  # noqa: ARG001 - run there
    def ask(words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", f"rolecall {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
        monkeypatch.setenv("_ROLECALL_COMPLETE", "bash_complete")
        status, out, err = run()
        assert (status, err) == (0, "")
        return [line.partition(",")[2] for line in out.splitlines() if line]

    return ask


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("upd", ["update"]),
        ("vars rot", ["rotate"]),
        ("update j", ["jane", "jon"]),
        ("update jon j", ["jane"]),
        ("update --except s", ["store"]),
        ("plan --tag l", ["linux"]),
        ("network --instance b", ["backup"]),
        ("machines list --role backup.c", ["backup.client"]),
        ("update --role s", ["server"]),
        ("run --tag linux s", ["store"]),
        ("run -- s", []),
        ("run -- ls --", []),
        ("backups create s", ["store"]),
        ("vars get jon/backup.s", ["jon/backup.ssh/public"]),
        ("vars rotate ", ["jon/backup.repokey", "jon/backup.ssh"]),
        ("vars rotate --known-to st", ["store"]),
        ("keys remove ", ["me"]),
        ("services show borg", ["borgbackup"]),
        ("explain backup.c", ["backup.client", "backup.client.jon"]),
        ("explain machines.s", ["machines.store"]),
        ("-C /nowhere update ", []),
        ("completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_is_offered(offered: Callable[[str], list[str]], words: str, names: list[str]) -> None:
    assert offered(words) == names


def test_what_cannot_be_read_offers_nothing(folder: Path, offered: Callable[[str], list[str]]) -> None:
    (folder / "inventory.toml").write_text("[")
    assert offered("update ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_that_shell(folder: Path, shell: str) -> None:
    argv = [sys.executable, "-m", "rolecall", "completion", shell]
    script = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert f"_ROLECALL_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
