"""The commit of a run is a decision: a machine that knows of it goes forward, and one that has not goes back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fleets import DECIDED, META, NAMES, contents, everywhere, no_secrets, process, results, update, wanted

from rolecall.deploy import decisions
from rolecall.deploy.fleet import Fleet
from rolecall.deploy.session import Session
from rolecall.errors import Faults

pytestmark = pytest.mark.slow

# Updates all machines, one after the other, and kills itself at an event: before or after each message of the last
# phase is sent, and before and after the decision is noted. Prints the events.
CONTROLLER = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fleets import update
from rolecall.deploy import connection, decisions, fleet

left = int(sys.argv[2])
fleet.ThreadPoolExecutor = lambda _, initializer: ThreadPoolExecutor(1)

def event(*words):
    global left
    print(*words, flush=True)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

def around(function, name):
    def call(self, message, *rest):
        what = name or message.get("type")
        if what not in {"note", "check", "decide", "commit"}:
            return function(self, message, *rest)
        machine = getattr(self, "_machine", "")
        event("before", what, machine)
        function(self, message, *rest)
        event("after", what, machine)
    return call

connection.Connection.send = around(connection.Connection.send, "")
decisions.note = around(decisions.note, "note")
update(Path(sys.argv[1]), "two", apart=True)
"""


def killed_at(event: int, folder: Path) -> list[str] | None:
    """Run an update that is killed at an event; return the events, or None when it has fewer."""
    done = subprocess.run(
        [sys.executable, "-c", CONTROLLER, folder, str(event)],
        env={"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.stdout.splitlines() if done.returncode else None


def look(folder: Path) -> list[str]:
    """Look at all machines, so that each recovers, and return the warnings."""
    decided = decisions.load(folder / DECIDED)
    with Fleet(wanted(folder, "two"), lambda *_: None) as fleet:
        assert not any(each.plan.failure for each in fleet.look())
        return [str(each) for each in fleet.settle(folder / DECIDED, decided, NAMES)]


def test_a_controller_that_is_killed_at_any_message_of_the_last_phase(tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    update(before, "one")
    everything = set()
    for event in range(100):
        folder = tmp_path / str(event)
        shutil.copytree(before, folder, symlinks=True)
        events = killed_at(event, folder)
        if events is None:
            break
        sent = [name for name in NAMES if f"after decide {name}" in events]
        heard = sent[:-1] if events[-1].startswith("after decide") else sent  # otherwise, it has answered
        warnings = look(folder)
        found = contents(folder)
        everything.add(tuple(found.values()))
        for name in NAMES:
            assert found[name] == ("two" if name in heard else "one") or name in sent[len(heard) :]
        missed = [name for name in NAMES if found[name] == "one"] if "after note " in events else []
        text = (
            f"warning: run two-0 was decided, but not completed on {', '.join(missed)}: the decision did not reach it"
        )
        assert [each.startswith(text) for each in warnings] == ([True] if missed else [])
        assert decisions.load(folder / DECIDED) == ({"two-0": missed} if missed else {})
        assert results(update(folder, "two")).items() <= {
            (name, result) for name in NAMES for result in ("updated", "unchanged")
        }
        assert contents(folder) == everywhere("two")
        assert decisions.load(folder / DECIDED) == {}
        assert not look(folder)
    assert event == 20
    assert everything >= {("one", "one", "one"), ("two", "one", "one"), ("two", "two", "two")}


def test_a_machine_that_never_hears_the_decision_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update(tmp_path, "one")
    decide = Session.decide

    def deaf(session: Session) -> None:
        if session.machine == "ben":
            process(session).kill()
        decide(session)

    monkeypatch.setattr(Session, "decide", deaf)
    report = update(tmp_path, "two", apart=True)
    assert results(report) == {"anna": "updated", "ben": "restored", "carl": "updated"}
    assert report.outcomes[1].message.endswith(
        "the decision did not reach it, and it went back to the state before; "
        "to complete the run: `rolecall update ben`"
    )
    assert contents(tmp_path) == {"anna": "two", "ben": "one", "carl": "two"}
    assert list(decisions.load(tmp_path / DECIDED).values()) == [["ben"]]
    monkeypatch.undo()
    [warning] = look(tmp_path)
    assert "hint: to complete the run, use `rolecall update ben`" in warning
    assert results(update(tmp_path, "two")) == {"anna": "unchanged", "ben": "updated", "carl": "unchanged"}
    assert decisions.load(tmp_path / DECIDED) == {}


def test_a_machine_that_dies_after_it_has_heard_the_decision_goes_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(tmp_path, "one")

    def die(session: Session) -> None:
        process(session).kill()
        process(session).wait()
        session.connection.send({"type": "commit"})

    monkeypatch.setattr(Session, "commit", die)
    assert results(update(tmp_path, "two", apart=True)) == everywhere("updated")
    assert contents(tmp_path) == everywhere("two")


def test_a_decision_that_cannot_be_noted_undoes_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update(tmp_path, "one")

    def full(*_: object) -> None:
        raise Faults([])

    monkeypatch.setattr(decisions, "note", full)
    assert results(update(tmp_path, "two")) == everywhere("restored")
    assert contents(tmp_path) == everywhere("one")


def test_machines_that_are_no_longer_declared_do_not_keep_a_decision(tmp_path: Path) -> None:
    decisions.note(tmp_path / DECIDED, "r0", ["zoe", "anna"])
    with Fleet(wanted(tmp_path, "two"), lambda *_: None) as fleet:
        fleet.look()
        assert len(fleet.settle(tmp_path / DECIDED, decisions.load(tmp_path / DECIDED), NAMES)) == 1
        assert decisions.load(tmp_path / DECIDED) == {"r0": ["anna"]}
        fleet.apply(META, no_secrets, tmp_path / DECIDED)
    assert decisions.load(tmp_path / DECIDED) == {}
