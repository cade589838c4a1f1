"""A reboot within a switch: whatever happens in any boot, the machine ends in the old or the new state."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_client import META, NearClient, Refused
from agent_world import STATE, Killed, MortalOs, copy, machine, make, service, snapshot, stage

from rolecall_agent import __main__ as program
from rolecall_agent import journal as journals
from rolecall_agent import rebooting, tree, undo
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.lock import LockedError
from rolecall_agent.resources import File, Reboot
from rolecall_agent.resources.checks import DefinitionError
from rolecall_agent.switch import commit, decide, go_on, switch
from rolecall_agent.systems import recorded
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolecall_agent.machine import Machine

WHO = {"token": "", "user": "tester", "run": META["run"], "nonce": "n1"}


def configured(text: str, **fields: Any) -> Configuration:  # noqa: ANN401 - as Reboot's
    file = File("/etc/one", text)
    reboot = Reboot("a new text", **{"when_changed": [file], **fields})
    unit = service("a.service", "/bin/a", enabled=True, started=True)
    return Configuration.of("m", [file, reboot, unit, File("/run/s", text)], [Check("works", ("check", text))])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that boots, and has `configured("1")`."""
    monkeypatch.setattr(RecordedSystem, "boots", True)
    root = make(tmp_path / "m")
    it = machine(root)
    it.store.prepare()
    stage(it, target := configured("1"))
    switch(it, target, {**META, "run": "run-0"}, nonce="n0", confirm=False, reboot="never")
    decide(it)
    commit(it)
    return root


def record(root: Path, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    path = root / STATE / "system.json"
    data: dict[str, Any] = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(data))
    return data


def boots(root: Path) -> int:
    return int(record(root)["boots"])


def boot(root: Path) -> list[str]:
    """Do what happens at a boot, with the boot unit, after the loss of power or a reboot; return what failed."""
    (root / "run/s").unlink(missing_ok=True)
    failures = program.make_whole(machine(root))
    record(root, units={**record(root)["units"], "a.service": {"active": True, "enabled": True}})
    return failures


def begin(root: Path, target: Configuration) -> None:
    """Switch and reboot the machine; the controller is not back yet."""
    with NearClient(root) as client:
        client.open()
        assert client.switch(target)["reboot"] == ["a new text"]
        assert client.ask(type="reboot", seconds=300) == {"type": "rebooting"}


def recover(root: Path, late_for: str = "") -> str | None:
    """Recover the machine as systemd does once the agent has ended."""
    it = machine(root)
    with rebooting.completing_undo(it):
        return undo.recover(it, late_for=late_for)


def without_run(root: Path) -> dict[str, Any]:
    return {name: state for name, state in snapshot(root).items() if not name.startswith(("/run", "/etc/systemd"))}


def test_what_a_plan_says_and_what_makes_it_necessary(root: Path) -> None:
    def effects(target: Configuration) -> list[dict[str, Any]]:
        with NearClient(root) as client:
            client.open()
            return [each for each in client.compare(target)["restarts"] if each["verb"] == "reboot"]

    def reboot(*keys: str) -> list[dict[str, Any]]:
        return [{"name": "a new text", "verb": "reboot", "also": list(keys)}]

    assert effects(configured("1")) == []
    assert effects(configured("1", when_changed=["file:/etc/one", "file:/etc/other"])) == []
    assert effects(configured("2")) == reboot("file:/etc/one")
    assert effects(Configuration.of("m", [Reboot("a new text", ["file:/etc/one"])])) == reboot("file:/etc/one")
    assert effects(Configuration.of("m", [])) == reboot("file:/etc/one")
    with pytest.raises(DefinitionError, match="when_changed names no resource"):
        Reboot("x", ())


