"""What a person gave and is not installed yet is never replaced by a generated value unless they say so."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from calling import call

import services
from rolecall import vars as v
from rolecall.model.vars import VarKey, step_of
from rolecall.vars import effective

if TYPE_CHECKING:
    from rolecall.project import Project

BINDING = ("accepted=True", 'binds="the disk is encrypted with it"')
INVENTORY = """
[machines.jon]
deploy.targetHost = "dir:targets/jon"
[instances.s]
module = { name = "disk", input = "self" }
roles.host.machines.jon.settings.name = "one"
"""
MADE = VarKey("jon", "s.made")
MINE = {(MADE, "value"): b"mine"}


def write(project: Project, *changes: tuple[str, str], name: str = "one") -> None:
    services.install(project.root, "made_from", *changes, module="disk")
    (project.root / "inventory.toml").write_text(INVENTORY.replace('"one"', f'"{name}"'))


def value(project: Project) -> dict[tuple[VarKey, str], bytes]:
    """Return the pending value if there is one, else the stored one."""
    return v.decrypt(project, [(MADE, "value")], pending=[MADE])


@pytest.fixture(scope="module")
def updated(project_once: Project) -> Project:
    write(project_once)
    call(project_once, "update", "--yes")
    return project_once


@pytest.fixture(params=["first value", "replacement"])
def given(project: Project, updated: Project, request: pytest.FixtureRequest) -> Project:
    write(project)
    if request.param == "replacement":
        shutil.copytree(updated.root, project.root, symlinks=True, dirs_exist_ok=True)
    call(project, "vars", "set", "jon/s.made", given="mine")
    assert value(project) == MINE
    return project


def refused(project: Project, *words: str, why: str) -> None:
    output = call(project, *words, status=1)
    message = (
        f"jon/s.made would be regenerated because {why} changed: its value was set by hand and is not installed yet"
    )
    assert message in output
    assert "set the value again: `rolecall vars set jon/s.made`" in output
    assert "rolecall vars rotate --force jon/s.made" in output
    assert value(project) == MINE


def test_it_is_kept_when_settings_change(given: Project) -> None:
    write(given, name="two")
    refused(given, "plan", why="its settings have")
    call(given, "vars", "set", "jon/s.made", given="for two")
    call(given, "plan")
    assert value(given) == {(MADE, "value"): b"for two"}
    write(given, name="three")
    call(given, "vars", "rotate", "--force", "--at-once", "jon/s.made")
    assert value(given)[MADE, "value"].startswith(b"three-")


@pytest.mark.parametrize("words", [("rotate", "jon/s.source"), ("set", "jon/s.source")])
def test_it_is_kept_when_what_it_is_made_from_changes(given: Project, words: tuple[str, ...]) -> None:
    refused(given, "vars", *words, why="what it is generated from has")
    call(given, "vars", *words, "--force")
    assert value(given) != MINE


def test_it_is_kept_when_its_files_change(given: Project) -> None:
    write(given, ('FILES = ["value"]', 'FILES = ["value", "more"]'))
    output = call(given, "plan", status=1)
    assert "jon/s.made has value (secret), but s.host wants more (secret), value (secret)" in output
    assert "set each of its files: `rolecall vars set jon/s.made FILE=PATH …`" in output
    assert ".rolecall/pending/per-machine/jon/s.made" in output
    assert value(given) == MINE
    (given.root / "more").write_text("more")
    call(given, "vars", "set", "jon/s.made", f"more={given.root}/more")
    call(given, "plan")
    assert value(given) == MINE


def test_it_is_kept_by_a_plan_that_discards_what_was_generated(given: Project) -> None:
    call(given, "plan", "--discard")
    assert value(given) == MINE
    assert "dropped jon/s.made" in call(given, "vars", "discard")


def test_once_it_is_installed_it_is_like_any_other(given: Project) -> None:
    assert effective.given(given, MADE)
    call(given, "update", "--yes")
    assert not list(given.vars.rglob(".given"))
    assert value(given) == MINE
    write(given, name="two")
    assert "generate jon/s.made" in call(given, "plan")


def test_an_import_counts_as_given(project: Project) -> None:
    write(project, BINDING)
    document = json.dumps({"vars": {"jon/s.made": {"value": {"text": "mine"}}}})
    call(project, "vars", "import", "-", given=document)
    refused(project, "vars", "rotate", "jon/s.source", why="what it is generated from has")


def test_the_plan_says_how_each_value_came(project: Project) -> None:
    write(project)
    call(project, "vars", "set", "jon/s.made", given="mine")
    output = call(project, "plan")
    assert "set jon/s.made: value (secret)\ngenerate jon/s.source: passphrase (secret)\n" in output
    assert "1 var to generate, 1 var to set; services: s: disk (self)\n" in output
    verbs = {made["var"]: made["verb"] for made in json.loads(call(project, "plan", "--json"))["makes"]}
    assert verbs == {"jon/s.made": "set", "jon/s.source": "generate"}
    call(project, "update", "--yes")
    for line in (
        "generate jon/s.made: value (secret); a new value is accepted beside it\n",
        "rotate jon/s.made: value (secret); the old value is still accepted\n",
        "rotate jon/s.made: value (secret); the old value is dropped\n",
    ):
        call(project, "vars", "rotate", "jon/s.made")
        assert line in call(project, "plan")
        call(project, "update", "--yes")


def test_a_rotation_replaces_at_once_a_value_made_for_other_settings(project: Project) -> None:
    write(project)
    call(project, "update", "--yes")
    write(project, name="two")
    output = call(project, "vars", "rotate", "jon/s.made")
    assert output == "jon/s.made  the new value takes the place of the old one\n"
    call(project, "update", "--yes")
    assert value(project)[MADE, "value"].startswith(b"two-")
    assert step_of(v.stored_all(project)[MADE]) == 0
    assert "step 1 of 3" in call(project, "vars", "rotate", "jon/s.made")
