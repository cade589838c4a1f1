"""Whole conversations with a recorded machine.

What processes, pipes or the bootstrap can change is tested over real pipes (`Client`), all else in this process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import agent_world
import pytest
from agent_client import META, NO_PROVENANCE, Client, NearClient, Refused, update
from agent_world import NOTHING, OTHER, RICH, SECRETS, STATE, make, service, snapshot

from rolecall_agent import archive, bootstrap, conversation, frames, wire
from rolecall_agent.comparison import compare
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.content import Secret, parts
from rolecall_agent.errors import Failure
from rolecall_agent.lock import locked
from rolecall_agent.resources import File, Package
from rolecall_agent.systems.recorded import RecordedPackages
from rolecall_agent.undo import recover

ONE = Configuration.of("m", [File("/etc/one", "1\n")])


def oldest_python() -> str | None:
    """Return an interpreter of Python 3.9, the oldest that the agent supports, if there is one."""
    candidates = [shutil.which("python3.9"), *Path("~/.pyenv/versions").expanduser().glob("3.9*/bin/python3.9")]
    if shutil.which("uv"):
        uv = subprocess.run(["uv", "python", "find", "3.9"], capture_output=True, text=True, check=False)
        candidates.append(uv.stdout.strip())
    for python in candidates:
        if python and not subprocess.run([python, "-c", "pass"], capture_output=True, check=False).returncode:
            return str(python)
    return None


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an unpacked agent with byte code, since writing and compiling it takes most of the time."""
    machine = tmp_path_factory.mktemp("with-agent")
    with Client(machine) as client:
        client.open()
    return machine / STATE / "agent"


@pytest.fixture
def root(tmp_path: Path, agents: Path) -> Path:
    machine = make(tmp_path / "m")
    shutil.copytree(agents, machine / STATE / "agent")
    return machine


def fail(root: Path, **what: list[str]) -> None:
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fail": what}))


@pytest.mark.parametrize("python", [sys.executable, pytest.param("3.9", marks=pytest.mark.slow)])
def test_first_update_no_op_change_and_removal(tmp_path: Path, python: str) -> None:
    root = make(tmp_path)
    if python == "3.9":
        python = oldest_python() or pytest.skip("no Python 3.9 here")
    before = snapshot(root)
    with Client(root, python, before="echo Welcome; printf 'to this host'") as first:
        assert first.open()["current"] is None
        assert first.agent_sent
        assert first.switch(RICH, SECRETS)["type"] == "provisional"
        assert {"type": "progress", "step": "install", "detail": "p2"} in first.progress
        assert first.commit() == 1
    with Client(root, python) as again:
        state = again.open(RICH.digest)
        assert not again.agent_sent
        assert state["same"]
        assert state["current"] == {**META, "number": 1, "digest": RICH.digest}
        assert state["drift"] == []
        if python != sys.executable:
            assert state["agent_python"].startswith("3.9.")
        assert again.compare(RICH)["changes"] == []
    (root / "etc/a").write_text("by hand\n")
    with Client(root, python) as drifted:
        state = drifted.open(RICH.digest)
        assert not state["same"]
        assert state["drift"] == [{"key": "file:/etc/a", "reason": "content"}]
        repair = drifted.compare(RICH)
        assert repair["changes"] == [{"key": "file:/etc/a", "action": "repair", "detail": "content"}]
        assert {"name": "a.service", "verb": "restart", "also": []} in repair["restarts"]
        drifted.switch(NOTHING)
        drifted.commit()
    assert snapshot(root) == before