def test_the_controller_returns_and_the_run_goes_on(root: Path) -> None:
    began = boots(root)
    checks = record(root)["commands"].count(["check", "2"])
    begin(root, configured("2"))
    assert record(root)["commands"].count(["check", "2"]) == checks  # they count only after the reboot
    assert boot(root) == []
    assert (root / "run/s").read_text() == "2"
    with NearClient(root) as client:
        assert client.first(type="rejoin", **WHO) == {"type": "provisional", "changed": [], "reboot": []}
        assert client.ask(type="check", peers=True)["checks"] == []
        client.commit()
    assert boots(root) == began + 1
    assert (root / "etc/one").read_text() == "2"
    assert record(root)["commands"].count(["check", "2"]) == checks + 1
    with NearClient(root) as client:
        assert client.open(configured("2").digest)["same"]


def test_nobody_else_settles_it_meanwhile(root: Path) -> None:
    begin(root, configured("2"))
    boot(root)
    [timer] = [words for words in record(root)["commands"] if words[0] == "systemd-run"][1:]
    assert timer[-3:] == ["recover", "--late-for", "run-1"]
    for _ in range(2):
        with NearClient(root) as client, pytest.raises(Refused, match="locked by run run-1 of tester") as refused:
            client.open()
        assert refused.value.failed["locked"]
    with pytest.raises(LockedError):
        recover(root, late_for="another")
    with NearClient(root) as client, pytest.raises(Refused, match=r"the switch was undone$"):
        client.first(type="rejoin", **{**WHO, "nonce": "guessed"})
    with pytest.raises(LockedError, match="reboots to complete the undo"):
        recover(root, late_for="run-1")
    boot(root)
    with NearClient(root) as client, pytest.raises(Refused, match="the switch was undone: nobody returned within"):
        client.first(type="rejoin", **WHO)


def test_a_person_need_not_wait(root: Path) -> None:
    begin(root, configured("2"))
    boot(root)
    with NearClient(root) as client, pytest.raises(Refused, match="reboots to complete the undo"):
        client.first(type="recover", mode="retry", keys=[])
    boot(root)
    assert (root / "etc/one").read_text() == "1"
    assert not (root / STATE / "journal.json").exists()


@pytest.mark.parametrize("how", ["check", "undo", "end", "late", "power"])
def test_every_way_back_reboots_once_more(root: Path, how: str) -> None:
    before, began = without_run(root), boots(root)
    begin(root, configured("2"))
    boot(root)
    if how == "power":
        record(root, boots=began + 2)
        assert boot(root) == []
        assert boots(root) == began + 3  # it had booted with the new text again
    elif how == "late":
        with pytest.raises(LockedError, match="reboots to complete the undo"):
            recover(root, late_for="run-1")
    else:
        record(root, fail={"commands": ["check"]} if how == "check" else {})
        with NearClient(root) as client:
            if how == "check":
                with pytest.raises(Refused, match="'works' failed; the machine reboots to complete the undo"):
                    client.first(type="rejoin", **WHO)
            else:
                client.first(type="rejoin", **WHO)
            if how == "undo":
                assert client.ask(type="undo", reason="another failed") == {"type": "undone", "reboots": True}
    record(root, fail={})
    assert without_run(root) == before
    assert boots(root) == began + (3 if how == "power" else 2)
    assert boot(root) == []
    with NearClient(root) as client:
        assert client.open(configured("1").digest)["same"]
    assert boots(root) == began + (3 if how == "power" else 2)
    [last] = [json.loads(line) for line in (root / STATE / "history").read_text().splitlines()][1:]
    assert (last["result"], last["target"]) == ("failed" if how == "check" else "undone", 2)


def test_a_reboot_that_fails_is_undone_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: RecordedSystem) -> None:
        raise OSError("no way")

    monkeypatch.setattr(RecordedSystem, "reboot", fail)
    with NearClient(root) as client:
        client.open()
        client.switch(configured("2"))
        client.ask(type="reboot", seconds=300)
        with pytest.raises(Refused, match="no way"):
            client.receive()
    assert (root / "etc/one").read_text() == "1"
    with NearClient(root) as client, pytest.raises(Refused, match="the switch was undone: no way"):
        client.first(type="rejoin", **WHO)


