"""`rolecall machines retire`: a machine leaves, its peers forget it, and what it knew becomes useless."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import fault
from rolecall.pipeline import retiring

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

SERVICE = """\
from rolecall.service import *
service = Service("note", description="A note of all members, and a password that they share.")
hub = service.role("hub", description="Must exist.", minimum=1)
node = service.role("node", description="Has both.")
password = node.var("password", Passphrase(words=4), scope="shared")
@node.configure
def have(me):
    yield File("/etc/members", " ".join(each.machine for each in me.members(node)))
    yield secret_file(me[password].secret)
"""


OTHER = "instances.note.roles.node.machines.jon = {}"


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/note.py").write_text(SERVICE)
    machines = {name: {"deploy": {"targetHost": f"dir:targets/{name}"}} for name in ("ann", "jon")}
    note = {"module": {"input": "self"}, "roles": {"node": {"tags": ["all"]}, "hub": {"machines": {"ann": {}}}}}
    (tmp_path / "inventory.json").write_text(json.dumps({"machines": machines, "instances": {"note": note}}))
    assert run("keys", "create", "me")[0] == 0
    assert run("update", "--yes")[0] == 0
    (tmp_path / "keys/known_hosts").write_text("ann ssh-ed25519 AAAA\njon ssh-ed25519 AAAB\n")
    return tmp_path


VERSION = "vars/shared/note.password/passphrase/version"


def state(project: Path) -> tuple[str, ...]:
    """Return what the project says, and what the machines have."""
    names = (
        "inventory.json",
        "keys/known_hosts",
        "targets/ann/etc/members",
        VERSION,
    )
    return tuple((project / name).read_text() for name in names)


def test_a_machine_is_retired(run: Run, project: Path) -> None:
    inventory, _, members, version = state(project)
    assert members == "ann jon"
    status, out, err = run("machines", "retire", "jon", "--yes")
    assert status == 0, err
    plan, _, done = out.partition("services: note")
    assert "jon (dir:targets/jon)\n  - file /etc/members" in plan
    assert "ann (dir:targets/ann)\n  ~ file /etc/members" in plan
    for told in (
        "purged jon\n",
        "removed jon from inventory.json\n",
        "shared/note.password  the new value takes the place",
    ):
        assert told in done
    after, pinned, members, changed = state(project)
    assert (pinned, members) == ("ann ssh-ed25519 AAAA\n", "ann")
    assert version != changed
    wanted = json.loads(inventory)
    del wanted["machines"]["jon"]
    assert json.loads(after) == wanted
    assert not (project / "targets/jon/etc/members").exists()
    assert not (project / "targets/jon/var/lib/rolecall/generations").exists()
    assert run("plan")[1:] == ("nothing changes (1 machine)\n", "")
    assert run("machines", "retire", "jon", "--yes")[2].startswith("error: machine 'jon' does not exist\n")


def test_a_machine_that_is_gone_is_left_as_it_is(run: Run, project: Path) -> None:
    (project / "targets/jon").rename(project / "gone")
    *_, version = state(project)
    status, out, _ = run("machines", "retire", "jon", "--offline", "--yes", "--json")
    assert (status, list(json.loads(out)["update"]["machines"])) == (0, ["ann"])
    assert json.loads(out)["rotated"] == [{"var": "shared/note.password", "step": 0}]
    assert not (project / "targets/jon").exists()
    assert state(project)[1:3] == ("ann ssh-ed25519 AAAA\n", "ann")
    assert state(project)[3] != version


def test_what_it_knew_may_stay(run: Run, project: Path) -> None:
    *_, version = state(project)
    assert run("machines", "retire", "jon", "--no-rotate", "--yes")[0] == 0
    assert state(project)[3] == version


@pytest.mark.parametrize(
    ("words", "own", "told"),
    [
        (["jno"], "", "machine 'jno' does not exist\nhint: did you mean 'jon'?"),
        (["jon"], "", "cannot ask for confirmation"),
        (["jon", "--yes"], "machines.jon.tags = ['a']", "inventory.toml sets machines.jon"),
        (["jon", "--yes"], OTHER,
         "inventory.toml sets instances.note.roles.node.machines.jon"),
        (["ann", "--yes"], "",
         "nothing written: the change would cause these faults"),
        (["jon", "--yes"], "machines.bob.deploy.targetHost = '127.0.0.1:1'", "Connection refused"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_changes_nothing(run: Run, project: Path, words: list[str], own: str, told: str) -> None:
    if own:
        (project / "inventory.toml").write_text(f"{own}\n")
    before = state(project)
    status, out, err = run("machines", "retire", *words)
    assert (status, told in out + err) == (1, True), out + err
    assert state(project) == before
    assert (project / "targets/jon/etc/members").exists()


def test_after_a_failure_the_command_is_repeated(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> list[str]:
        raise fault("jon is not purged: connection lost")

    with monkeypatch.context() as lost:
        lost.setattr(retiring, "purge_machine", fail)
        status, _, err = run("machines", "retire", "jon", "--yes")
    assert status == 1
    assert err.partition("error: ")[2] == (
        "jon is not purged: connection lost\n"
        "error: jon is not retired: what was installed is undone, but the inventory still has its roles\n"
        "hint: repeat the command; if jon is gone for good, with --offline\n"
    )
    with monkeypatch.context() as interrupted:
        interrupted.setattr(pipeline, "rotate_with_updates", fail)
        status, out, err = run("machines", "retire", "jon", "--yes")
    assert (status, "removed jon from inventory.json" in out) == (1, True)
    assert "jon is retired, but the secrets that it knew are not all rotated" in err
    assert "hint: continue with `rolecall vars rotate --known-to jon --update`" in err
    *_, version = state(project)
    assert run("vars", "rotate", "--known-to", "jon", "--update", "--yes")[0] == 0
    assert state(project)[3] != version


def test_a_machine_that_is_unreachable_may_be_gone(run: Run, project: Path) -> None:
    inventory = project / "inventory.json"
    inventory.write_text(inventory.read_text().replace("dir:targets/jon", "127.0.0.1:1"))
    assert run("machines", "retire", "jon", "--yes")[1:] == (
        "",
        (
            "error: jon (ssh 127.0.0.1:1): ssh: connect to host 127.0.0.1 port 1: Connection refused\n"
            "hint: if jon is gone for good, use --offline\n"
        ),
    )
    assert run("machines", "retire", "jon", "--yes", "--offline")[0] == 0
