"""What happens when an undo fails, and how a person gets out of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_client import NearClient, Refused
from agent_world import META, NOTHING, STATE, machine, make, service, snapshot, stage, update

from rolecall_agent import undo
from rolecall_agent.configuration import Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.recovery import recover
from rolecall_agent.resources import File
from rolecall_agent.switch import decide, switch
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


def configured(text: str, *others: Any) -> Configuration:  # noqa: ANN401 - resources
    """A file and a service that restarts with it."""
    unit = service("a.service", "/bin/a", started=True, restart_on=("file:/etc/one",))
    return Configuration.of("m", [File("/etc/one", text), unit, *others])


def record(root: Path, **changes: Any) -> None:  # noqa: ANN401 - JSON
    path = root / STATE / "system.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_service_that_was_down_before_does_not_take_the_run_back(root: Path) -> None:
    update(root, configured("1\n"))
    record(root, units={}, fail={"units": ["a.service"]})
    target = configured("1\n", File("/etc/two", "2\n"))
    with NearClient(root) as client:
        client.open()
        assert client.compare(target)["restarts"] == [{"name": "a.service", "verb": "start", "also": []}]
        client.switch(target)
        client.ask(type="decide")
        committed = client.ask(type="commit")
    [note] = committed["notes"]
    assert note.startswith("a.service was down before, and is still")
    assert (root / "etc/two").read_text() == "2\n"


def test_an_undo_asks_of_units_no_more_than_they_were(root: Path) -> None:
    """A unit that was down before the switch, and that it restarts, need not run after the undo."""
    update(root, configured("1\n"))
    record(root, units={}, fail={"units": ["a.service"]})
    before = snapshot(root)
    it = machine(root)
    stage(it, target := configured("2\n"))
    with pytest.raises(Failure, match=r"a\.service failed") as caught:
        switch(it, target, META, nonce="n", confirm=False)
    assert caught.value.machine_unchanged
    assert snapshot(root) == before
    record(root, fail={})
    update(root, target)


@pytest.fixture
def damaged(root: Path) -> Path:
    """A machine on which a unit that ran before the switch does not start any more."""
    update(root, configured("1\n", File("/etc/two", "1\n")))
    record(root, fail={"units": ["a.service"]})
    it = machine(root)
    stage(it, target := configured("2\n", File("/etc/two", "2\n")))
    with pytest.raises(Failure, match=r"the undo failed for unit:a\.service$") as caught:
        switch(it, target, META, nonce="n", confirm=False)
    assert not caught.value.machine_unchanged
    [damage] = caught.value.damage
    assert (damage["key"], damage["path"]) == ("unit:a.service", "/etc/systemd/system/a.service")
    return root


def test_what_can_be_put_back_is_put_back(damaged: Path) -> None:
    assert (damaged / "etc/one").read_text() == (damaged / "etc/two").read_text() == "1\n"


def test_the_next_open_tries_again(damaged: Path) -> None:
    with NearClient(damaged) as client, pytest.raises(Refused, match=r"the undo failed for unit:a\.service") as refused:
        client.open()
    assert [each["key"] for each in refused.value.failed["damaged"]] == ["unit:a.service"]
    assert not refused.value.failed["restored"]
    record(damaged, fail={})
    with NearClient(damaged) as client:
        state = client.open()
    assert (state["recovered"], state["drift"]) == ("undone", [])


def recovery(root: Path, mode: str, *keys: str) -> dict[str, Any]:
    with NearClient(root) as client:
        return client.first(type="recover", mode=mode, keys=list(keys))


def test_an_interrupted_switch_is_shown_and_not_touched(damaged: Path) -> None:
    before = snapshot(damaged)
    shown = recovery(damaged, "show")
    assert shown["settled"] == ""
    interrupted = shown["interrupted"]
    assert (interrupted["source"], interrupted["target"], interrupted["decided"]) == (1, 2, False)
    assert interrupted["meta"]["run"] == META["run"]
    assert interrupted["resources"] == ["file:/etc/one", "file:/etc/two"]
    assert interrupted["units"] == ["a.service"]
    assert [each["key"] for each in interrupted["damage"]] == ["unit:a.service"]
    assert snapshot(damaged) == before
    assert recovery(damaged, "show") == shown


def test_a_single_resource_is_given_up(damaged: Path) -> None:
    with NearClient(damaged) as client, pytest.raises(Refused, match="has not touched file:/etc/three"):
        client.first(type="recover", mode="abandon", keys=["file:/etc/three"])
    assert recovery(damaged, "abandon", "unit:a.service")["settled"] == "undone"
    assert recovery(damaged, "show") == {"type": "recovery", "interrupted": None, "settled": ""}
    record(damaged, fail={})
    update(damaged, configured("3\n"))
    assert (damaged / "etc/one").read_text() == "3\n"


def test_everything_is_accepted_as_it_is(damaged: Path) -> None:
    assert recovery(damaged, "accept")["settled"] == "accepted"
    with NearClient(damaged) as client:
        state = client.open()
        assert (state["recovered"], state["current"]["number"]) == (None, 1)
        assert [each["key"] for each in state["drift"]] == ["unit:a.service"]


def test_originals_of_what_was_given_up_are_kept(root: Path) -> None:
    (root / "etc/one").write_text("mine\n")
    update(root, NOTHING)
    it = machine(root)
    stage(it, target := configured("1\n"))
    switch(it, target, META, nonce="n", confirm=False)
    undo.accept(it := machine(root))  # without trying to undo it
    assert (root / "etc/one").read_text() == "1\n"
    assert "file:/etc/one" in it.store.originals
    update(root, Configuration.of("m", [File("/etc/other", "")]))
    update(root, target)
    update(root, NOTHING)
    assert (root / "etc/one").read_text() == "mine\n"
    assert not machine(root).store.originals


def test_a_drifted_file_is_put_back_as_it_was(root: Path) -> None:
    """An undo goes back to the state before the switch, not to what was declared once."""
    update(root, configured("1\n"))
    (root / "etc/one").write_text("edited\n")
    it = machine(root)
    stage(it, target := configured("2\n"))
    switch(it, target, META, nonce="n", confirm=False)
    recover(machine(root))
    assert (root / "etc/one").read_text() == "edited\n"


def test_a_decided_switch_is_completed(root: Path) -> None:
    update(root, configured("1\n"))
    it = machine(root)
    stage(it, target := configured("2\n"))
    switch(it, target, META, nonce="n", confirm=False)
    decide(it)
    assert recover(machine(root)) == "committed"
    assert machine(root).store.current == 2
    assert (root / "etc/one").read_text() == "2\n"


def test_nothing_is_committed_or_undone_against_the_decision(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        client.switch(configured("1\n"))
        with pytest.raises(Refused, match="the switch is not decided"):
            client.ask(type="commit")
        client.ask(type="decide")
        with pytest.raises(Refused, match="the switch is decided, so it can only be committed"):
            client.ask(type="undo")
    assert machine(root).store.current == 1  # although the controller has never sent ``commit``


WRITER = """
import json, os, sys
assert sys.argv[1:] == ["recover", "--locked", "--root", ROOT], sys.argv
os.unlink(f"{ROOT}/var/lib/rolecall/journal.json")
print(json.dumps({"recovered": "undone"}))
"""


def test_the_agent_that_wrote_a_journal_reads_it(damaged: Path) -> None:
    journal = damaged / STATE / "journal.json"
    content = json.loads(journal.read_text())
    del content["sha256"]
    journal.write_text(json.dumps({**content, "agent": "other", "schema": 99}))
    with pytest.raises(Failure, match=r"journal\.json has schema 99, and this agent supports 1"):
        recover(machine(damaged))
    home = damaged / STATE / "agent/other"
    home.mkdir(parents=True)
    (home / "__main__.py").write_text(WRITER.replace("ROOT", repr(str(damaged))))
    assert recover(machine(damaged)) == "undone"
    assert not journal.exists()
    journal.write_text(json.dumps({**content, "agent": "other"}))
    (home / "__main__.py").write_text("raise SystemExit('broken')")
    with pytest.raises(Failure, match="ended with status 1") as caught:
        recover(machine(damaged))
    assert caught.value.detail.strip() == "broken"


EARLIER = """
import os
def serve(first, source, sink, root):
    assert first["protocol"] == 1 and source.read() == b""
    os.unlink(f"{root}/var/lib/rolecall/journal.json")
    open(f"{root}/served", "w").close()