def test_it_is_too_early_to_return(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordedSystem, "reboot", lambda _: None)
    monkeypatch.setattr(RecordedSystem, "is_stopping", lambda _: True)
    begin(root, configured("2"))
    with NearClient(root) as client, pytest.raises(Refused, match="has not rebooted yet") as refused:
        client.first(type="rejoin", **WHO)
    assert refused.value.failed["locked"]
    with NearClient(root) as client, pytest.raises(Refused, match="for which it reboots"):
        client.open()
    monkeypatch.setattr(RecordedSystem, "is_stopping", lambda _: False)  # somebody has cancelled it
    with NearClient(root) as client:
        assert client.open()["recovered"] == "undone"


@pytest.mark.parametrize(
    ("mode", "declared", "reasons", "left"),
    [
        ("planned", True, ["a new text"], ""),
        ("planned", False, [], "packages were updated: linux"),
        ("needed", True, ["a new text", "packages were updated: linux"], ""),
        ("needed", False, ["packages were updated: linux"], ""),
        ("never", True, [], "a new text; packages were updated: linux"),
    ],
)
def test_a_person_decides(root: Path, mode: str, *, declared: bool, reasons: list[str], left: str) -> None:
    target = configured("2", **({} if declared else {"when_changed": ["file:/etc/none"]}))
    brought = [File("/run/reboot-required", ""), File("/run/reboot-required.pkgs", "linux\n")]
    target = Configuration.of("m", [*target.resources, *brought])
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(target)["digest"], {})
        assert client.ask(type="switch", nonce="n1", confirm=False, reboot=mode)["reboot"] == reasons
        if not reasons:
            client.ask(type="decide")
            assert client.ask(type="commit")["notes"] == [f"a reboot is pending: {left}"]


def test_only_what_this_switch_has_brought_is_named(root: Path) -> None:
    (root / "run/reboot-required").touch()
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(configured("2", when_changed=["file:/etc/none"]))["digest"], {})
        assert client.ask(type="switch", nonce="n1", confirm=False, reboot="needed")["reboot"] == []


def begun(root: Path) -> Machine:
    it = machine(root)
    stage(it, target := configured("2"))
    switch(it, target, META, nonce="n1", confirm=False)
    return it


def leave(root: Path) -> None:
    it = machine(root)
    journal = journals.load(it.store)
    assert journal
    rebooting.leave(it, journal, 300)
    it.system.reboot()


def go_back(root: Path) -> None:
    with contextlib.suppress(LockedError):
        recover(root)


PHASES: dict[str, Callable[[Path], object]] = {
    "leave": leave,
    "boot": boot,
    "return": lambda root: go_on(machine(root), META["run"], "n1"),
    "undo": go_back,
    "boot again": boot,
}


def lose_power_again_and_again(root: Path) -> None:
    for _ in range(3):
        record(root, boots=boots(root) + 1)
        boot(root)


def let_systemd_recover(root: Path) -> None:
    for run in ("", META["run"]):  # when the agent ends, and when the controller has had its time
        now = boots(root)
        with contextlib.suppress(LockedError):
            recover(root, late_for=run)
        if boots(root) > now:
            boot(root)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("after", [lose_power_again_and_again, let_systemd_recover])
def test_it_is_killed_in_any_phase(root: Path, tmp_path: Path, phase: str, after: Callable[[Path], None]) -> None:
    """Nobody returns afterwards, and the machine goes back."""
    start = copy(root, tmp_path / "start")
    old = without_run(start)
    begun(start)
    for name in itertools.takewhile(lambda name: name != phase, PHASES):
        PHASES[name](start)
    for lives in range(300):
        it = copy(start, tmp_path / "try")
        with pytest.MonkeyPatch.context() as patch:
            mortal = MortalOs(lives)
            patch.setattr(tree, "os", mortal)
            patch.setattr(recorded, "os", mortal)
            try:
                PHASES[phase](it)
            except Killed:
                killed = True
            else:
                killed = False
        began = boots(it)
        after(it)
        assert without_run(it) == old, lives
        assert not (it / STATE / "journal.json").exists(), lives
        assert boots(it) - began <= 5, lives
        if not killed:
            break
    assert lives > 3
