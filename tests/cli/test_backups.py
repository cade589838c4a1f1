"""`rolecall backups`: one document or text, warnings, exit status. What runs on machines: tests/deploy, tests/lab."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.deploy.backups import choose
from rolecall.deploy.target import Target
from rolecall.model.exports import Exported
from rolecall.service import Backups

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

LISTED = json.dumps([{"name": "jon-1", "time": "2026-01-01"}])


class Here(Target):
    """A machine whose commands run here."""

    def command(self, argv: list[str], *, terminal: bool = False) -> list[str]:
        assert not terminal
        return ["sh", "-c", 'echo Welcome; exec "$@"', "sh", *argv]


def says(text: str, status: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({status})"]


@pytest.fixture(autouse=True)
def offers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Exported[Backups]]:
    """One server that works, one that is lost."""
    (tmp_path / "inventory.toml").write_text("[machines.jon]\n")
    works = Backups(target="works", create=says("jon-2"), listing=says(LISTED), restore=says("done"))
    lost = Backups(target="lost", create=says("", 1), listing=says("", 1), restore=says("", 1))
    found = [Exported(lost, "jon", "backup"), Exported(works, "jon", "backup")]

    def backups(_: object, machine: str, instance: str | None, server: str | None) -> pipeline.MachineBackups:
        return pipeline.MachineBackups(Here(machine, "here"), choose(found, machine, instance, server))

    monkeypatch.setattr(pipeline, "backups", backups)
    return found


def test_create(run: Run) -> None:
    status, out, err = run("backups", "create", "jon")
    assert (status, out) == (1, "backup works jon-2\n")
    assert err.startswith("error: the backup of jon to lost failed (backup)\n")
    status, out, err = run("backups", "create", "jon", "--json")
    document = json.loads(out)
    assert (status, err, document["archives"]) == (
        1,
        "",
        [{"instance": "backup", "target": "works", "archive": "jon-2"}],
    )
    assert [fault["message"] for fault in document["faults"]] == ["the backup of jon to lost failed (backup)"]


def test_list(run: Run) -> None:
    status, out, err = run("backups", "list", "jon")
    assert (status, out, "lost cannot be listed" in err) == (1, "backup works jon-1\n", True)
    status, out, _ = run("backups", "list", "jon", "--target", "works", "--json")
    archive = {"instance": "backup", "target": "works", "name": "jon-1", "time": "2026-01-01"}
    assert (status, json.loads(out)) == (0, [archive])
    status, out, err = run("backups", "list", "jon", "--target", "lost")
    assert (status, out, "there are no backups" in err) == (1, "", False)


def test_no_backups(run: Run, offers: list[Exported[Backups]]) -> None:
    offers[:] = [Exported(offers[1].value.model_copy(update={"listing": says("[]")}), "jon", "backup")]
    assert run("backups", "list", "jon") == (0, "no backups of jon\n", "")


def test_restore_from_the_server_that_is_left(run: Run) -> None:
    status, out, err = run("backups", "restore", "jon", "--yes")
    assert (status, out) == (0, "restored jon-1 from works (backup)\n")
    assert err.startswith("warning: the backups of jon on lost cannot be listed (backup)\n")
    document = json.loads(run("backups", "restore", "jon", "--yes", "--json")[1])
    assert (document["name"], [each["level"] for each in document["warnings"]]) == ("jon-1", ["warning"])


def test_an_archive_that_may_be_where_nobody_answers(run: Run) -> None:
    status, _, err = run("backups", "restore", "jon", "jon-9", "--yes")
    assert (status, err.count("error: ")) == (1, 2)
    assert "lost cannot be listed" in err
    assert "jon has no backup jon-9" in err


def test_nobody_is_there_to_be_asked(run: Run) -> None:
    status, out, err = run("backups", "restore", "jon")
    assert (status, out, "overwrite all its files on jon (here) from jon-1 on works?" in err) == (130, "", True)
