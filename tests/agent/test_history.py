"""What a machine remembers of the runs that changed it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_client import NearClient
from agent_world import META, NOTHING, STATE, Killed, broken, machine, make, mortal, service, snapshot, stage, update

from rolecall_agent import history, undo
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.journal import load
from rolecall_agent.machine import Machine
from rolecall_agent.purge import purge
from rolecall_agent.recovery import recover
from rolecall_agent.resources import File
from rolecall_agent.store import KEPT_GENERATIONS, Store
from rolecall_agent.switch import commit, decide, switch

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall_agent.journal import Journal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


def configured(text: str, *, fails: bool = False) -> Configuration:
    checks = (Check("fits", ("false" if fails else "true",)),)
    return Configuration.of("m", [File("/etc/one", text)], checks)


def runs(root: Path, most: int = 1000) -> list[dict[str, Any]]:
    with NearClient(root) as client:
        answer = client.first(type="history", most=most)
    assert answer["damaged"] == 0
    return list(answer["runs"])


def results(root: Path) -> list[tuple[str, int, int, str]]:
    return [(run["result"], run["source"], run["target"], run["message"]) for run in runs(root)]


def switched(root: Path, target: Configuration) -> Machine:
    it = machine(root)
    it.store.prepare()
    stage(it, target)
    switch(it, target, META, nonce="n", confirm=False)
    return it


def journal_of(it: Machine) -> Journal:
    journal = load(it.store)
    assert journal
    return journal


def test_a_commit_is_remembered(root: Path) -> None:
    assert runs(root) == []
    update(root, configured("1\n"))
    [run] = runs(root)
    assert run.pop("ended").endswith("+00:00")
    assert run == {
        **META,
        "source": 0,
        "target": 1,
        "result": "committed",
        "message": "",
        "touched": ["file:/etc/one"],
        "more": 0,
    }


@pytest.mark.parametrize("reason", ["store: the check 'x' failed", None])
def test_an_undo_is_remembered_with_its_reason(root: Path, reason: str | None) -> None:
    update(root, configured("1\n"))
    with NearClient(root) as client:
        client.open()
        client.switch(configured("2\n"))
        if reason:
            client.ask(type="undo", reason=reason)
    assert results(root)[0] == ("undone", 1, 2, reason or "the session ended before the run was decided")


def test_a_failed_switch_is_remembered_with_its_message(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rolecall_agent.systems.recorded.RecordedSystem.run", lambda *_: (1, "no"))
    with pytest.raises(Failure, match="the check 'fits' failed"):
        switched(root, configured("1\n", fails=True))
    assert results(root) == [("failed", 0, 1, "the check 'fits' failed")]
    assert runs(root)[0]["touched"] == ["file:/etc/one"]


def test_an_undo_that_fails_is_remembered_once_and_so_is_its_recovery(root: Path) -> None:
    unit = service("a.service", "/bin/a", started=True, restart_on=("file:/etc/one",))
    update(root, Configuration.of("m", [File("/etc/one", "1\n"), unit]))
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fail": {"units": ["a.service"]}}))
    with pytest.raises(Failure, match="the undo failed"):
        switched(root, Configuration.of("m", [File("/etc/one", "2\n"), unit]))
    for _ in range(2):
        with pytest.raises(Failure, match="the undo failed"):
            recover(machine(root))
    assert results(root)[0][:3] == ("damaged", 1, 2)
    assert len(runs(root)) == 2
    assert "the undo failed for unit:a.service, after: a.service failed" in runs(root)[0]["message"]
    record.write_text(json.dumps({**json.loads(record.read_text()), "fail": {}}))
    assert recover(machine(root)) == "undone"
    assert [run["result"] for run in runs(root)] == ["undone", "damaged", "committed"]


def test_what_a_person_accepts_is_remembered(root: Path) -> None:
    undo.accept(switched(root, configured("1\n")))
    assert [run["result"] for run in runs(root)] == ["accepted"]


def test_a_decided_run_that_is_recovered_is_committed_once(root: Path) -> None:
    """However often the agent dies, the run is in the history, and only once."""
    for lives in range(200):
        it = switched(root, configured(f"{lives}\n"))
        decide(it)
        before = len(runs(root))
        system = mortal(root, lives)
        try:
            commit(Machine(system, Store(system), lambda *_: None))
        except Killed:
            recover(machine(root))
        else:
            assert len(runs(root)) == before + 1
            return
        assert len(runs(root)) == before + 1
    pytest.fail("a commit should need fewer calls")


def test_a_full_disk_does_not_stop_a_commit(root: Path) -> None:
    it = switched(root, configured("1\n"))
    decide(it)
    [note] = history.append(broken(root, 0), history.past_run(journal_of(it), "committed"))
    assert note.startswith("the run is missing in the machine's history: ")


def test_it_outlives_generations_and_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_RUNS", KEPT_GENERATIONS + 5)
    for number in range(KEPT_GENERATIONS + 7):
        update(root, configured(f"{number}\n"))
    found = runs(root)
    assert [run["target"] for run in found] == list(range(KEPT_GENERATIONS + 7, 2, -1))
    assert runs(root, 2) == found[:2]
    monkeypatch.setattr(history, "MOST_BYTES", 1000)
    update(root, configured("last\n"))
    assert 1 <= len(runs(root)) < 5


def test_what_is_long_is_cut_off(root: Path) -> None:
    update(root, Configuration.of("m", [File(f"/etc/{number:03}", "") for number in range(150)]))
    [run] = runs(root)
    assert (len(run["touched"]), run["more"]) == (100, 50)
    past = history.past_run(journal_of(switched(root, NOTHING)), "failed", "x" * 1000)
    assert len(past["message"]) == 501


@pytest.mark.parametrize("damage", ["garbage", "{}", '{"run": "r", "result": "committed"}', ""])
def test_a_damaged_line_is_counted_and_hides_no_other(root: Path, damage: str) -> None:
    for text in "123":
        update(root, configured(f"{text}\n"))
    path = root / STATE / "history"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], damage, lines[2]]) + "\n")
    update(root, configured("4\n"))
    with NearClient(root) as client:
        answer = client.first(type="history", most=10)
    assert [run["target"] for run in answer["runs"]] == [4, 3, 1]
    assert answer["damaged"] == 1


def test_the_question_changes_nothing(root: Path) -> None:
    switched(root, configured("1\n"))  # still provisional: nothing recovers it
    runs(root)  # makes a folder for agents
    files = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    before = snapshot(root)
    assert runs(root) == []
    assert snapshot(root) == before
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == files


def test_a_purge_removes_it(root: Path) -> None:
    update(root, configured("1\n"))
    update(root, NOTHING)
    purge(machine(root), homes=False)
    assert not (root / STATE / "history").exists()
