"""A machine that an earlier version installed, with what no rule of today allows, is no machine that is stuck."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

import services
from rolecall_agent.configuration import Configuration
from rolecall_agent.machine import Machine
from rolecall_agent.store import Store
from rolecall_agent.switch import commit, decide, switch
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

# As an earlier version wrote it: decimal modes, lists of letters, timeouts of 30.5 and of 0 seconds, a word with a NUL.
INSTALLED = (
    rb'{"checks":[{"argv":["true"],"name":"q.r: half","peers":false,"timeout":30.5},'
    rb'{"argv":["true","a\u0000b"],"name":"q.r: nul","peers":false,"timeout":30},'
    rb'{"argv":["t","r","u","e"],"name":"q.r: zero","peers":false,"timeout":0}],"machine":"a","resources":['
    rb'{"group":"root","kind":"directory","mode":755,"owner":"root","path":"/srv/b"},'
    rb'{"content":[{"sha256":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}],"group":"root",'
    rb'"kind":"file","mode":644,"needed_for":"services","owner":"root","path":"/etc/a","restarts":[]},'
    rb'{"command":["s","e","r","v","e"],"kind":"authorized-key","public_key":"ssh-ed25519 KEY1","user":"root"},'
    rb'{"enabled":false,"kind":"unit","name":"a.service","reload_on":[],"restart_on":["x","y"],"started":false,'
    rb'"text":{"sha256":"d4fded2cad024081ba5944d682e2edad1ba9832d97c2111bb07d1d323d735330"}},'
    rb'{"argv":["true"],"kind":"action","name":"go","undo":["n","o"],"when_changed":["a","b"]}],"schema":1}'
)
BLOBS = {
    "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881": b"x",
    "d4fded2cad024081ba5944d682e2edad1ba9832d97c2111bb07d1d323d735330": b"[Service]\nExecStart=/bin/true\n",
}
INVENTORY = """
[machines.a]
deploy.targetHost = "dir:targets/a"
[instances.q]
module = {name = "q", input = "self"}
roles.r.machines.a = {}
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    services.install(tmp_path, "checked_file", module="q")
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    root = tmp_path / "targets/a"
    (root / "root").mkdir(parents=True)
    system = RecordedSystem(str(root))
    machine = Machine(system, Store(system), lambda _step, _detail: None)
    machine.store.prepare()
    for digest, data in BLOBS.items():
        machine.store.add_blob(digest, data)
    meta = {"run": "r", "user": "u", "commit": "", "at": "2026-01-01T00:00:00Z"}
    switch(machine, Configuration.decode(INSTALLED), meta, nonce="n", confirm=False)  # type: ignore[arg-type]
    decide(machine)
    commit(machine)
    return root


def test_what_is_wrong_there_is_mended(run: Run, installed: Path) -> None:
    assert (installed / "etc/a").stat().st_mode & 0o7777 == 0o1204
    status, out, _ = run("plan")
    assert status == 0
    assert re.search(r"~ file /etc/a +q.r  mode 1204, not 0644  \[1\]\n", out)
    assert "  [1] because q.r changed (inventory.toml:6)\n" in out
    assert " removed once it is empty  [2]\n" in out
    assert run("update", "--yes")[0] == 0
    assert (installed / "etc/a").stat().st_mode & 0o7777 == 0o644
    assert run("plan")[1] == "nothing changes (1 machine)\n"


def test_a_switch_from_it_goes_back_to_it(run: Run, installed: Path) -> None:
    record = installed / "var/lib/rolecall/system.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"fail": {"commands": ["works"]}}))
    status, out, _ = run("update", "--yes")
    assert status == 1
    assert "the check 'q.r: works' failed" in out
    assert (installed / "etc/a").stat().st_mode & 0o7777 == 0o1204
    assert (installed / "srv/b").is_dir()
    assert "~ file /etc/a" in run("plan")[1]


def test_it_is_removed_and_purged(run: Run, installed: Path, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text(INVENTORY.replace("roles.r.machines.a = {}", ""))
    status, _, err = run("machines", "purge", "a", "--yes")
    assert status == 1
    assert "the machine still has managed resources" in err
    assert run("update", "--yes")[0] == 0
    assert not (installed / "etc/a").exists()
    assert not (installed / "srv/b").exists()
    assert run("machines", "purge", "a", "--yes")[:2] == (0, "purged a\n")
