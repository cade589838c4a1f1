"""The fingerprint of a machine: whatever a person or program changes, it is not the same any more."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent_client import update
from agent_world import STATE, make

from rolecall_agent import fingerprint, frames
from rolecall_agent.configuration import Configuration
from rolecall_agent.conversation import Conversation
from rolecall_agent.resources import File

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = str(Path(fingerprint.__file__).parents[1])
STATED = {"type": "state", "machine": "m", "same": True, "current": {"digest": "d"}}
OPEN = {"type": "open", "protocol": 1, "machine": "m", "expect": "d", "agent": "a"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("one")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/busy").mkdir()
    return tmp_path


def settled() -> None:
    time.sleep(fingerprint.MARGIN / 1e9 + 0.001)


def noted(folder: Path) -> fingerprint.Notes:
    """Return notes on what is there, and on what is not, since long enough."""
    settled()
    notes = fingerprint.Notes()
    notes.paths = {f"{folder}/{name}" for name in ("file", "link", "folder", "folder/missing", "file/missing")}
    notes.folders = {f"{folder}/folder": ["busy"], f"{folder}/missing": []}
    notes.answers = [(["cat", f"{folder}/file"], False, 0, "one")]
    return notes


def taken(folder: Path) -> dict[str, Any]:
    found = fingerprint.take(noted(folder))
    assert found
    written: dict[str, Any] = json.loads(json.dumps({**found, "environment": {"PATH": os.environ["PATH"]}}))
    assert fingerprint.stands(written)
    return written


def rewrite_in_place(folder: Path) -> None:
    """Change a file, and then everything that a program can set: size and time of modification are as before."""
    before = (folder / "file").stat()
    with (folder / "file").open("r+") as file:
        file.write("two")
    os.utime(folder / "file", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(folder: Path) -> None:
    (folder / "new").write_text("one")
    (folder / "new").rename(folder / "file")


@pytest.mark.parametrize(
    "change",
    [
        rewrite_in_place,
        replace,
        lambda it: (it / "file").chmod(0o600),
        lambda it: (it / "file").unlink(),
        lambda it: os.setxattr(it / "file", "user.note", b"x"),
        lambda it: (it / "folder").chmod(0o700),
        lambda it: (it / "folder/missing").write_text(""),
        lambda it: (it / "folder/other").write_text(""),
        lambda it: (it / "folder/busy").rename(it / "folder/other"),
        lambda it: (it / "missing").mkdir() or (it / "missing/one").write_text(""),
        lambda it: ((it / "link").unlink(), (it / "link").symlink_to("file")),
        lambda it: ((it / "folder").rename(it / "other"), (it / "folder").mkdir()),
    ],
)
def test_a_change_is_noticed(folder: Path, change: Callable[[Path], object]) -> None:
    found = taken(folder)
    change(folder)
    assert not fingerprint.stands(found)


@pytest.mark.parametrize("change", [lambda it: (it / "folder/busy/file").write_text(""), lambda it: it.chmod(0o711)])
def test_what_nobody_looked_at_does_not_count(folder: Path, change: Callable[[Path], object]) -> None:
    found = taken(folder)
    change(folder)
    assert fingerprint.stands(found)


@pytest.mark.parametrize("argv", [["echo", "other"], ["false"], ["no-such-program"], ["sh", "-c", "cat FILE >&2"]])
def test_another_answer_is_noticed(folder: Path, argv: list[str]) -> None:
    found = taken(folder)
    found["answers"][0][0] = [word.replace("FILE", f"{folder}/file") for word in argv]
    assert not fingerprint.stands(found)
    if argv[0] == "sh":
        found["answers"][0][1] = True
        assert fingerprint.stands(found)


@pytest.mark.parametrize(
    "change", [replace, lambda it: (it / "link").unlink(), lambda it: (it / "folder").chmod(0o700)]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_changes_around_the_comparison_gives_none(
    folder: Path, change: Callable[[Path], object], when: str
) -> None:
    """A file that has just been written could be written again without another time."""
    if when == "before":
        settled()
        change(folder)
        notes = fingerprint.Notes()
        notes.paths = noted(folder).paths
        notes.began = max(path.lstat().st_ctime_ns for path in (folder, *folder.rglob("*")))  # however busy it is
    else:
        notes = noted(folder)
        change(folder)
    assert fingerprint.take(notes) is None


def test_what_cannot_be_noticed_gives_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = noted(folder)
    notes.complete = False
    assert fingerprint.take(notes) is None
    notes = noted(folder)
    notes.paths.add("/proc/sys/kernel/hostname")
    assert fingerprint.take(notes) is None
    monkeypatch.setattr(fingerprint, "_has_other_accounts", lambda: True)
    assert fingerprint.take(noted(folder)) is None


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("passwd: files systemd\ngroup:\tfiles\nhosts: dns\n# passwd: ldap\n", False),
        ("passwd:ldap files\n", True),
        (" group : files sss\n", True),
        ("shadow: files compat\n", True),
        ("passwd: files [NOTFOUND=return] files\n", True),
    ],
)
def test_accounts_from_elsewhere_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, *, other: bool
) -> None:
    (tmp_path / "nsswitch.conf").write_text(text)
    monkeypatch.setattr(fingerprint, "_SOURCES", str(tmp_path / "nsswitch.conf"))
    assert fingerprint._has_other_accounts() is other  # noqa: SLF001 - the file of this machine says one thing only


def test_whole_seconds_need_more_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on file systems that store no fractions of a second."""
    notes = noted(folder)
    real = os.lstat

    class Whole:
        def __init__(self, path: str) -> None:
            self.st_ctime_ns = real(path).st_ctime_ns // 1_000_000_000 * 1_000_000_000

    with monkeypatch.context() as context:
        context.setattr(os, "lstat", Whole)
        assert not fingerprint._is_settled(f"{folder}/file", notes.began)  # noqa: SLF001 - a file system to try it on is missing
        assert fingerprint._is_settled(f"{folder}/file", notes.began + 3_000_000_000)  # noqa: SLF001


