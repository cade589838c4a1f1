"""Updates that go on without an unreachable machine: when they must not, what is noted, and what a person is asked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

REFUSED = "ssh: connect to host 127.0.0.1 port 1: Connection refused"
AWAY, THERE = "root@127.0.0.1:1", "dir:targets/laptop"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    services.install(tmp_path, "received", module="mesh")
    (tmp_path / "inventory.toml").write_text(
        "machines.jon.deploy.targetHost = 'dir:targets/jon'\n"
        "machines.store.deploy.targetHost = 'dir:targets/store'\n"
        f"machines.laptop.deploy.targetHost = '{THERE}'\n"
        "[instances.mesh]\nmodule = { name = 'mesh', input = 'self' }\nroles.peer.tags = ['all']\n"
    )
    assert run("keys", "create", "me")[0] == 0
    return tmp_path


def move(project: Path, target: str) -> None:
    """Let the laptop be reached at a target."""
    file = project / "inventory.toml"
    before = AWAY if target == THERE else THERE
    file.write_text(file.read_text().replace(before, target))


def received(project: Path, name: str) -> set[str]:
    """Return the machines that are noted to have received a secret."""
    [note] = project.glob(f"vars/*/{name}/passphrase/machines")
    return set(note.read_text().split())


def test_a_skipped_machine_has_received_nothing(run: Run, project: Path) -> None:
    move(project, AWAY)
    assert run("update", "--yes", "--offline", "skip")[0] == 0
    assert received(project, "mesh.common") == {"jon", "store"}
    move(project, THERE)
    assert run("update", "--yes", "--offline", "skip")[0] == 0
    assert received(project, "mesh.common") == {"jon", "laptop", "store"}


def test_a_machine_is_not_skipped_when_others_drop_a_value_that_it_shares_with_them(run: Run, project: Path) -> None:
    run("update", "--yes")
    move(project, AWAY)
    assert run("vars", "rotate", "shared/mesh.common")[0] == 0
    status, out, err = run("update", "--yes", "--offline", "skip")
    assert status == 1
    assert (
        "laptop is unreachable, and must not miss this update: it replaces shared/mesh.common, and laptop would keep "
        "the old values\nhint: wait for it (`--offline wait`), or leave it out all the same: `--except laptop`"
    ) in err
    assert f"laptop (ssh {AWAY}) untouched: {REFUSED}" in out
    assert run("update", "--yes", "--except", "laptop")[0] == 0


def test_a_machine_is_skipped_when_a_value_of_its_own_is_replaced(run: Run, project: Path) -> None:
    run("update", "--yes")
    move(project, AWAY)
    assert run("vars", "rotate", "laptop/mesh.own", "jon/mesh.own")[0] == 0
    status, out, _ = run("update", "--yes", "--offline", "skip")
    assert status == 0
    assert "1 machine updated, laptop skipped" in out


@pytest.mark.parametrize(("answers", "status", "result"), [("y\ny\n", 0, "updated"), ("n\n", 1, "untouched")])
def test_a_person_is_asked(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch, answers: str, status: int, result: str
) -> None:
    move(project, AWAY)
    monkeypatch.setattr("sys.stdin", Terminal(answers))
    ended, out, err = run("update")
    assert f"laptop (ssh {AWAY}) is unreachable: {REFUSED}\ngo on without laptop? [y/N]: " in out + err
    assert f"jon (dir:targets/jon) {result}" in out
    assert ended == status


def test_nobody_is_asked_when_no_machine_is_left(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move(project, AWAY)
    monkeypatch.setattr("sys.stdin", Terminal())
    status, out, err = run("update", "laptop")
    assert status == 1
    assert f"laptop (ssh {AWAY}) untouched: {REFUSED}" in out
    assert "go on" not in out + err
    assert run("update", "laptop", "--yes", "--offline", "skip")[0] == 1


def test_a_saved_plan_is_carried_out_without_a_machine_only_if_it_may_be_skipped(run: Run, project: Path) -> None:
    assert run("plan", "--out", "monday.plan")[0] == 0
    move(project, AWAY)
    status, _, err = run("update", "./monday.plan", "--yes")
    assert (status, "laptop cannot be compared now" in err) == (1, True)
    status, out, _ = run("update", "./monday.plan", "--yes", "--offline", "skip")
    assert status == 0
    assert "2 machines updated, laptop skipped" in out


def test_a_saved_plan_must_be_the_same_for_the_others_when_a_machine_is_skipped(run: Run, project: Path) -> None:
    assert run("plan", "--out", "monday.plan")[0] == 0
    move(project, AWAY)
    delivered = 'own = peer.var("own", Passphrase(), deliver={"passphrase": Delivery()})'
    services.install(project, "received", (delivered, 'own = peer.var("own", Passphrase())'), module="mesh")
    status, _, err = run("update", "./monday.plan", "--yes", "--offline", "skip")
    assert status == 1
    assert "is to have another configuration than in the saved plan" in err


def test_the_digest_of_a_plan_is_that_of_the_machines_that_take_part(run: Run, project: Path) -> None:
    run("update", "--yes")
    move(project, AWAY)
    skipping = run("plan", "--json", "--offline", "skip")[1]
    named = run("plan", "--json", "jon", "store")[1]
    digests = [line for text in (skipping, named) for line in text.splitlines() if line.startswith('  "digest"')]
    assert len(digests) == 2
    assert digests[0] == digests[1]
