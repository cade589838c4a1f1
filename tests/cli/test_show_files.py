"""`rolecall show MACHINE --files DIR` writes what an update would install."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest
import segno

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


def terminal(data: bytes) -> str:
    output = StringIO()
    segno.make_qr(data, error="l").terminal(output, compact=True)
    return output.getvalue().rstrip("\n") + "\n"


def test_a_file_is_printed_as_a_qr_code_with_its_secrets(run: Run, tmp_path: Path) -> None:
    path = "/run/rolecall/secrets/backup.ssh/private"
    status, printed, _ = run("show", "jon", "--qr", path)
    run("update", "--yes")
    key = (tmp_path / f"targets/jon{path}").read_bytes()
    assert key.startswith(b"-----BEGIN")
    assert (status, printed) == (0, terminal(key))
    assert json.loads(run("show", "jon", "--qr", path, "--json")[1]) == {"code": terminal(key).rstrip("\n")}


def test_a_file_that_is_not_there_or_too_long_has_no_qr_code(run: Run) -> None:
    status, _, errors = run("show", "jon", "--qr", "/etc/rolecall/backup/backup.jso")
    assert status == 1
    assert errors.splitlines() == [
        "error: jon has no file '/etc/rolecall/backup/backup.jso'",
        "hint: did you mean '/etc/rolecall/backup/backup.json'?",
    ]
    status, _, errors = run("show", "jon", "--qr", "/etc/rolecall/backup/backup")
    assert (status, errors) == (
        1,
        "error: /etc/rolecall/backup/backup does not fit in a QR code: it can hold 2,953 bytes\n",
    )
    assert run("show", "--qr", "/etc/x")[0] == 2
