"""Checks that fail before a switch, that a run skips, and that are tried again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from agent_client import NearClient, Refused
from agent_world import STATE, make

from rolecall_agent import checking
from rolecall_agent.checking import run_checks
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.resources import File
from rolecall_agent.resources.checks import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOCAL = Check("web: runs", ("probe",))
PEERS = Check("web: peers answer", ("ask",), peers=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


def fail(root: Path, *commands: str) -> None:
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fail": {"commands": commands}}))


def configured(text: str, *checks: Check) -> Configuration:
    return Configuration.of("m", [File("/etc/one", text)], checks or (LOCAL, PEERS))


def update(root: Path, target: Configuration, *, skip: Sequence[str] = ()) -> tuple[list[str], list[str], list[str]]:
    """Update, and return what was reported before the switch, which checks with peers fail, and the notes."""
    with NearClient(root) as client:
        client.open()
        client.switch(target, skip=skip)
        early = [each["detail"] for each in client.progress if each["step"] == "check" and each["detail"]]
        failed = [each["name"] for each in client.ask(type="check", peers=True)["checks"] if not each["ok"]]
        client.ask(type="decide")
        return early, failed, client.ask(type="commit")["notes"]


def test_checks_that_fail_before_and_after_are_notes_of_the_commit_and_the_history(root: Path) -> None:
    assert update(root, configured("1\n")) == ([], [], [])
    fail(root, "probe", "ask")
    notes = [f"the check {check.name!r} failed before this run, and still fails" for check in (LOCAL, PEERS)]
    early = [f"{check.name!r} fails already" for check in (PEERS, LOCAL)]
    assert update(root, configured("2\n")) == (early, [], notes)
    with NearClient(root) as client:
        assert client.first(type="history", most=1)["runs"][0]["message"] == "; ".join(notes)


def test_a_check_that_failed_before_and_succeeds_after_is_no_note(root: Path) -> None:
    update(root, configured("1\n"))
    fail(root, "probe")
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(configured("2\n"))["digest"], {})
        fail(root)
        client.ask(type="switch", nonce="n1", confirm=False, reboot="planned")
        assert [each["ok"] for each in client.ask(type="check", peers=True)["checks"]] == [True]
        client.ask(type="decide")
        assert client.ask(type="commit")["notes"] == []


@pytest.mark.parametrize("changed", [Check(LOCAL.name, ("probe", "more")), Check("web: other", LOCAL.argv)])
def test_a_check_that_changes_has_not_failed_before(root: Path, changed: Check) -> None:
    update(root, configured("1\n"))
    fail(root, "probe")
    with pytest.raises(Refused, match=f"the check '{changed.name}' failed"):
        update(root, configured("2\n", changed))


def test_a_check_that_succeeds_before_must_succeed_after(root: Path) -> None:
    update(root, configured("1\n"))
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(configured("2\n"))["digest"], {})
        fail(root, "ask")
        client.ask(type="switch", nonce="n1", confirm=False, reboot="planned")
        assert [each["ok"] for each in client.ask(type="check", peers=True)["checks"]] == [False]


def test_the_first_switch_has_no_checks_before_it(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(configured("1\n"))["digest"], {})
    assert json.loads((root / STATE / "system.json").read_text())["commands"] == []


def test_skipped_checks_do_not_run_and_are_notes(root: Path) -> None:
    update(root, configured("1\n"))
    fail(root, "probe", "ask")
    before = json.loads((root / STATE / "system.json").read_text())["commands"]
    notes = [f"the check {check.name!r} was skipped" for check in (LOCAL, PEERS)]
    assert update(root, configured("2\n"), skip=[LOCAL.name, PEERS.name]) == ([], [], notes)
    assert json.loads((root / STATE / "system.json").read_text())["commands"] == before


class Flaky:
    """A system on which a command fails some times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def run(self, _argv: Sequence[str], _timeout: float) -> tuple[int, str]:
        self.failures -= 1
        return (1, "not yet") if self.failures >= 0 else (0, "")


@pytest.mark.parametrize(
    ("failures", "retry", "until", "ok"),
    [(0, None, 0, True), (1, None, 0, False), (2, 5, 0, True), (9, 5, 0, False), (2, None, 5, True), (2, 0, 5, True)],
)
def test_a_check_is_tried_again_within_its_time(
    monkeypatch: pytest.MonkeyPatch, failures: int, retry: int | None, until: float, *, ok: bool
) -> None:
    now = 0.0

    def sleep(_: float) -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr(checking.time, "monotonic", lambda: now)
    monkeypatch.setattr(checking.time, "sleep", sleep)
    [result] = run_checks(Flaky(failures), [Check("c", ("x",), retry=retry)], until)  # type: ignore[arg-type]
    assert result["ok"] is ok


def test_a_check_without_retry_has_the_digest_that_it_always_had() -> None:
    assert b"retry" not in configured("1\n").encode()
    assert Configuration.decode(configured("1\n").encode()).checks[0].retry is None
    target = configured("1\n", Check("c", ("x",), retry=3))
    assert Configuration.decode_json(target.as_json()) == target


@pytest.mark.parametrize("retry", [-1, True, 1.5, "3"])
def test_retry_is_a_number_of_seconds(retry: object) -> None:
    with pytest.raises(DefinitionError, match="retry must be a whole number of seconds, at least 0"):
        Check("c", ("x",), retry=retry)  # type: ignore[arg-type]
