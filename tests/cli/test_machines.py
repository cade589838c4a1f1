"""`rolecall machines`: what is declared, and which host keys are trusted."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from killing import everything, killed_at
from rolecall import pipeline
from rolecall.deploy import pins
from rolecall.errors import Faults, fault
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run
    from rolecall.deploy.target import Target

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
    assert run("machines", "list")[1] == "no machines yet; declare one: `rolecall machines add NAME`\n"
    assert run("machines", "list", "--json")[1] == "{}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["web", "--tag", "a.b"], "invalid tag name 'a.b'\n  at machines.web.tags[0]"),
        (["web", "--tag", ""], "invalid tag name"),
        (["web", "--target-host", "a b"], "invalid target 'a b'\n  at machines.web.deploy.targetHost"),
        (["web", "--target-host", ""], "invalid target ''"),
        (["web", "--target-host", "dir:/"], "the target 'dir:/' contains this project"),
        (["jon"], "machine 'jon' already exists"),
        (["../x"], "invalid machine name"),
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
    assert (status, out) == (0, "pinned 1 host key of jon\n")
    assert asked == ["did you compare these keys on jon itself: are they the same?"]
    assert err == f"presented:\n  {pins.fingerprint(NEW)}\n"
    assert shows.read_text() == f"jon {NEW}\n"
    assert run("machines", "pin", "jon")[1] == "1 host key of jon already pinned\n"
    assert len(asked) == 1


def test_other_keys_than_are_pinned(run: Run, shows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shows.parent.mkdir()
    shows.write_text(f"jon,10.0.0.1 {OLD}\n")
    status, _, err = run("machines", "pin", "jon", "--yes")
    assert (status, "error: jon presents other host keys than the pinned ones" in err) == (1, True)
    told = f"pinned:\n  {pins.fingerprint(OLD)}\npresented:\n  {pins.fingerprint(NEW)}\n"
    assert err.startswith("WARNING: jon presents other host keys than the pinned ones.")
    assert told in err
    status, _, err = run("machines", "pin", "jon")  # nobody answers
    assert (status, "replace the pinned ones?" in err, told in err) == (130, True, True)
    assert shows.read_text() == f"jon,10.0.0.1 {OLD}\n"

    status, out, _ = run("machines", "pin", "jon", "--yes", "--replace", "--json")
    assert (status, json.loads(out)) == (0, {"machines": {"jon": {"keys": [NEW], "before": [OLD]}}})
    assert shows.read_text() == f"10.0.0.1 {OLD}\njon {NEW}\n"

    shows.write_text(f"jon {OLD}\n")
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    assert run("machines", "pin", "jon")[0] == 0
    assert shows.read_text() == f"jon {NEW}\n"


def test_all_machines_are_pinned_after_one_question(run: Run, shows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda text, **_: asked.append(text))
    known = {"sara": [OLD]}
    monkeypatch.setattr(pins, "known_to_user", lambda target: known.get(target.machine, []))
    inventory = shows.parents[1] / "inventory.toml"
    inventory.write_text("".join(f"machines.{name}.deploy.targetHost = '{name}'\n" for name in ("jon", "sara", "web")))
    with inventory.open("a") as file:
        file.write("machines.lone = {}\nmachines.folder.deploy.targetHost = 'dir:targets/x'\n")
    shows.parent.mkdir()
    shows.write_text(f"web {OLD}\n")
    assert run("machines", "pin", "--all", "--known-hosts")[:2] == (
        0,
        "pinned 1 host key of jon\npinned 1 host key of sara, from your known_hosts\n",
    )
    assert asked == ["did you compare these keys on jon itself: are they the same?"]
    assert shows.read_text() == f"web {OLD}\njon {NEW}\nsara {OLD}\n"
    assert run("machines", "pin", "--all")[1] == "all machines that have a target are pinned\n"
    status, out, err = run("machines", "pin", "jon", "sara", "--yes")
    assert (status, out) == (1, "1 host key of jon already pinned\n")
    assert "error: sara presents other host keys than the pinned ones" in err
    assert run("machines", "pin", "sara", "--known-hosts")[1] == "1 host key of sara already pinned\n"

    shows.unlink()
    status, _, err = run("machines", "pin", "jon", "web")
    assert asked[1:] == ["did you compare these keys on the machines themselves: are they the same?"]
    assert err == "".join(f"presented by {name}:\n  {pins.fingerprint(NEW)}\n" for name in ("jon", "web"))
    for words in ([], ["jon", "--all"]):
        assert run("machines", "pin", *words)[0] == 2


def test_machines_that_do_not_answer_do_not_stop_the_others(
    run: Run, shows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan(target: Target) -> list[str]:
        if target.machine == "jon":
            raise fault("jon presents no host keys")
        return [NEW]

    monkeypatch.setattr(pins, "scan", scan)
    assert run("machines", "add", "web", "--target-host", "web")[0] == 0
    status, out, err = run("machines", "pin", "--all", "--yes")
    assert (status, out, err) == (1, "pinned 1 host key of web\n", "error: jon presents no host keys\n")
    assert shows.read_text() == f"web {NEW}\n"


def test_pins_that_are_no_text(run: Run, shows: Path) -> None:
    shows.parent.mkdir()
    shows.write_bytes(b"jon \xff\n")
    for words in (["machines", "pin", "jon"], ["plan"]):
        status, _, err = run(*words)
        assert (status, err.splitlines()[:2]) == (1, ["error: not UTF-8", "  at keys/known_hosts:1"])


def test_forgetting(run: Run, project: Path) -> None:
    pinned = project / "keys/known_hosts"
    pinned.parent.mkdir()
    pinned.write_text(f"# all\nold,jon {OLD}\nold {NEW}\n")
    assert "`rolecall machines forget old`" in run("plan")[2]
    told = "error: machine 'odl' has no pinned host keys\nhint: did you mean 'old'?\n"
    assert run("machines", "forget", "odl")[2] == told
    assert run("machines", "forget", "jon")[2] == (
        "error: machine 'jon' is declared\nhint: run `rolecall machines remove jon` first\n"
    )
    assert run("machines", "forget", "old")[0] == 0
    assert pinned.read_text() == f"# all\njon {OLD}\n"


def test_installing_a_directory_declares_and_updates_it(run: Run, project: Path) -> None:
    words = ("machines", "install", "store", "--target-host", "dir:targets/store")
    status, out, err = run(*words)
    assert (status, err) == (0, "declared store in inventory.json\n")
    assert out.startswith("nothing changes (1 machine)\n")
    before = (project / "inventory.json").read_text()
    assert run(*words)[2] == "store is prepared already\n"
    status, out, _ = run("machines", "install", "store", "--yes", "--json")
    assert (status, json.loads(out)["done"], json.loads(out)["update"]["done"]) == (0, [], True)
    assert (project / "inventory.json").read_text() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["web"], "machine 'web' does not exist\nhint: if it is new, give its target: `--target-host"),
        (["lone"], "machine 'lone' has no target"),
        (
            ["jon", "--target-host", "root@other"],
            "the target of jon is 'root@jon.example.org' in the inventory\nhint: omit",
        ),
        (["../x", "--target-host", "x"], "invalid machine name '../x'"),
        (["-rf", "--target-host", "x"], "No such option"),
        (["web", "--target-host", "-oProxyCommand=x"], "invalid target '-oProxyCommand=x'"),
        (["web", "--target-host", "a b"], "invalid target 'a b'"),
        (["web", "--target-host", "dir:/"], "the target 'dir:/' contains this project"),
        (["web", "--target-host", "127.0.0.1:1"], "web presents no host keys at 127.0.0.1 port 1"),
    ],
)
def test_what_cannot_be_installed_leaves_no_trace(run: Run, project: Path, words: list[str], told: str) -> None:
    with (project / "inventory.toml").open("a") as file:
        file.write("[machines.lone]\n")
    status, out, err = run("machines", "install", *words, "--yes")
    assert (status in {1, 2}, out, told in err) == (True, "", True), err
    assert not (project / "keys").exists()
    assert not (project / "inventory.json").exists()


def test_a_machine_with_other_host_keys_is_not_installed(run: Run, shows: Path) -> None:
    shows.parent.mkdir()
    shows.write_text(f"jon {OLD}\n")
    status, _, err = run("machines", "install", "jon", "--yes")
    assert (status, "error: jon presents other host keys than the pinned ones" in err) == (1, True)
    assert "then run `rolecall machines pin jon --replace`" in err
    shows.unlink()
    assert run("machines", "install", "jon", "--yes")[0] == 130  # nobody compares the keys
    assert not shows.exists()


VALUE = "per-machine/{}/x.y/file/value"


@pytest.fixture
def known(project: Path) -> Project:
    """Jon, known by his name in every way in which a project knows a machine."""
    (project / "inventory.json").write_text('{"machines": {"jon": {"tags": ["a"]}}, "tags": {"b": ["jon"]}}')
    for base in ("vars", ".rolecall/pending"):
        value = project / base / VALUE.format("jon")
        value.parent.mkdir(parents=True)
        value.write_text("kept\n")
    (project / "machines/jon").mkdir(parents=True)
    (project / "keys").mkdir()
    (project / "keys/known_hosts").write_text(f"# of jon\nbackup,jon {OLD}\njonas {NEW}\n")
    return Project(project)


def test_a_rename_that_was_killed_is_completed_when_done_again(
    known: Project, tmp_path_factory: pytest.TempPathFactory, run: Run
) -> None:
    whole = Project(tmp_path_factory.mktemp("whole") / "project")
    shutil.copytree(known.root, whole.root)
    pipeline.rename_machine(pipeline.Workspace(whole), "jon", "bob")
    wanted = everything(whole)
    assert wanted["vars/" + VALUE.format("bob")] == wanted[".rolecall/pending/" + VALUE.format("bob")] == "kept\n"
    assert wanted["keys/known_hosts"] == f"# of jon\nbackup,bob {OLD}\njonas {NEW}\n"
    assert wanted["inventory.toml"].startswith("[machines.bob]\n")
    assert (whole.machines / "bob").is_dir()
    died, move = True, 0
    while died:
        project = Project(tmp_path_factory.mktemp("killed") / "project")
        shutil.copytree(known.root, project.root)
        died = killed_at(
            move, lambda project=project: pipeline.rename_machine(pipeline.Workspace(project), "jon", "bob")
        )  # type: ignore[misc]
        if died and move:
            status, _, err = run("--project", str(project.root), "check")
            assert status == 1
            assert "renaming machine 'jon' to 'bob' was interrupted" in err
            assert "`rolecall machines rename jon bob`" in err
        if died:
            pipeline.rename_machine(pipeline.Workspace(project), "jon", "bob")
        assert {name: text for name, text in everything(project).items() if ".new" not in name} == wanted
        move += 1
    assert move == 8  # the record, pins, vars, pending ones, the folder, two files; and none


@pytest.mark.parametrize(
    ("path", "told"),
    [("keys/known_hosts", "pinned host keys of 'bob' already exist"), ("vars", "vars of 'bob' already exist")],
)
def test_a_name_that_something_is_known_by_is_not_given(known: Project, path: str, told: str) -> None:
    if path == "vars":
        (known.vars / VALUE.format("bob")).parent.mkdir(parents=True)
    else:
        known.known_hosts.write_text(f"bob {NEW}\n")
    before = everything(known)
    with pytest.raises(Faults, match=told):
        pipeline.rename_machine(pipeline.Workspace(known), "jon", "bob")
    assert everything(known) == before