def test_a_comparison_names_every_change(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        comparison = client.compare(RICH)
    actions = {change["key"]: change["action"] for change in comparison["changes"]}
    assert actions["file:/etc/a"] == "overwrite"
    assert actions["file:/opt/x/y/z"] == "create"
    assert actions["unit:dist.service"] == "overwrite"
    assert [(each["verb"], each["name"], each["also"]) for each in comparison["restarts"]] == [
        ("stop", "also.service", []),
        ("run", "action:refresh", []),
        ("restart", "dist.service", []),
        ("start", "a.service", []),
        ("start", "theirs.service", []),
        ("restart", "own.service", []),
    ]
    (root / "etc/one").write_text("1\n")
    (root / "etc/one").chmod(0o644)
    with NearClient(root) as client:
        client.open()
        assert client.compare(ONE)["changes"] == [{"key": "file:/etc/one", "action": "adopt", "detail": ""}]


def test_only_what_was_shown_is_applied(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        shown = client.compare(RICH)["digest"]
        (root / "etc/a").unlink()
        with pytest.raises(Refused, match="has changed since this was planned") as refused:
            client.ask(type="stage", comparison=shown, meta=META, provenance=NO_PROVENANCE, skip=[])
        assert refused.value.failed["restored"]


def test_a_failing_unit_undoes_the_switch(root: Path) -> None:
    before = snapshot(root)
    fail(root, units=["a.service"])
    with NearClient(root) as client:
        client.open()
        with pytest.raises(Refused, match=r"a\.service failed") as refused:
            client.switch(RICH, SECRETS)
        assert refused.value.failed["restored"]
        assert refused.value.failed["detail"]
        with pytest.raises(Refused, match="no switch is provisional"):
            client.commit()
    assert snapshot(root) == before


@pytest.mark.parametrize("broken", [{"packages": ["p2"]}, {"commands": ["refresh"]}, {"commands": ["probe"]}])
def test_any_failure_undoes_the_switch(root: Path, broken: dict[str, list[str]]) -> None:
    target = Configuration.of("m", RICH.resources, [Check("it works", ("probe",))])
    before = snapshot(root)
    fail(root, **broken)
    with NearClient(root) as client:
        client.open()
        with pytest.raises(Refused) as refused:
            client.switch(target, SECRETS)
        assert refused.value.failed["restored"]
    assert snapshot(root) == before


@pytest.mark.slow
def test_the_end_of_the_stream_undoes_a_provisional_switch(root: Path) -> None:
    before = snapshot(root)
    with Client(root) as client:
        client.open()
        client.switch(RICH, SECRETS)
        assert snapshot(root) != before
    assert snapshot(root) == before
    with Client(root) as client:
        state = client.open()
        assert (state["current"], state["recovered"]) == (None, None)


def test_undo(root: Path) -> None:
    update(root, ONE)
    before = snapshot(root)
    with NearClient(root) as client:
        client.open()
        client.switch(OTHER, SECRETS)
        assert client.ask(type="undo") == {"type": "undone", "reboots": False}
        assert snapshot(root) == before
        client.switch(OTHER, SECRETS)
        assert client.commit() == 2


@pytest.mark.slow
def test_commit_requires_a_confirmation_over_a_second_connection(root: Path) -> None:
    with Client(root) as client:
        client.open()
        client.switch(ONE, confirm=True)
        with pytest.raises(Refused, match="confirmed") as refused:
            client.commit()
        assert not refused.value.failed["restored"]
        with Client(root) as second, pytest.raises(Refused):
            second.first(type="confirm", run=META["run"], nonce="guessed")
        with Client(root) as second:
            assert second.first(type="confirm", run=META["run"], nonce="n1") == {"type": "confirmed"}
        assert client.commit() == 1


def test_checks_with_peers(root: Path) -> None:
    fail(root, commands=["no"])
    target = Configuration.of("m", [], [Check("a", ("yes",), peers=True), Check("b", ("no",), peers=True)])
    with NearClient(root) as client:
        client.open()
        client.switch(target)
        checks = client.ask(type="check", peers=True)["checks"]
        assert [(check["name"], check["ok"]) for check in checks] == [("a", True), ("b", False)]


def test_a_check_fails_when_no_switch_is_provisional(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        client.switch(ONE)
        assert client.ask(type="check", peers=True) == {"type": "checks", "checks": []}
        journal = root / STATE / "journal.json"
        kept = journal.read_bytes()
        journal.unlink()
        with pytest.raises(Refused, match="no switch is provisional"):
            client.ask(type="check", peers=True)
        journal.write_bytes(kept)
        client.commit()
        with pytest.raises(Refused, match="no switch is provisional"):
            client.ask(type="check", peers=True)


def test_secrets_are_stored_only_in_sealed(root: Path) -> None:
    update(root, RICH, SECRETS)
    holders = [path for path in root.rglob("*") if path.is_file() and SECRETS["v1"] in path.read_bytes()]
    assert {path.relative_to(root).as_posix() for path in holders} == {"etc/a", f"{STATE}/sealed/v1"}
    assert (root / STATE / "sealed/v1").stat().st_mode & 0o777 == 0o600
    assert (root / STATE / "sealed").stat().st_mode & 0o777 == 0o700
    agent_world.update(root, ONE)
    assert (root / STATE / "sealed/v1").exists()  # generation 1 still needs it
    agent_world.update(root, OTHER)
    kept = {path.name for path in (root / STATE / "sealed").iterdir()}
    assert kept == {"v2", "h2"}  # a new version: the old value goes at once
    for _ in range(5):
        agent_world.update(root, ONE)
        agent_world.update(root, NOTHING)
    assert not list((root / STATE / "sealed").iterdir())


def test_unused_staged_contents_are_removed(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(RICH)["digest"], SECRETS)
    assert not list((root / STATE / "sealed").iterdir())


@pytest.mark.slow
def test_an_agent_killed_at_any_step_is_recovered(root: Path, tmp_path: Path) -> None:
    update(root, OTHER, SECRETS)
    was = snapshot(root)
    steps = 0
    while True:
        shutil.rmtree(tmp_path / "try", ignore_errors=True)
        shutil.copytree(root, tmp_path / "try", symlinks=True)
        with Client(tmp_path / "try") as client:
            client.open()
            client.stage(client.compare(RICH)["digest"], SECRETS)
            client.send({"type": "switch", "nonce": "n", "confirm": False, "reboot": "planned"})
            got: dict[str, Any] = {}
            for _ in range(steps + 1):
                frame = frames.read_frame(client.process.stdout)  # type: ignore[arg-type]
                assert frame
                got = frame[0]
                if got["type"] == "provisional":
                    break
            client.process.kill()
        with Client(tmp_path / "try") as after:
            state = after.open(OTHER.digest)
        assert state["recovered"] == "undone"
        assert state["same"]
        assert snapshot(tmp_path / "try") == was
        steps += 6  # the kill comes some changes after the frame anyway; test_undo takes every single one
        if got["type"] == "provisional" or steps > 40:
            break


@pytest.mark.slow
def test_a_damaged_agent_is_replaced(root: Path) -> None:
    update(root, ONE)
    digest, _ = archive.build()
    (root / STATE / "agent" / digest / "rolecall_agent/switch.py").write_text("1/0")
    with Client(root) as client:
        assert client.open(ONE.digest)["same"]
        assert client.agent_sent


def test_a_machine_installed_under_another_name_is_refused(root: Path) -> None:
    update(root, ONE)
    with NearClient(root) as client, pytest.raises(Refused, match=f"installed as '{ONE.machine}'") as refused:
        client.first(type="open", protocol=frames.PROTOCOL, machine="other", formerly=[], expect=None)
    # The documentation tries this command.
    assert f"`rolecall inventory set machines.other.formerly '[\"{ONE.machine}\"]'`" in str(refused.value)


def test_a_renamed_machine_is_accepted_by_its_former_name(root: Path) -> None:
    update(root, ONE)
    renamed = Configuration.of("other", ONE.resources, ONE.checks)
    with NearClient(root) as client:
        opened = {"type": "open", "protocol": frames.PROTOCOL, "machine": "other", "expect": renamed.digest}
        state = client.first(**opened, formerly=["another", ONE.machine])
        assert (state["machine"], state["same"], state["drift"]) == (ONE.machine, False, [])
        assert client.compare(renamed)["changes"] == []
        client.switch(renamed)
        client.commit()
    with NearClient(root) as client:
        state = client.first(**opened, formerly=[])
        assert (state["machine"], state["same"]) == ("other", True)


def test_violations_of_the_protocol_are_refused(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        for message in ({"type": "nonsense"}, {"type": "switch"}, {"type": "commit"}, {"type": "stage"}):
            with pytest.raises(Refused):
                client.ask(**message)
        with pytest.raises(Refused, match="not a normalized path"):
            client.ask(type="compare", configuration={**ONE.as_json(), "resources": [_file("/etc/../x")]})
        assert client.compare(ONE)["changes"]
    with NearClient(root) as client, pytest.raises(Refused, match="unsupported protocol"):
        client.first(type="open", protocol=99, machine="m", formerly=[], expect=None)
    with NearClient(root) as client:
        client.open()
        client.ask(type="stage", comparison=client.compare(ONE)["digest"], meta=META, provenance=NO_PROVENANCE, skip=[])
        client.send({"type": "blob", "sha256": ONE.blobs[0].sha256}, b"other")
        with pytest.raises(Refused, match="arrived damaged"):
            client.ask(type="verify")


@pytest.mark.slow
def test_a_failure_while_staging_is_reported_once_after_verify(root: Path) -> None:
    many = Configuration.of("m", [File(f"/etc/many/{number}", f"{number}\n") for number in range(1500)])
    with Client(root) as client:
        client.open()
        client.ask(
            type="stage", comparison=client.compare(many)["digest"], meta=META, provenance=NO_PROVENANCE, skip=[]
        )
        # Nothing of what is answered here is read; so it must not be answered, or both pipes fill.
        watch = threading.Timer(10, client.process.kill)
        watch.start()
        for blob in many.blobs:
            client.send({"type": "blob", "sha256": blob.sha256}, b"damaged")
        with pytest.raises(Refused, match="arrived damaged"):
            client.ask(type="verify")
        for blob in many.blobs:  # and when the staging itself had failed
            client.send({"type": "blob", "sha256": blob.sha256}, b"late")
        assert client.compare(ONE)["changes"]
        watch.cancel()


@pytest.mark.parametrize("name", ["/", "//", "/proc/self/root", "link"])
def test_the_machine_itself_cannot_be_a_recorded_system(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/")
    # Asked in this process: a bootstrap that does not refuse would go on, on the machine that runs the tests.
    assert "is the machine itself" in bootstrap.obstacle(str(tmp_path / name))
    assert bootstrap.obstacle(str(tmp_path)) == bootstrap.obstacle(str(tmp_path / "not-yet")) == ""


def test_a_plan_is_never_empty_when_something_differs(root: Path) -> None:
    def changes_by(*checks: Check, follows: tuple[str, ...] = ()) -> dict[str, str]:
        target = Configuration.of("m", [*ONE.resources, service("a.service", "/bin/a", restart_on=follows)], checks)
        it = agent_world.machine(root)
        changes = compare(it.system, it.store, it.store.configuration(it.store.current), target).changes
        agent_world.update(root, target)
        return {change["key"]: change["action"] for change in changes}

    assert changes_by(Check("it works", ("probe",)))["check:it works"] == "create"
    assert changes_by(Check("it works", ("probe",))) == {}
    assert changes_by(Check("it works", ("probe",), timeout=5)) == {"check:it works": "change"}
    assert changes_by() == {"check:it works": "remove"}
    assert changes_by(follows=("file:/etc/one",)) == {"unit:a.service": "adopt"}


OPEN = {"type": "open", "agent": "", "protocol": frames.PROTOCOL, "machine": "m", "formerly": [], "expect": None}
Provisional = tuple[conversation.Conversation, list[dict[str, Any]]]


def provisional(root: Path, target: Configuration) -> Provisional:
    """Return a conversation whose switch is provisional, and what it sends."""
    sent: list[dict[str, Any]] = []
    talk = conversation.Conversation(sent.append, str(root))
    talk.begin(OPEN)
    talk.answer({"type": "compare", "configuration": target.as_json()})
    talk.answer(
        {
            "type": "stage",
            "comparison": sent[-1]["digest"],
            "meta": agent_world.META,
            "provenance": NO_PROVENANCE,
            "skip": [],
        }
    )
    for blob in target.blobs:
        if blob.sha256 in sent[-1]["blobs"]:
            talk.answer({"type": "blob", "sha256": blob.sha256}, blob.data or b"")
    talk.answer({"type": "verify"})
    talk.answer({"type": "switch", "nonce": "n", "confirm": False, "reboot": "planned"})
    assert sent[-1]["type"] == "provisional"
    return talk, sent


def test_a_failing_cleanup_does_not_undo_the_commit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent_world.update(root, Configuration.of("m", [Package("p2")]))
    talk, sent = provisional(root, ONE)
    talk.answer({"type": "decide"})
    with monkeypatch.context() as context:
        context.setattr(RecordedPackages, "remove", lambda *_: 1 / 0)
        talk.answer({"type": "commit"})
    committed = sent[-1]
    assert (committed["type"], committed["number"]) == ("committed", 2)
    assert "cleanup is left to the next run" in committed["notes"][0]
    talk.end()
    after = agent_world.machine(root)
    assert recover(after) == "committed"
    assert (after.store.journal, after.system.packages.state("p2").present) == (None, False)


def test_a_commit_that_fails_late_is_not_undone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    talk, sent = provisional(root, ONE)
    it = agent_world.machine(root)
    it.store.set_current(1)  # and then the disk would not say so
    with monkeypatch.context() as context:
        context.setattr(conversation, "commit", lambda _: 1 / 0)
        talk.answer({"type": "commit"})
    talk.answer({"type": "undo"})
    assert "no longer provisional" in sent[-1]["message"]
    assert (root / "etc/one").exists()
    assert (it.store.current, it.store.journal) == (1, None)


def test_what_is_compared_after_staging_must_be_staged_itself(root: Path) -> None:
    sent: list[dict[str, Any]] = []
    talk = conversation.Conversation(sent.append, str(root))
    talk.begin(OPEN)
    for target in (Configuration.of("m", []), Configuration.of("m", [Package("p2")])):
        talk.answer({"type": "compare", "configuration": target.as_json()})
        if not target.resources:
            talk.answer(
                {
                    "type": "stage",
                    "comparison": sent[-1]["digest"],
                    "meta": agent_world.META,
                    "provenance": NO_PROVENANCE,
                    "skip": [],
                }
            )
            talk.answer({"type": "verify"})
    talk.answer({"type": "switch", "nonce": "n", "confirm": False, "reboot": "planned"})
    assert sent[-1]["message"] == "no switch is staged"


def test_an_agent_that_works_shows_signs_of_life(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, _ = archive.build()
    source, sink = os.pipe()
    heard: list[str] = []

    def work(*_: object) -> None:
        with os.fdopen(source, "rb") as stream:
            for _ in range(2):
                frame = frames.read_frame(stream)
                assert frame
                heard.append(frame[0]["type"])

    monkeypatch.setattr(frames, "HEARTBEAT", 0.01)
    monkeypatch.setattr(conversation, "recover", work)
    with os.fdopen(sink, "wb", buffering=0) as stream:
        first = {"type": "open", "agent": digest, "protocol": 1, "machine": "m", "formerly": [], "expect": None}
        wire.serve(first, BytesIO(), stream, str(root))  # type: ignore[arg-type]
    assert heard == ["alive", "alive"]


def test_an_answer_that_is_too_large_is_a_failure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_ANSWER", 1000)
    sink = BytesIO()
    line = wire.Wire(wire.Streams(BytesIO(), sink))
    talk = conversation.Conversation(line.send, str(root))
    many = Configuration.of("m", [File(f"/etc/{number}", "1") for number in range(100)])
    talk.answer({"type": "compare", "configuration": many.as_json()})
    line.ended.set()
    sent = frames.read_frame(BytesIO(sink.getvalue()))
    assert sent
    assert sent[0]["message"].startswith("the machine has too many resources: a message of ")
    assert sent[0]["restored"]


def _file(path: str) -> dict[str, Any]:
    return {**ONE.as_json()["resources"][0], "path": path}


def test_one_agent_at_a_time(root: Path) -> None:
    with conversation.locked(str(root), "anna@desk"):
        conversation.note_holder(str(root), "run 7 of ben@desk")
        with (
            pytest.raises(Failure, match=r"locked by run 7 of ben@desk since 20[-\d]+ [:\d]+ UTC \(pid \d+\)"),
            conversation.locked(str(root), "anna@desk", 0.05),
        ):
            raise AssertionError
    with conversation.locked(str(root), "anna@desk"):
        pass


@pytest.mark.slow
def test_a_machine_is_locked_only_while_a_run_changes_it(root: Path) -> None:
    def others_can_look(*, patience: float = 0) -> bool:
        with Client(root) as other, contextlib.suppress(Refused):
            other.open(patience=patience)
            return True
        return False

    with Client(root) as client:
        client.open()
        assert others_can_look(patience=5)
        comparison = client.compare(ONE)["digest"]
        assert others_can_look(patience=5)
        with pytest.raises(Refused, match="has changed"):
            client.stage("another", {})
        assert others_can_look(patience=5)
        client.stage(comparison, {})
        with Client(root) as other, pytest.raises(Refused, match=r"locked by run run-1 of tester since 20"):
            other.open(patience=0)
        client.ask(type="switch", nonce="n", confirm=False, reboot="planned")
        assert not others_can_look()
        assert client.ask(type="undo") == {"type": "undone", "reboots": False}
        assert others_can_look(patience=5)
        client.switch(ONE)
        client.ask(type="decide")
        assert not others_can_look()
        client.ask(type="commit")
        assert others_can_look(patience=5)


def test_a_machine_that_changes_after_staging_is_not_touched(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(ONE)["digest"], {})
        (root / "etc/one").write_text("an administrator's\n")
        before = snapshot(root)
        with pytest.raises(Refused, match="the machine has changed since this was planned") as refused:
            client.ask(type="switch", nonce="n", confirm=False, reboot="planned")
        assert refused.value.failed["restored"]
        assert snapshot(root) == before
    assert not (root / STATE / "journal.json").exists()
    assert not list((root / STATE / "blobs").iterdir())


@pytest.mark.parametrize("damage", [b"", None])
def test_a_secret_of_the_same_value_is_sent_and_changes_nothing(root: Path, damage: bytes | None) -> None:
    """As after a rotation to the password that it was, or when what is stored of it is damaged."""

    def file(version: str) -> Configuration:
        return Configuration.of("m", [File("/etc/one", parts("PASS=", Secret("i.pass", "value", version)), mode=0o600)])

    update(root, file("v1"), SECRETS)
    if damage is not None:
        (root / STATE / "sealed/v1").write_bytes(damage)
    with NearClient(root) as client:
        client.open()
        version = "v1" if damage is not None else "v2"
        client.switch(file(version), {version: SECRETS["v1"]})
        client.ask(type="decide")
        client.ask(type="commit")
    assert (root / "etc/one").read_bytes() == b"PASS=" + SECRETS["v1"]


def test_the_archive_is_reproducible_and_the_command_needs_no_quotes() -> None:
    digest, packed = archive.build()
    assert hashlib.sha256(packed).hexdigest() == digest
    assert set(bootstrap.files_in(packed)) >= {
        "__main__.py",
        "rolecall_agent/switch.py",
        "rolecall_agent/resources/file.py",
    }
    assert not set("'!\\\n`$") & set(" ".join(archive.relay_command()))


def test_unchanged_files_are_not_touched(root: Path) -> None:
    update(root, ONE)
    was = (root / "etc/one").stat()
    update(root, Configuration.of("m", [*ONE.resources, service("a.service", "/bin/one")]))
    now = (root / "etc/one").stat()
    assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


@pytest.mark.slow
def test_a_purge_removes_everything(root: Path) -> None:
    update(root, RICH, SECRETS)
    with Client(root) as client:
        client.open()
        with pytest.raises(Refused, match="still has managed resources"):
            client.ask(type="purge", homes=False)
    assert (root / STATE / "sealed/v1").exists()
    update(root, NOTHING)
    assert (root / STATE / "sealed/v1").exists()
    with Client(root) as client:
        client.open()
        assert client.ask(type="purge", homes=False) == {"type": "purged", "notes": []}
    assert sorted(path.name for path in (root / STATE).iterdir()) == ["system.json"]
    update(root, RICH, SECRETS)  # and it can be installed again


def test_a_purge_during_a_run_is_refused(root: Path) -> None:
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(ONE)["digest"], {})
        with pytest.raises(Refused, match="a run is in progress"):
            client.ask(type="purge", homes=False)


@pytest.mark.slow
def test_a_path_has_the_same_bytes_in_every_locale(root: Path, tmp_path: Path) -> None:
    locale = tmp_path / "locales/de_DE.ISO-8859-1"
    locale.parent.mkdir()
    made = subprocess.run(
        ["localedef", "--inputfile=de_DE", "--charmap=ISO-8859-1", locale], capture_output=True, check=False
    )
    if not locale.is_dir():
        pytest.skip(f"no Latin-1 locale: {made.stderr.decode()}")
    before = f"unset PYTHONUTF8; export LOCPATH={locale.parent} LC_ALL={locale.name}"
    with Client(root, before=before) as client:
        client.open()
        client.switch(Configuration.of("m", [File("/etc/größe-日本.conf", "x\n")]))
        client.commit()
    assert (os.fsencode(root) + "/etc/größe-日本.conf".encode()) in {
        os.fsencode(path) for path in (root / "etc").iterdir()
    }


def test_who_waits_for_a_machine_that_is_purged_locks_a_new_one(root: Path) -> None:
    """Or two agents would each hold a lock, one of them of a file that is gone."""
    lock = root / STATE / "lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    taken: list[int] = []

    def wait() -> None:
        with locked(str(root), "two"):
            taken.append(lock.stat().st_ino)

    waiting = threading.Thread(target=wait)
    with locked(str(root), "one"):
        (root / "kept").hardlink_to(lock)  # so that its inode is not used again
        waiting.start()
        lock.unlink()
    waiting.join()
    assert taken == [lock.stat().st_ino]
    assert taken != [(root / "kept").stat().st_ino]
