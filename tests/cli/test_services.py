"""`rolecall services`: the shipped ones, and the project's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

OWN = """
from rolecall.service import Service, Settings

class Greets(Settings):
    name: str

service = Service("{name}", description="Greets.")
service.role("greeter", Greets, description="Says it.", maximum=1)
"""


def own(project: Path, name: str) -> None:
    (project / "modules").mkdir(parents=True, exist_ok=True)
    (project / "modules" / f"{name}.py").write_text(OWN.replace("{name}", name))


def listed(out: str) -> list[tuple[str, str | None]]:
    return [(row["name"], row["input"]) for row in json.loads(out)["services"]]


def test_without_a_project_there_are_the_shipped_ones(run: Run, tmp_path: Path) -> None:
    own(tmp_path, "stray")  # in a folder that is no project
    assert ("borgbackup", None) in listed(run("services", "list", "--json")[1])
    assert "stray" not in run("services", "list")[1]
    assert run("services", "show", "borgbackup")[1].startswith("borgbackup: ")


def test_the_projects_own(run: Run, tmp_path: Path) -> None:
    own(tmp_path / "p", "hello")
    (tmp_path / "p" / "inventory.toml").touch()
    (tmp_path / "p" / "below").mkdir()
    for folder in ("p", "p/below"):
        assert ("hello", "self") in listed(run("-C", folder, "services", "list", "--json")[1])
        assert run("-C", folder, "services", "show", "hello")[1] == (
            "hello: Greets.\n\nrole greeter (any number of, at most 1 machines): Says it.\n  name (required)\n"
        )
    assert "hello       Greets. (input self)\n" in run("-C", "p", "services", "list")[1]
    assert run("services", "show", "hello")[0] == 1


def test_one_name_twice(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").touch()
    own(tmp_path, "borgbackup")
    assert {("borgbackup", None), ("borgbackup", "self")} <= {*listed(run("services", "list", "--json")[1])}
    assert run("services", "show", "borgbackup")[1].startswith("borgbackup: Greets.")
    assert "Encrypted" in run("services", "show", "borgbackup", "--input", "rolecall")[1]


def test_one_that_does_not_load_hides_no_other(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").touch()
    own(tmp_path, "hello")
    (tmp_path / "modules" / "broken.py").write_text("1 / 0\n")
    status, out, _ = run("services", "list")
    assert (status, "Greets." in out, "broken.py does not load" in out) == (0, True, True)
    assert run("services", "show", "broken")[0] == 1


def test_a_service_that_there_is_not(run: Run) -> None:
    for words in (["show", "borgbackop"], ["show", "borgbackop", "--input", "rolecall"]):
        status, _, err = run("services", *words)
        assert (status, "did you mean 'borgbackup'?" in err) == (1, True)
