"""Machines that no connection can be made to: they are waited for, or left out of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fleets import DECIDED, META, contents, everywhere, no_secrets, results, update, wanted
from speaking import speaking

from rolecall.deploy import fleet as fleet_module
from rolecall.deploy.connection import NoAnswerError, UnreachableError
from rolecall.deploy.fleet import Fleet
from rolecall.deploy.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.deploy.target import Target


def quiet(_machine: str, _text: str) -> None:
    pass


class Absent:
    """Begins sessions, but with carl only after he was tried some times."""

    def __init__(self, tries: int) -> None:
        self.tries = tries

    def begin(self, target: Target) -> Session:
        if target.machine == "carl":
            self.tries -= 1
            if self.tries >= 0:
                raise NoAnswerError("no answer")
        return Session(target)


def test_an_unreachable_machine_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "PAUSE", 0.01)
    said: list[tuple[str, str]] = []
    with Fleet(wanted(tmp_path, "one"), lambda *what: said.append(what), connect=Absent(3).begin) as fleet:
        assert [each.plan.failure for each in fleet.look(wait=60)] == ["", "", ""]
        assert said == [("carl", "no answer; waiting for it")] * 3
        assert results(fleet.apply(META, no_secrets, tmp_path / DECIDED)) == everywhere("updated")


def test_waiting_ends_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "PAUSE", 0.01)
    with Fleet(wanted(tmp_path, "one"), quiet, connect=Absent(10**6).begin) as fleet:
        plans = {each.plan.machine: each.plan for each in fleet.look(wait=0.1)}
    assert {name: (plan.failure, plan.unreachable) for name, plan in plans.items()} == {
        "anna": ("", False),
        "ben": ("", False),
        "carl": ("no answer", True),
    }


def test_all_or_none_holds_among_the_machines_that_take_part(tmp_path: Path) -> None:
    update(tmp_path, "one")
    with Fleet(wanted(tmp_path, "two"), quiet, connect=Absent(9).begin) as fleet:
        fleet.look()
        fleet.leave_out({"carl"})
        record = tmp_path / "ben/var/lib/rolecall/system.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "fail": {"units": ["two.service"]}}))
        assert results(fleet.apply(META, no_secrets, tmp_path / DECIDED)) == {"anna": "restored", "ben": "restored"}
    assert contents(tmp_path) == everywhere("one")


@pytest.mark.parametrize(
    ("printed", "unreachable"),
    [
        ("ssh: connect to host jon port 22: No route to host", True),
        ("ssh: Could not resolve hostname jon: Name or service not known", True),
        ("channel 0: open failed: connect failed: No route to host\nstdio forwarding failed", True),
        ("Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out", True),
        ("Host key for jon has changed and you have requested strict checking.\nHost key verification failed.", False),
        ("No ED25519 host key is known for jon and you have requested strict checking.", False),
        ("root@jon: Permission denied (publickey).", False),
        ("Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures", False),
        ("/root/.ssh/config: line 3: Bad configuration option: foo", False),
        ("Unable to negotiate with 10.0.0.1 port 22: no matching host key type found.", False),
    ],
)
def test_a_machine_that_refuses_or_has_another_key_is_not_just_unreachable(printed: str, *, unreachable: bool) -> None:
    with (
        Session(speaking(["sh", "-c", f"echo '{printed}' >&2; exit 255"])) as session,
        pytest.raises(UnreachableError) as caught,
    ):
        session.open(None)
    assert isinstance(caught.value, NoAnswerError) is unreachable
