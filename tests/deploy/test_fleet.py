"""A run over several recorded machines, and the result for each when one of them fails."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fleets import DECIDED, META, NAMES, Sessions, contents, everywhere, no_secrets, process, results, update, wanted
from speaking import speaking

from rolecall import pipeline
from rolecall.deploy.connection import AgentFailedError
from rolecall.deploy.fleet import Fleet
from rolecall.deploy.session import Session
from rolecall.project import Project
from rolecall_agent import conversation
from rolecall_agent.configuration import Configuration
from rolecall_agent.switch import CHANGED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.deploy.target import Target
    from rolecall.model.plan import Report
    from rolecall_agent.content import Secret

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def quiet(_machine: str, _text: str) -> None:
    pass


def record(folder: Path, machine: str, **what: list[str]) -> None:
    path = folder / machine / "var/lib/rolecall/system.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fail": what}))


def kill(session: Session) -> None:
    """Kill the agent of a session, as if its connection were lost."""
    process(session).kill()
    process(session).wait()


def test_all_are_updated_and_then_nothing_changes(folder: Path) -> None:
    first = update(folder, "one")
    assert (results(first), first.done, first.execs) == (everywhere("updated"), True, 3)
    second = update(folder, "one")
    assert (results(second), second.done, second.execs) == (everywhere("unchanged"), True, 3)


def test_agents_of_directories_run_in_this_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process"))
    assert results(update(folder, "one")) == everywhere("updated")


def test_an_agent_in_this_process_is_not_ended_while_it_works(folder: Path) -> None:
    ending: list[threading.Thread] = []

    def hang_up(sessions: Sessions, machine: str, text: str) -> None:
        if machine == "carl" and text.startswith("file"):
            ending.append(threading.Thread(target=sessions["carl"].close))
            ending[0].start()
            ending[0].join(0.1)
            assert ending[0].is_alive()
        elif text == "check with peers":  # otherwise, it might end only in the moment of the decision
            ending[0].join()

    report = update(folder, "one", hang_up)
    ending[0].join()
    assert results(report) == everywhere("restored")
    assert contents(folder) == everywhere("")
    assert not list(folder.glob("*/var/lib/rolecall/journal.json"))


def test_a_directory_that_cannot_be_a_machine_is_a_failure(folder: Path) -> None:
    (folder / "anna").write_text("a file")
    with Fleet(wanted(folder, "one")[:1], quiet) as fleet:
        [looked] = fleet.look()
    assert looked.plan.failure.startswith("cannot store the agent in ")


def test_a_failing_unit_on_the_last_machine_undoes_all(folder: Path) -> None:
    update(folder, "one")
    record(folder, "carl", units=["two.service"])
    report = update(folder, "two")
    assert results(report) == everywhere("restored")
    assert not report.done
    assert {outcome.generation for outcome in report.outcomes} == {1}
    assert contents(folder) == everywhere("one")


def test_a_machine_whose_undo_fails_is_damaged(folder: Path) -> None:
    update(folder, "one")
    record(folder, "carl", units=["one.service", "two.service"])
    report = update(folder, "two")
    assert results(report) == {"anna": "restored", "ben": "restored", "carl": "damaged"}
    carl = report.outcomes[-1]
    assert [(each.key, each.reason) for each in carl.damage] == [
        ("unit:one.service", "one.service failed after starting")
    ]
    assert carl.message == "two.service failed after starting; the undo failed for unit:one.service"
    assert report.execs == 3  # it is not asked again
    with Fleet(wanted(folder, "two"), quiet) as fleet:
        plans = {each.plan.machine: each.plan for each in fleet.look()}
        assert plans["carl"].failure == "the undo failed for unit:one.service"
        assert plans["carl"].damage == carl.damage
        assert results(fleet.report()) == {"anna": "untouched", "ben": "untouched", "carl": "damaged"}
    assert contents(folder) == everywhere("one")


def test_a_failing_check_with_peers_undoes_all(folder: Path) -> None:
    def break_it(_: Sessions, machine: str, text: str) -> None:
        if machine == "anna" and text.startswith("file"):
            record(folder, "ben", commands=["true"])

    update(folder, "one")
    report = update(folder, "two", break_it)
    assert results(report) == everywhere("restored")
    assert [outcome.message for outcome in report.outcomes if outcome.machine == "ben"] == ["the check 'peers' failed"]
    assert contents(folder) == everywhere("one")


def test_a_check_that_fails_before_the_run_and_after_it_is_a_note(folder: Path) -> None:
    update(folder, "one")
    record(folder, "ben", commands=["true"])
    report = update(folder, "two")
    assert results(report) == everywhere("updated")
    note = "the check 'peers' failed before this run, and still fails"
    assert [outcome.message for outcome in report.outcomes] == ["", note, ""]


def test_a_machine_that_changes_after_the_plan_stops_the_run(folder: Path) -> None:
    update(folder, "one")
    with Fleet(wanted(folder, "two"), quiet) as fleet, Fleet(wanted(folder, "two"), quiet) as colleague:
        assert len(fleet.look()) == len(colleague.look()) == 3
        (folder / "carl/etc/greeting").unlink()
        report = fleet.apply(META, no_secrets, folder / DECIDED)
    assert results(report) == everywhere("untouched")
    assert [outcome.message for outcome in report.outcomes] == [
        *["another machine failed"] * 2,
        "the machine has changed since this was planned",
    ]
    assert contents(folder) == {"anna": "one", "ben": "one", "carl": ""}


def test_a_machine_that_changes_after_staging_undoes_all(folder: Path) -> None:
    update(folder, "one")

    def change(_: Sessions, machine: str, text: str) -> None:
        if machine == "ben" and text.startswith("file"):
            (folder / "carl/etc/greeting").unlink()

    report = update(folder, "two", change)
    assert results(report) == everywhere("restored")
    assert report.outcomes[-1].message == "the machine has changed since this was planned"
    assert contents(folder) == {"anna": "one", "ben": "one", "carl": ""}


def test_the_message_says_who_has_locked_a_machine(folder: Path) -> None:
    update(folder, "one")
    plans = []

    def look(_: Sessions, machine: str, text: str) -> None:
        if machine == "ben" and text.startswith("file"):
            with Fleet(wanted(folder, "two")[:1], quiet) as colleague:
                plans.extend(each.plan for each in colleague.look())

    assert results(update(folder, "two", look)) == everywhere("updated")
    assert plans[0].failure.startswith("the machine is locked by run two-")
    assert " of me since 20" in plans[0].failure


def test_one_of_two_runs_that_lock_machines_at_the_same_time_goes_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(folder, "one")
    monkeypatch.setattr(conversation, "PATIENCE", 0.5)
    both = threading.Barrier(2, timeout=30)
    steps: list[str] = []

    def run(content: str, order: int) -> Report:
        staged: list[str] = []

        def progress(machine: str, text: str) -> None:
            steps.append(text)
            if text == "stage":
                staged.append(machine)
                if len(staged) == 2:
                    both.wait()  # each has locked one machine

        with Fleet(wanted(folder, content)[::order], progress, parallel=1) as fleet:
            fleet.look()
            both.wait()
            return fleet.apply({**META, "run": content}, no_secrets, folder / DECIDED)

    with ThreadPoolExecutor(2) as pool:
        ahead, back = pool.submit(run, "two", 1), pool.submit(run, "three", -1)
        reports = {"two": ahead.result(), "three": back.result()}
    updated = [content for content, report in reports.items() if report.done]
    assert contents(folder) == everywhere(updated[0])
    assert any(re.match(r"the machine is locked by run (two|three) of me since .*; trying again", it) for it in steps)
    for content, report in reports.items():
        if content not in updated:
            assert set(results(report).values()) == {"untouched"}
            assert any(it.message.startswith(("the machine is locked by run", CHANGED)) for it in report.outcomes)


def test_losing_a_provisional_machine_undoes_all(folder: Path) -> None:
    update(folder, "one")

    def lose(sessions: Sessions, machine: str, text: str) -> None:
        if machine == "carl" and text.startswith("file"):
            kill(sessions["anna"])

    report = update(folder, "two", lose, apart=True)
    assert results(report) == everywhere("restored")
    assert contents(folder) == everywhere("one")


def test_a_machine_lost_before_its_commit_is_reported(folder: Path) -> None:
    update(folder, "one")
    lost: list[str] = []

    def lose(sessions: Sessions, machine: str, text: str) -> None:
        if "committed" in text and not lost:
            lost.append("carl" if machine != "carl" else "ben")
            kill(sessions[lost[0]])

    report = update(folder, "two", lose, apart=True)
    for name, result in results(report).items():
        assert (result, contents(folder)[name]) in {("updated", "two"), ("restored", "one")}
    assert report.done == (contents(folder) == everywhere("two"))


def test_an_interrupt_undoes_all(folder: Path) -> None:
    update(folder, "one")

    sent: list[str] = []

    def interrupt(_: Sessions, machine: str, text: str) -> None:
        if machine == "ben" and text.startswith("file") and not sent:
            sent.append(machine)
            os.kill(os.getpid(), signal.SIGINT)

    report = update(folder, "two", interrupt)
    assert set(results(report).values()) <= {"restored", "untouched"}
    assert not report.done
    assert contents(folder) == everywhere("one")


@pytest.mark.slow
def test_a_second_interrupt_stops_and_names_what_is_left(folder: Path) -> None:
    update(folder, "one")
    before = signal.getsignal(signal.SIGINT)
    sent: list[str] = []

    def interrupt(_: Sessions, machine: str, text: str) -> None:
        if machine == "ben" and text.startswith("file") and not sent:  # anna is provisional, carl is staged
            sent.append(machine)
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)

    report = update(folder, "two", interrupt)
    assert results(report) == {"anna": "unknown", "ben": "unknown", "carl": "untouched"}
    left = "stopped before it answered; its agent undoes the switch, or completes it if it was decided"
    assert [outcome.message for outcome in report.outcomes] == [left, left, "interrupted"]
    assert signal.getsignal(signal.SIGINT) == before
    update(folder, "one")
    assert contents(folder) == everywhere("one")


def test_more_machines_than_descriptors_are_refused_before_anything_changes(folder: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from fleets import META, no_secrets, wanted
from rolecall.deploy.fleet import Fleet
from rolecall.errors import Faults
resource.setrlimit(resource.RLIMIT_NOFILE, (210, 210))
folder = Path(sys.argv[1])
with Fleet(wanted(folder, "one", apart=True), lambda *_: None, parallel=2) as fleet:
    assert all(each.plan.comparison for each in fleet.look())
    try:
        fleet.apply(META, no_secrets, folder)
    except Faults as faults:
        print(faults)
"""
    path = {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", script, folder], env=path, capture_output=True, text=True, check=False)
    assert "212 open files are needed for that many machines, but the limit is 210" in done.stdout, done.stderr
    assert contents(folder) == everywhere("")


def test_more_machines_than_are_worked_on_at_once_do_not_stay_connected(folder: Path) -> None:
    sessions = Sessions()
    with Fleet(wanted(folder, "one", apart=True), quiet, parallel=2, connect=sessions.begin) as fleet:
        fleet.look()
        assert [process(sessions[name]).poll() for name in NAMES] == [0] * 3
        report = fleet.apply(META, no_secrets, folder / DECIDED)
    assert results(report) == everywhere("updated")
    assert report.execs == 9  # of each: look; stage, switch and commit; confirm
    with Fleet(wanted(folder, "two", apart=True), quiet, parallel=2) as fleet:
        fleet.look()
        (folder / "carl/etc/greeting").unlink()
        assert results(fleet.apply(META, no_secrets, folder / DECIDED)) == everywhere("untouched")


def test_an_endless_banner_is_an_error() -> None:
    with Session(speaking(["yes"])) as session, pytest.raises(AgentFailedError):
        session.open(None)


def test_a_session_that_ended_cannot_be_used() -> None:
    with Session(speaking(["sh", "-c", "echo no such luck >&2; exit 3"])) as session:
        for _ in range(2):
            with pytest.raises(AgentFailedError, match="no such luck"):
                session.open(None)


THIEF = """
import sys
from rolecall_agent import frames
out, inn = sys.stdout.buffer, sys.stdin.buffer
out.write(frames.MARKER)
STATE = {"type": "state", "machine": "eve", "same": False, "current": None, "drift": [], "recovered": None}
NEED = {"type": "need", "blobs": [], "secrets": [["backup.ssh", "private", "V" * 22]]}
for answer in ({**STATE, "agent_python": "3.11", "os": {}}, NEED):
    frames.read_frame(inn)
    frames.write_frame(out, answer)
inn.read()
"""


def test_a_machine_gets_only_its_own_secrets() -> None:
    def reveal(_: Sequence[Secret]) -> Mapping[str, bytes]:
        pytest.fail("revealed")

    with Session(speaking([sys.executable, "-c", THIEF])) as session:
        session.open(None)
        with pytest.raises(AgentFailedError, match="not in its configuration"):
            session.stage("digest", META, {"inputs": {}, "origins": {}}, Configuration.of("eve", ()), reveal)


def test_control_characters_from_a_machine_are_escaped() -> None:
    failed = r'{"type": "failed", "message": "\x1b[2Jgone", "detail": "", "restored": True, '
    failed += '"locked": False, "damaged": []}'
    script = THIEF.replace('{**STATE, "agent_python": "3.11", "os": {}}', failed)
    with Session(speaking([sys.executable, "-c", script])) as session:
        with pytest.raises(AgentFailedError) as caught:
            session.open(None)
        assert str(caught.value) == r"\x1b[2Jgone"


def test_the_digest_of_a_plan_depends_on_its_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLECALL_IDENTITY", str(folder / "identity"))
    (folder / "inventory.toml").write_text('[machines.a]\ndeploy.targetHost = "dir:t/a"\n')

    def digest() -> str:
        with pipeline.planning(pipeline.Workspace(Project(folder)), progress=quiet) as planned:
            return planned.plan.digest

    first = digest()
    (folder / "inventory.toml").write_text('# a remark\n\n[machines.a]\ndeploy.targetHost = "dir:t/a"\n')
    assert digest() == first


DEAD = ["sh", "-c", "echo 'ssh: connect to host {} port 22: No route to host' >&2; exit 255"]


def dead(machine: str, host: str) -> Target:
    target = speaking([word.format(host) for word in DEAD], machine)
    return replace(target, text=f"ssh {host}")


def test_a_machine_is_reached_by_the_first_of_its_ways_that_answers(folder: Path) -> None:
    updates = [
        replace(each, targets=(dead(each.targets[0].machine, "away"), *each.targets)) for each in wanted(folder, "one")
    ]
    steps = []
    with Fleet(updates, lambda machine, text: steps.append((machine, text))) as fleet:
        plans = [each.plan for each in fleet.look()]
        report = fleet.apply(META, no_secrets, folder / DECIDED)
    assert results(report) == everywhere("updated")
    assert {plan.target for plan in plans} == {each.targets[1].text for each in updates}
    lost = "unreachable by ssh away: ssh: connect to host away port 22: No route to host"
    assert sorted(machine for machine, text in steps if text == lost) == sorted(NAMES)


def test_a_machine_that_answers_by_none_of_its_ways_names_each(folder: Path) -> None:
    first, *others = wanted(folder, "one")
    name = first.targets[0].machine
    updates = [replace(first, targets=(dead(name, "here"), dead(name, "there"))), *others]
    with Fleet(updates, quiet) as fleet:
        [failed] = [each.plan for each in fleet.look() if each.plan.failure]
        [outcome] = [each for each in fleet.report().outcomes if each.machine == name]
    assert (failed.machine, failed.failure) == (name, "unreachable by any of 2 ways")
    assert outcome.detail.splitlines() == [
        f"ssh {host}: ssh: connect to host {host} port 22: No route to host" for host in ("here", "there")
    ]