"""


def test_an_earlier_version_settles_its_own_switch(root: Path) -> None:
    update(root, configured("1\n"))
    home = root / STATE / "agent/earlier"
    (home / "rolecall_agent").mkdir(parents=True)
    (home / "__main__.py").write_text("")
    (home / "rolecall_agent/__init__.py").write_text("")
    (home / "rolecall_agent/conversation.py").write_text(EARLIER)
    (root / STATE / "agent/boot").symlink_to("earlier")
    (root / STATE / "journal.json").write_text('{"from": 0, "to": 1, "provisional": true, "units": [], "ran": []}')
    with NearClient(root) as client:
        assert client.open()["current"]["number"] == 1
    assert (root / "served").exists()


def test_what_other_programs_have_written_is_on_the_disk_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a switch can be committed, and before the journal of an undo goes."""
    seen: list[tuple[bool, bool]] = []
    journal = root / STATE / "journal.json"

    def flush(system: RecordedSystem) -> None:
        enabled = system.units.state("a.service").enabled
        seen.append((enabled, json.loads(journal.read_text())["provisional"]))

    monkeypatch.setattr(RecordedSystem, "flush", flush)
    target = Configuration.of("m", [service("a.service", "/bin/one", enabled=True)])
    update(root, target)
    assert seen == [(True, False)]
    update(root, NOTHING)
    assert seen[1:] == [(False, False), (False, True)]  # also what the last cleanup does
    it = machine(root)
    stage(it, target)
    switch(it, target, META, nonce="n", confirm=False)
    recover(it)
    assert seen[3:] == [(True, False), (False, False)]
