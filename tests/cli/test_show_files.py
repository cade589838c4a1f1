"""`rolecall show MACHINE --files DIR` writes what an update would install."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

INVENTORY = """
[machines.jon]
deploy.targetHost = "dir:targets/jon"
state.documents.folders = ["/srv"]
[machines.store]
deploy.targetHost = "dir:targets/store"
[instances.backup]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store = {}
"""


@pytest.fixture(autouse=True)
def _project(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    run("keys", "create")


def files_below(folder: Path) -> dict[str, tuple[bytes, int]]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in found}


def test_the_files_are_those_that_an_update_installs(run: Run, tmp_path: Path) -> None:
    status, output, _ = run("show", "jon", "--files", "out/jon", "--json")
    assert status == 0
    written, printed = files_below(tmp_path / "out/jon"), json.loads(output)
    assert {key[5:] for key in printed["written"] if key.startswith("file:")} <= {f"/{path}" for path in written}
    assert "package:borgbackup" in printed["left"]
    assert len(written) == len(printed["written"]) > 5
    run("update", "--yes")
    assert written == {path: file for path, file in files_below(tmp_path / "targets/jon").items() if path in written}
    assert written["run/rolecall/secrets/backup.repokey/passphrase"][1] == 0o400
    assert "\nno file: package:borgbackup\n" in run("show", "jon", "--files", "out/again")[1]


@pytest.mark.parametrize("there", ["file", "folder"])
def test_what_is_there_is_never_replaced(run: Run, tmp_path: Path, there: str) -> None:
    place = tmp_path / "out"
    if there == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine").touch()
    before = sorted(tmp_path.rglob("out*"))
    status, _, errors = run("show", "jon", "--files", "out")
    assert status == 1
    assert ("out cannot be written" if there == "file" else "out is not empty") in errors
    assert sorted(tmp_path.rglob("out*")) == before


def test_a_machine_must_be_named(run: Run) -> None:
    status, _, errors = run("show", "--files", "out")
    assert status == 2
    assert "--files needs a MACHINE" in errors
