"""Vars that move from one project to another keep their values and versions, or do not move at all."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyrage
import pytest
from calling import call

import services
from rolecall import pipeline
from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.vars import VarKey

if TYPE_CHECKING:
    from rolecall.project import Project

INVENTORY = """
machines.jon.deploy.targetHost = "dir:targets/jon"
[instances.web]
module.input = "self"
roles.host.machines.jon = {}
"""
FILE = Path("vars.json")


@pytest.fixture
def web(project: Project) -> Project:
    return fresh(project)


def fresh(project: Project, name: str = "") -> Project:
    """A project with the same inventory and admins, and no vars yet."""
    made = replace(project, root=project.root.parent / name) if name else project
    services.install(made.root, "transferred", module="web")
    (made.root / "inventory.toml").write_text(INVENTORY)
    made.keys.mkdir(exist_ok=True)
    for key in project.keys.iterdir():
        (made.keys / key.name).write_bytes(key.read_bytes())
    return made


def values(project: Project) -> dict[Any, bytes]:
    return v.decrypt(
        project, [(key, name) for key, var in v.stored_all(project).items() for name in var if var[name].secret]
    )


def test_another_project_gets_the_same_values_and_versions(web: Project) -> None:
    pipeline.generate(pipeline.Workspace(web))
    data = pipeline.export_vars(pipeline.Workspace(web), [], [])
    other = fresh(web, "other")
    done = pipeline.import_vars(pipeline.Workspace(other), data, FILE)
    assert sorted(done.pending) == ["jon/web.made", "jon/web.pair", "jon/web.raw", "shared/web.word"]
    assert pipeline.Workspace(other).evaluation().configured == pipeline.Workspace(web).evaluation().configured
    v.promote(other, v.pending(other))
    assert v.stored_all(other) == v.stored_all(web)
    assert values(other) == values(web)
    again = pipeline.import_vars(pipeline.Workspace(other), data, FILE)
    assert (again.pending, len(again.same), again.unwanted) == ((), 4, ())


def test_some_vars_can_be_exported_for_another_key(web: Project) -> None:
    pipeline.generate(pipeline.Workspace(web))
    friend = pyrage.x25519.Identity.generate()
    data = pipeline.export_vars(pipeline.Workspace(web), ["jon/web.raw"], [str(friend.to_public())])
    with pytest.raises(Faults, match=r"cannot read this secret .*\n  at vars.json"):
        pipeline.import_vars(pipeline.Workspace(web), data, FILE)
    document = json.loads(pyrage.decrypt(data, [friend]))
    assert document["vars"].keys() == {"jon/web.raw"}
    assert document["vars"]["jon/web.raw"]["raw"]["base64"].startswith("AAEC")
    with pytest.raises(Faults, match=r"no var 'jon/web.ra'\nhint: did you mean 'jon/web.raw'"):
        pipeline.export_vars(pipeline.Workspace(web), ["jon/web.ra"], [])
    with pytest.raises(Faults, match="not a usable public key"):
        pipeline.export_vars(pipeline.Workspace(web), [], ["age1x"])


def test_readers_of_an_imported_var_are_regenerated(web: Project) -> None:
    pipeline.generate(pipeline.Workspace(web))
    text = json.dumps({"vars": {"shared/web.word": {"passphrase": {"text": "imported words"}}, "jon/web.gone": {}}})
    done = pipeline.import_vars(pipeline.Workspace(web), text.encode(), FILE)
    assert (sorted(done.pending), done.unwanted) == (["jon/web.made", "shared/web.word"], ("jon/web.gone",))
    assert v.pending(web)[VarKey("jon", "web.made")]["text"].public == "impo"


BAD: list[tuple[Any, str]] = [
    ("{", "not valid JSON"),
    ("[" * 100000, "not valid JSON"),
    ([], "no table `vars`"),
    ({"vars": []}, "no table `vars`"),
    ({"vars": {"jon/web.pair": []}}, "jon/web.pair/ is not a valid value"),
    ({"vars": {"jon/web.raw": {"raw": "SECRET"}}}, "jon/web.raw/raw is not a valid value"),
    ({"vars": {"jon/web.raw": {"raw": {"base64": "SECRET!"}}}}, "jon/web.raw/raw is not a valid value"),
    ({"vars": {"jon/web.raw": {"raw": {"text": "SECRET", "version": "a/b"}}}}, "jon/web.raw/raw is not a valid value"),
    ({"vars": {"jon/web.raw": {"raw": {"text": "SECRET", "version": 1}}}}, "jon/web.raw/raw is not a valid value"),
    ({"vars": {"jon/web.raw": {"other": {"text": "SECRET"}}}}, "the given value of jon/web.raw lacks raw"),
    ({"vars": {"jon/web.raw": {"raw": {"text": "x"}, "other": {"text": "SECRET"}}}}, "has undeclared files: other"),
    ({"vars": {"jon/web.made": {"text": {"base64": "/w=="}}}}, "a public text that is not UTF-8"),
]


@pytest.mark.parametrize(("document", "message"), BAD, ids=range(len(BAD)))
def test_a_bad_document_changes_nothing_and_is_not_printed(web: Project, document: object, message: str) -> None:
    data = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(Faults, match=message) as caught:
        pipeline.import_vars(pipeline.Workspace(web), data.encode(), FILE)
    assert "SECRET" not in str(caught.value)
    assert v.pending(web) == v.stored_all(web) == {}


def bound(**vars_: object) -> dict[str, object]:
    return {"vars": vars_, "binds": dict.fromkeys(vars_, "much")}


TEXT = {"text": "SECRET"}
UNFIT: list[tuple[dict[str, object], list[str]]] = [
    (
        bound(**{"JON/old.key": {"f": TEXT}}),
        ["JON and jon differ only in upper and lower case", 'at vars.json vars."JON/old.key"'],
    ),
    (bound(**{"jon/WEB.raw": {"f": TEXT}}), ["jon/WEB.raw and jon/web.raw differ only in upper and lower case"]),
    (
        bound(**{"old/a": {"f": TEXT}, "old/A": {"f": TEXT}}),
        ["old/A and old/a differ only in upper and lower case"],
    ),
    (bound(**{"old/a": {"K": TEXT, "k": TEXT}}), ["old/a/k and old/a/K differ only in upper and lower case"]),
    (bound(**{"old/a": {}}), ["old/a has no files"]),
    (bound(**{"old/a": {".next/f": TEXT}}), ["'.next/f' is not a valid file name in old/a"]),
    (bound(**{"old/a": {"../f": TEXT}}), ["'../f' is not a valid file name in old/a"]),
    (bound(**{"../a": {"f": TEXT}}), ["'../a' is not a valid name of a var"]),
    (bound(old={"f": TEXT}), ["'old/' is not a valid name of a var"]),
    (
        bound(**{"old/a": {"f": {"base64": "/w==", "public": True}}}),
        ["old/a/f is public, but not UTF-8 text", "hint: leave out `public`"],
    ),
    (
        bound(**{"old/a": {}, "old/b": {"-": TEXT}, "jon/web.raw": {"no": TEXT}, "jon/web.made": {}}),
        [
            "old/a has no files",
            "'-' is not a valid file name in old/b",
            "the given value of jon/web.raw lacks raw",
            "the given value of jon/web.made lacks text",
        ],
    ),
]


@pytest.mark.parametrize(("document", "messages"), UNFIT, ids=range(len(UNFIT)))
def test_vars_that_cannot_be_stored_are_all_reported_and_nothing_is_stored(
    web: Project, document: dict[str, Any], messages: list[str]
) -> None:
    document["vars"].setdefault("jon/web.raw", {"raw": TEXT})  # which alone would be stored
    with pytest.raises(Faults) as caught:
        pipeline.import_vars(pipeline.Workspace(web), json.dumps(document).encode(), FILE)
    for message in messages:
        assert message in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert v.pending(web) == v.stored_all(web) == {}
    assert not list(web.vars.glob("**/*"))


def test_nothing_is_stored_without_an_admin(web: Project) -> None:
    shutil.rmtree(web.keys)
    document = bound(**{"old/a": {"f": TEXT}, "jon/web.made": {"text": {"text": "x"}}})
    with pytest.raises(Faults, match="admin"):
        pipeline.import_vars(pipeline.Workspace(web), json.dumps(document).encode(), FILE)
    assert v.pending(web) == v.stored_all(web) == {}


def test_the_export_and_import_commands(web: Project) -> None:
    pipeline.generate(pipeline.Workspace(web))
    file = web.root.parent / "all.age"
    call(web, "vars", "export", "-o", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().startswith(b"age-encryption.org/v1")
    assert "already exists" in call(web, "vars", "export", "-o", str(file), status=1)
    output = json.loads(call(web, "vars", "import", str(file), "--json"))
    assert output == {"pending": [], "same": sorted(map(str, v.stored_all(web))), "unwanted": [], "kept": []}
    assert "unchanged: jon/web.raw\n" in call(web, "vars", "import", str(file))
