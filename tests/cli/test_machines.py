"""`rolecall machines`: what is declared, and which host keys are trusted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rolecall.deploy import pins

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

OLD, NEW = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB=="


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "inventory.toml").write_text("[machines.jon]\ndeploy.targetHost = 'root@jon.example.org'\n")
    return tmp_path


def test_list(run: Run, project: Path) -> None:
    (project / "machines" / "web-in-the-lab").mkdir(parents=True)
    assert run("machines", "add", "store", "--target-host", "dir:targets/store", "--tag", "backup")[0] == 0
    assert run("machines", "list")[1].splitlines() == [
        "jon             ssh root@jon.example.org  all, linux",
        "store           dir:targets/store         all, backup, linux",
        "web-in-the-lab  -                         all, linux",
    ]
    (project / "inventory.toml").write_text("")
    (project / "inventory.json").unlink()
    (project / "machines" / "web-in-the-lab").rmdir()
    assert run("machines", "list")[1] == "there are no machines; declare one with `rolecall machines add NAME`\n"
    assert run("machines", "list", "--json")[1] == "{}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["web", "--tag", "a.b"], "`a.b` is no name for a tag\n  at machines.web.tags[0]"),
        (["web", "--tag", ""], "no name for a tag"),
        (["web", "--tag", "all"], "all"),
        (["web", "--target-host", "a b"], "'a b' is no target\n  at machines.web.deploy.targetHost"),
        (["web", "--target-host", ""], "'' is no target"),
        (["web", "--target-host", "dir:/"], "the target 'dir:/' holds this project itself"),
        (["jon"], "the machine 'jon' is declared already"),
        (["../x"], "is no name of a machine"),
    ],
)
@pytest.mark.parametrize("before", [None, '{"machines": {"sara": {}}}'])
def test_what_would_make_the_inventory_faulty_is_not_written(
    run: Run, project: Path, words: list[str], told: str, before: str | None
) -> None:
    file = project / "inventory.json"
    if before is not None:
        file.write_text(before)
    status, _, err = run("machines", "add", *words)
    assert (status, told in err) == (1, True), err
    assert (file.read_text() if file.exists() else None) == before
    assert run("check")[0] == 0


def test_faults_that_were_there_before_stop_nothing(run: Run, project: Path) -> None:
    (project / "inventory.json").write_text('{"machines": {"sara": {"tags": 5}}}')
    assert run("machines", "add", "ülf")[0] == 1
    assert run("machines", "add", "web", "--tag", "backup")[0] == 0
    assert json.loads((project / "inventory.json").read_text())["machines"]["web"] == {"tags": ["backup"]}
    assert run("machines", "add", "web2", "--tag", "a.b")[0] == 1


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch, project: Path) -> Path:
    """Jon shows the new key; the file of pins."""
    monkeypatch.setattr(pins, "scan", lambda _: [NEW])
    return project / "keys" / "known_hosts"


def test_pin(run: Run, shows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    status, out, err = run("machines", "pin", "jon")
    assert (status, out) == (0, "pinned 1 host keys of jon\n")
    assert asked == ["did you compare these on jon itself, and are they the same?"]
    assert err == f"shown now:\n  {pins.fingerprint(NEW)}\n"
    assert shows.read_text() == f"jon {NEW}\n"
    assert run("machines", "pin", "jon")[1] == "the 1 host keys of jon are pinned already\n"
    assert len(asked) == 1


def test_other_keys_than_are_pinned(run: Run, shows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shows.parent.mkdir()
    shows.write_text(f"jon,10.0.0.1 {OLD}\n")
    status, _, err = run("machines", "pin", "jon", "--yes")
    assert (status, "error: other host keys of jon are pinned than it shows now" in err) == (1, True)
    told = f"pinned:\n  {pins.fingerprint(OLD)}\nshown now:\n  {pins.fingerprint(NEW)}\n"
    assert err.startswith("WARNING: jon shows other host keys than are pinned.")
    assert told in err
    status, _, err = run("machines", "pin", "jon")  # nobody answers
    assert (status, "and REPLACE the pinned ones?" in err, told in err) == (130, True, True)
    assert shows.read_text() == f"jon,10.0.0.1 {OLD}\n"

    status, out, _ = run("machines", "pin", "jon", "--yes", "--replace", "--json")
    assert (status, json.loads(out)) == (0, {"machine": "jon", "keys": [NEW], "before": [OLD]})
    assert shows.read_text() == f"10.0.0.1 {OLD}\njon {NEW}\n"

    shows.write_text(f"jon {OLD}\n")
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    assert run("machines", "pin", "jon")[0] == 0
    assert shows.read_text() == f"jon {NEW}\n"


def test_pins_that_are_no_text(run: Run, shows: Path) -> None:
    shows.parent.mkdir()
    shows.write_bytes(b"jon \xff\n")
    for words in (["machines", "pin", "jon"], ["plan"]):
        status, _, err = run(*words)
        assert (status, err.splitlines()[:2]) == (1, ["error: not UTF-8", "  at keys/known_hosts:1"])