def asked(folder: Path, found: dict[str, Any], *requests: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
    """Return what the relay would pass on to the agent, and the answer that it gives itself."""
    path = folder / "fingerprint.json"
    path.write_text(json.dumps(found))
    code = f"""import sys; sys.path.insert(0, {SOURCE!r})
from rolecall_agent import early, fingerprint
fingerprint.PATH = {str(path)!r}
sys.stderr.buffer.write(early.answer("a", "wire"))"""
    sent = b"".join(frames.frame(each) for each in requests)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], input=sent, capture_output=True, check=True)
    answer = done.stdout.partition(b"ROLECALL-FRAMES-1\n")[2]
    assert int.from_bytes(answer[:4], "big") == max(len(answer) - 4, 0)
    return done.stderr, json.loads(answer[4:]) if answer else None


def test_the_relay_answers_while_nothing_changes(folder: Path) -> None:
    found = {**taken(folder), "agent": "a", "protocol": 1, "state": STATED}
    assert asked(folder, found, {"type": "alive"}, OPEN) == (b"", STATED)
    assert asked(folder, found) == (b"", None)  # the controller has ended
    for different in ({"machine": "n"}, {"protocol": 2}, {"type": "recover"}):
        request = {**OPEN, **different}
        assert asked(folder, found, {"type": "alive"}, request) == (frames.frame(request), None)
    for other in ({"agent": "b"}, {"python": "3.0"}, {"answers": [[["false"], False, 0, ""]]}, {"paths": None}):
        assert asked(folder, {**found, **other}, OPEN) == (b"", None)  # it has read nothing


def test_the_agent_does_not_look_again_at_what_has_not_changed(folder: Path, tmp_path: Path) -> None:
    found = {**taken(folder), "agent": "a", "protocol": 1, "state": STATED}
    for expect in ("e", None):
        request, answer = asked(folder, found, {**OPEN, "expect": expect})
        message = frames.read_frame(io.BytesIO(request))
        assert message
        assert message[0] == {**OPEN, "expect": expect, "found": {**STATED, "same": False}}
        assert answer is None
    root = make(tmp_path / "m")
    one = Configuration.of("m", [File("/etc/one", "1\n")])
    update(root, one)
    (root / "etc/one").write_text("2\n")
    opened = {**OPEN, "user": "", "formerly": [], "expect": "e"}

    def stated(**found: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        sent: list[dict[str, Any]] = []
        talk = Conversation(sent.append, str(root))
        talk.begin({**opened, **found})
        talk.end()
        return sent[0]

    state = stated()
    assert [each["key"] for each in state["drift"]] == ["file:/etc/one"]
    assert stated(found={**state, "drift": []})["drift"] == []
    another = {**state["current"], "number": 2}  # was installed since the relay looked
    assert stated(found={**state, "current": another, "drift": []}) == state


def test_a_conversation_remembers_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "m")
    one = Configuration.of("m", [File("/etc/one", "1\n")])
    update(root, one)
    monkeypatch.setattr(fingerprint, "_status", lambda path: [len(path)])
    monkeypatch.setattr(fingerprint, "_is_settled", lambda _path, _began: True)

    def remembered(expect: str) -> dict[str, Any] | None:
        sent: list[dict[str, Any]] = []
        talk = Conversation(sent.append, str(root))
        first = {**OPEN, "user": "", "formerly": [], "expect": expect}
        talk.begin(first)
        talk.remember()
        talk.end()
        path = root / STATE / "fingerprint.json"
        found = json.loads(path.read_text()) if path.exists() else None
        assert found is None or found["state"] == sent[0]
        return found

    assert remembered("another digest") is None
    found = remembered(one.digest)
    assert found
    assert {"/etc/one", "/etc/passwd", f"/{STATE}/current"} <= found["paths"].keys()
    assert (found["agent"], found["protocol"]) == ("a", 1)
