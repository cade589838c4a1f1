"""`rolecall services`: the shipped ones, and the project's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import services

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


def named(name: str) -> tuple[str, str]:
    return 'Service("greeter"', f'Service("{name}"'


def own(project: Path, name: str) -> None:
    services.install(project, "greeter", named(name), module=name)


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
            "hello: Greets.\nthe project's own\n\n"
            "role greeter (at most 1 machine): Says it.\n  name: string; required\n"
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
    status, out, err = run("services", "list")
    assert (status, "Greets." in out, "broken.py does not load" in err) == (1, True, True)
    assert run("services", "show", "broken")[0] == 1
    status, out, err = run("services", "list", "--json")
    document = json.loads(out)
    [fault] = document["faults"]
    assert (status, err, "broken.py:1: ZeroDivisionError" in fault["message"]) == (1, "", True)
    assert {("hello", "self"), ("borgbackup", None)} <= {*listed(out)}


def test_a_module_with_a_hyphen_and_one_that_is_there_twice(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").touch()
    own(tmp_path, "my-svc")
    own(tmp_path, "dup")
    services.install(tmp_path, "greeter", named("dup"), module="dup/__init__")
    status, out, err = run("services", "list")
    assert (status, "my-svc " in out, "dup " in out) == (1, True, False)
    assert err.count("two modules match 'dup': ") == 1
    assert run("services", "show", "my-svc")[1].startswith("my-svc: Greets.")
    assert "did you mean 'my-svc'?" in run("services", "show", "my-scv")[2]
    assert '"my-svc"' in run("inventory", "schema")[1]


def test_a_service_that_there_is_not(run: Run) -> None:
    for words in (["show", "borgbackop"], ["show", "borgbackop", "--input", "rolecall"]):
        status, _, err = run("services", *words)
        assert (status, "did you mean 'borgbackup'?" in err) == (1, True)


def test_all_that_a_service_declares_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").touch()
    services.install(tmp_path, "hello")
    assert (
        run("services", "show", "hello")[1]
        == """hello: Greets.
the project's own; at most 1 instance

role host (exactly 1 machine): Is at home.
  excludes the role guest on the same machine
  makes key: private (secret), public (public)
  exports rolecall_project.hello.Name; reads host.key: What one is called.
    text: string; required

role guest (any number of machines): Comes.
  excludes the role host on the same machine
  words: list of strings; default []
  makes badge: passphrase (secret); reads host.key, rolecall_project.hello.Name
"""
    )
    document = json.loads(run("services", "show", "hello", "--json")[1])
    assert [document[key] for key in ("name", "input", "distribution", "maximumInstances")] == [
        "hello",
        "self",
        "self",
        1,
    ]
    host, guest = document["roles"]["host"], document["roles"]["guest"]
    assert (host["excludes"], host["minimum"], host["maximum"]) == (["guest"], 1, 1)
    assert host["vars"] == {"key": {"private": "secret", "public": "public"}}
    [export] = host["exports"]
    assert (export["interface"], export["needs"]) == ("rolecall_project.hello.Name", ["host.key"])
    assert export["fields"]["properties"]["text"]["type"] == "string"
    assert guest["needs"] == {"badge": ["host.key", "rolecall_project.hello.Name"]}
    assert guest["settings"]["properties"]["words"]["type"] == "array"


def test_an_inventory_with_faults_hides_no_service(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[[[")
    own(tmp_path, "hello")
    assert ("hello", "self") in listed(run("services", "list", "--json")[1])
