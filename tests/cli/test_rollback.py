"""Going back: exactly what was there, but never a secret that was replaced."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING

import pytest

import services
from rolecall_agent.state import checked, with_digest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

STATE = "targets/a/var/lib/rolecall"


def declare(root: Path, text: str) -> None:
    (root / "inventory.toml").write_text(f"""
[machines.a]
deploy.targetHost = "dir:targets/a"
[instances.p]
module = {{name = "page", input = "self"}}
roles.server.machines.a.settings.text = "{text}"
""")


@pytest.fixture
def project(run: Run, tmp_path: Path) -> Path:
    services.install(tmp_path, "page")
    declare(tmp_path, "0")
    assert run("keys", "create", "me")[0] == 0
    assert run("update", "--yes")[0] == 0
    return tmp_path


def contents(root: Path) -> tuple[str, str]:
    """Return the page and the password that are installed."""
    return (root / "targets/a/srv/page").read_text(), (root / "targets/a/etc/password").read_text()


@pytest.mark.parametrize("steps", list(itertools.product(("text", "rotate"), repeat=3)), ids="-".join)
def test_each_generation_comes_back_without_what_was_replaced(run: Run, project: Path, steps: tuple[str, ...]) -> None:
    seen = {1: contents(project)}
    for number, step in enumerate(steps, 2):
        if step == "text":
            declare(project, str(number))
        else:
            assert run("vars", "rotate", "a/p.password", "--yes")[0] == 0
        assert run("update", "--yes")[0] == 0
        seen[number] = contents(project)
    number = len(seen)
    for back in range(1, number):
        status, out, err = run("rollback", "a", "--to", str(back), "--yes")
        assert status == 0, out + err
        assert contents(project)[1] == seen[number][1]  # the password of now, whatever was asked for
        if "rotate" not in steps[back - 1 :]:
            assert contents(project) == seen[back]
        else:
            assert f"generation {back} was made with a/p.password, replaced or removed since" in err
        assert run("rollback", "a", "--to", str(number), "--yes")[0] == 0
        assert contents(project) == seen[number]


def test_a_generation_without_provenance_is_refused(run: Run, project: Path) -> None:
    declare(project, "1")
    assert run("update", "--yes")[0] == 0
    before = contents(project)
    (project / STATE / "generations/1/provenance.json").unlink()
    status, _, err = run("rollback", "--yes")
    assert (status, err.splitlines()[0]) == (1, "error: generation 1 of a does not record from which vars it was made")
    assert contents(project) == before


@pytest.mark.parametrize("lost", ["inputs", "origins"])
def test_a_generation_that_does_not_record_all_of_it_is_refused(run: Run, project: Path, lost: str) -> None:
    assert run("vars", "rotate", "a/p.password", "--yes")[0] == 0
    assert run("update", "--yes")[0] == 0
    before = contents(project)
    path = project / STATE / "generations/1/provenance.json"
    path.write_bytes(with_digest({**checked(path.read_bytes()), lost: {}}))
    status, _, err = run("rollback", "--yes")
    assert (status, err.splitlines()[0]) == (1, "error: generation 1 of a does not record from which vars it was made")
    assert contents(project) == before


def test_a_machine_gets_no_secret_by_inventing_that_it_has_it(run: Run, project: Path) -> None:
    with (project / "inventory.toml").open("a") as file:
        file.write('roles.server.machines.b.settings.text = "b"\n[machines.b]\ndeploy.targetHost = "dir:targets/b"\n')
    assert run("update", "--yes")[0] == 0
    declare(project, "1")
    assert run("update", "a", "--yes")[0] == 0
    version = {name: (project / f"vars/per-machine/{name}/p.password/passphrase/version").read_text() for name in "ab"}
    for path in (project / STATE / "generations").glob("*"):
        text = (path / "configuration.json").read_text().replace(version["a"].strip(), version["b"].strip())
        (path / "configuration.json").write_text(text)
        meta = checked((path / "meta.json").read_bytes())
        (path / "meta.json").write_bytes(with_digest({**meta, "digest": hashlib.sha256(text.encode()).hexdigest()}))
    before = contents(project)
    status, out, err = run("rollback", "--yes")
    assert (status, contents(project)) == (1, before), out + err
    assert "the secret p.password/passphrase was never sent to a" in out


def test_a_machine_cannot_choose_which_run_the_others_take_back(run: Run, project: Path) -> None:
    with (project / "inventory.toml").open("a") as file:
        file.write('roles.server.machines.b.settings.text = "b"\n[machines.b]\ndeploy.targetHost = "dir:targets/b"\n')
    both = (project / "inventory.toml").read_text()
    for text in "12":
        (project / "inventory.toml").write_text(both.replace('"b"', f'"{text}"').replace('"0"', f'"{text}"'))
        assert run("update", "--yes")[0] == 0
    path = project / STATE / "history"
    runs = [checked(line) for line in path.read_bytes().splitlines()]
    runs[1]["at"] = "2999-01-01T00:00:00.000+00:00"  # the first run of both machines
    path.write_bytes(b"".join(with_digest(each) + b"\n" for each in runs))
    status, out, err = run("rollback", "--yes")
    assert status == 0, out + err
    assert (project / "targets/b/srv/page").read_text() == "2\n"
    assert run("rollback", "b", "--yes")[0] == 0
    assert (project / "targets/b/srv/page").read_text() == "1\n"


def test_a_damaged_generation_is_named(run: Run, project: Path) -> None:
    declare(project, "1")
    assert run("update", "--yes")[0] == 0
    path = project / STATE / "generations/1/configuration.json"
    path.write_text(path.read_text().replace("/srv/page", "/srv/evil"))
    status, _, err = run("rollback", "--yes")
    assert status == 1
    assert "generations/1/configuration.json is damaged: its content does not match the digest in meta.json" in err


def test_a_machine_that_does_not_answer_stops_it(run: Run, project: Path) -> None:
    text = (project / "inventory.toml").read_text()
    (project / "inventory.toml").write_text(f'{text}[machines.b]\ndeploy.targetHost = "dir:inventory.toml/b"\n')
    status, _, err = run("rollback", "--yes")
    assert (status, err.startswith("error: b: ")) == (1, True)
    assert "to take back what a run did to the others, name them" in err
    assert run("rollback", "a", "--yes")[0] == 0


def test_a_plan_as_json_tells_where_it_goes(run: Run, project: Path) -> None:
    declare(project, "1")
    assert run("update", "--yes")[0] == 0
    status, out, _ = run("rollback", "--dry-run", "--json")
    machine = json.loads(out)["machines"]["a"]
    assert (status, machine["back"]) == (0, 1)
    (change,) = machine["changes"]
    assert change["why"] == [{"cause": "rollback", "origin": "", "subjects": [], "place": ""}]
    assert change["diff"]["lines"] == ["@@ -1 +1 @@", "-1", "+0"]


CHAIN = """
from rolecall.service import File, Interface, Service, SSHKeyPair

class Key(Interface):
    key: str

class Bundle(Interface):
    text: str

service = Service("chain", description="A key that goes through two exports, and one of another role.")
source = service.role("source", description="Has the key.")
relay = service.role("relay", description="Publishes the keys of others.")
sink = service.role("sink", description="Trusts them.")
pair = source.var("pair", SSHKeyPair())

@source.exports(Key, needs=[pair])
def publish(me):
    yield Key(key=me[pair].public)

@relay.exports(Bundle, needs=[NEEDS])
def relay_keys(me):
    yield Bundle(text="".join(READS))

@source.exports(Bundle, needs=[pair])
def all_of_the_role(me):
    if OWN_ROLE:
        yield Bundle(text="".join(peer[pair].public for peer in me.members(source)))

@sink.configure
def configure(me):
    yield File("/srv/keys", "".join(export.value.text for export in me.exports(Bundle)))
"""


def _chain(needs: str, reads: str) -> str:
    own_role = "False" if reads else "me.machine == 'b'"
    return CHAIN.replace("NEEDS", needs).replace("READS", reads or "[]").replace("OWN_ROLE", own_role)


@pytest.mark.parametrize(
    ("needs", "reads"),
    [
        ("Key", "export.value.key for export in me.exports(Key)"),
        ("pair", "peer[pair].public for peer in me.members(source)"),
        ("", ""),
    ],
    ids=["two exports", "another role", "the same role"],
)
def test_a_replaced_public_key_does_not_come_back_through(run: Run, tmp_path: Path, needs: str, reads: str) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/chain.py").write_text(_chain(needs, reads))
    (tmp_path / "inventory.toml").write_text("""
[machines]
a.deploy.targetHost = "dir:targets/a"
b.deploy.targetHost = "dir:targets/b"
c.deploy.targetHost = "dir:targets/c"
[instances.c]
module = {name = "chain", input = "self"}
roles.source.machines = {a = {}, b = {}}
roles.relay.machines.b = {}
roles.sink.machines.c = {}
""")
    assert run("keys", "create", "me")[0] == 0
    assert run("update", "--yes")[0] == 0
    keys = tmp_path / "targets/c/srv/keys"
    old = keys.read_text()
    assert run("vars", "rotate", "a/c.pair", "--yes")[0] == 0
    assert run("update", "--yes")[0] == 0
    new = keys.read_text()
    assert new != old
    status, out, err = run("rollback", "c", "--to", "1", "--yes")
    assert (status, keys.read_text()) == (0, new), out + err
    assert "c.sink stays as it is on c: generation 1 was made with a/c.pair" in err


def test_a_machine_writes_no_lines_of_the_log(run: Run, project: Path) -> None:
    path = project / STATE / "history"
    past = json.loads(path.read_text())
    del past["sha256"]
    for name in ("run", "user", "message"):
        past[name] = "x\n  b: committed generation 9\x1b[2J"
    path.write_bytes(with_digest(past) + b"\n")
    status, out, _ = run("log")
    assert (status, len(out.splitlines())) == (0, 2)
    assert "\x1b" not in out
    assert "x\\n  b: committed" in out
