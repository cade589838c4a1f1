"""Files of the state directory that are damaged or lost: named, never used, and given up only by a person."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from agent_client import NearClient, Refused
from agent_client import update as converse
from agent_world import META, NOTHING, SECRETS, STATE, machine, make, service, snapshot, stage, update

from rolecall_agent.__main__ import make_whole
from rolecall_agent.comparison import compare
from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Blob, Secret, parts
from rolecall_agent.errors import Failure
from rolecall_agent.resources import File
from rolecall_agent.store import SCHEMA
from rolecall_agent.switch import commit, decide, switch
from rolecall_agent.undo import recover

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = File("/run/secret", parts("PASS=", Secret("i.pass", "value", "v1")))
HINT = "or give it up: `rolecall machines recover MACHINE --accept`"


def configured(text: str) -> Configuration:
    unit = service("a.service", f"/bin/{text}", started=True)
    return Configuration.of("m", [File("/etc/a", f"{text}\n"), File("/etc/two", "2\n"), SECRET, unit])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with two generations."""
    root = make(tmp_path / "m")
    update(root, configured("one"))
    update(root, configured("two"))
    return root


def interrupt(root: Path) -> None:
    """Leave a provisional switch behind."""
    it = machine(root)
    stage(it, target := configured("three"))
    switch(it, target, META, nonce="n", confirm=False)


def flip(data: bytes) -> bytes:
    at = data.index(b'":') - 1  # in the first key
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"\xff\x00garbage",
    "truncated": lambda data: data[: len(data) // 2],
    "flipped": flip,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name",
    ["journal.json", "original/index.json", "generations/2/configuration.json", "generations/2/meta.json"],
)
def test_what_is_damaged_is_named_and_can_be_given_up(root: Path, name: str, damage: str) -> None:
    if name == "journal.json":
        interrupt(root)
    path = root / STATE / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = snapshot(root)
    for mode in ("open", "show", "retry"):
        if name != "journal.json" and mode != "open":
            continue  # nothing was interrupted
        with (
            NearClient(root) as client,
            pytest.raises(Refused, match=f"^/{STATE}/{name} is damaged: .*{HINT}$") as caught,
        ):
            client.open() if mode == "open" else client.first(type="recover", mode=mode, keys=[])
        assert caught.value.failed["restored"]
    assert snapshot(root) == before
    give_up(root)
    target = configured("four")
    converse(root, target, SECRETS)
    with NearClient(root) as client:
        assert client.open(target.digest)["same"]
    update(root, NOTHING)
    index = name == "original/index.json"
    assert (root / "etc/a").read_text() == ("two\n" if index else "ours once\n")
    assert (root / "etc/two").exists() is index
    assert not list((root / STATE / "generations").glob("1[0-9]"))


def give_up(root: Path) -> None:
    with NearClient(root) as client:
        assert client.first(type="recover", mode="accept", keys=[])["settled"] == "accepted"
    with NearClient(root) as client:
        assert client.first(type="recover", mode="accept", keys=[])["settled"] == ""


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("schema", lambda path: path.write_text("x")),
        ("schema", lambda path: path.write_text("[3]")),
        ("current", lambda path: (path.unlink(), path.symlink_to("generations/x"))),
        ("current", lambda path: path.unlink()),
        ("original/index.json", lambda path: path.unlink()),
        ("generations/2/meta.json", lambda path: shutil.rmtree(path.parent)),
    ],
)
def test_what_is_lost_is_named_and_can_be_given_up(root: Path, name: str, spoil: Callable[[Path], object]) -> None:
    before = snapshot(root)
    spoil(root / STATE / name)
    with NearClient(root) as client, pytest.raises(Refused, match=f"^/{STATE}/{name} is damaged: .*{HINT}$"):
        client.open()
    assert snapshot(root) == before
    give_up(root)
    converse(root, configured("four"), SECRETS)
    assert (root / "etc/a").read_text() == "four\n"


def test_a_newer_layout_is_not_given_up(root: Path) -> None:
    (root / STATE / "schema").write_text(str(SCHEMA + 1))
    with NearClient(root) as client, pytest.raises(Refused, match="update Rolecall"):
        client.first(type="recover", mode="accept", keys=[])
    assert (root / STATE / "schema").read_text() == str(SCHEMA + 1)


def test_files_of_earlier_versions_have_no_digests(root: Path) -> None:
    interrupt(root)
    for name in ("journal.json", "original/index.json", "generations/1/meta.json", "generations/2/meta.json"):
        path = root / STATE / name
        data = json.loads(path.read_text())
        assert len(data.pop("sha256")) == 64
        path.write_text(json.dumps(data))
    (root / STATE / "schema").write_text("2")
    assert recover(machine(root)) == "undone"
    update(root, NOTHING)
    assert (root / "etc/a").read_text() == "ours once\n"
    assert (root / STATE / "schema").read_text() == str(SCHEMA)


def blob(root: Path, text: str) -> Path:
    return root / STATE / "blobs" / Blob.of(text).sha256


def test_a_damaged_blob_is_sent_again_and_never_installed(root: Path) -> None:
    blob(root, "two\n").write_text("twO\n")
    blob(root, "PASS=").write_text("FAIL=")
    (root / "etc/a").unlink()
    (root / "run/secret").unlink()
    it = machine(root)
    with pytest.raises(Failure, match=r"/blobs/[0-9a-f]{64} is damaged; `rolecall update` replaces it"):
        File("/etc/a", "two\n").apply(it.system, it.store)
    assert not (root / "etc/a").exists()
    converse(root, configured("two"), SECRETS)
    assert (root / "etc/a").read_text() == blob(root, "two\n").read_text() == "two\n"
    assert (root / "run/secret").read_bytes() == b"PASS=" + SECRETS["v1"]


def test_an_undo_does_not_need_a_damaged_blob(root: Path) -> None:
    before = snapshot(root)
    blob(root, "two\n").write_text("twO\n")
    interrupt(root)
    assert (root / "etc/a").read_text() == "three\n"
    assert recover(machine(root)) == "undone"
    assert snapshot(root) == before


@pytest.fixture
def original(root: Path) -> Path:
    """The stored content of what was at /etc/a before."""
    return root / STATE / "original" / Blob.of("ours once\n").sha256


@pytest.mark.parametrize("damage", ["truncated", "lost"])
def test_a_damaged_original_is_not_restored(root: Path, original: Path, damage: str) -> None:
    if damage == "lost":
        original.unlink()
    else:
        original.write_text("ours")
    it = machine(root)
    work = compare(it.system, it.store, configured("two"), NOTHING)
    details = {change["key"]: change["detail"] for change in work.changes}
    path = f"/{STATE}/original/{original.name}"
    assert details["file:/etc/a"] == f"it stays as it is: {path}, which was there before, is damaged"
    assert details["file:/etc/two"] == ""
    update(root, NOTHING)
    assert (root / "etc/a").read_text() == "two\n"
    assert not (root / "etc/two").exists()
    original.write_text("ours once\n")  # from a backup
    update(root, configured("three"))
    update(root, NOTHING)
    assert (root / "etc/a").read_text() == "ours once\n"
    assert not machine(root).store.originals


def test_an_undo_does_not_restore_what_is_damaged(root: Path) -> None:
    (root / "etc/a").write_text("by hand\n")
    interrupt(root)
    captured = root / STATE / "original" / Blob.of("by hand\n").sha256
    captured.write_text("by")
    with pytest.raises(Failure, match=r"the undo failed for file:/etc/a$") as caught:
        recover(machine(root))
    assert (
        f"/{STATE}/original/{captured.name}, which was at /etc/a before, is damaged" in caught.value.damage[0]["reason"]
    )
    captured.write_text("by hand\n")
    assert recover(machine(root)) == "undone"
    assert (root / "etc/a").read_text() == "by hand\n"


def test_a_damaged_original_is_captured_again(root: Path, original: Path) -> None:
    update(root, NOTHING)
    (root / "etc/a").write_text("ours once\n")
    original.write_text("ours")
    update(root, configured("one"))
    update(root, NOTHING)
    assert (root / "etc/a").read_text() == "ours once\n"


def test_a_damaged_earlier_generation_is_removed_and_named(root: Path) -> None:
    (root / STATE / "generations/1/configuration.json").write_text('{"schema":1,"mach')
    it = machine(root)
    stage(it, target := configured("three"))
    switch(it, target, META, nonce="n", confirm=False)
    decide(it)
    number, notes = commit(it)
    assert number == 3
    [note] = notes
    path = f"/{STATE}/generations/1/configuration.json"
    assert note == f"generation 1 is removed: {path} is damaged: its content does not match the digest in meta.json"
    assert sorted(path.name for path in (root / STATE / "generations").iterdir()) == ["2", "3"]


@pytest.mark.parametrize("name", ["journal.json", "original/index.json", "schema"])
def test_a_boot_restores_what_is_below_run_whatever_else_is_damaged(root: Path, name: str) -> None:
    if name == "journal.json":
        interrupt(root)
    (root / STATE / name).write_text("{")
    (root / "run/secret").unlink()
    [failure] = make_whole(machine(root))
    assert failure.startswith(f"/{STATE}/{name} is damaged: its content is not JSON; ")
    assert (root / "run/secret").read_bytes() == b"PASS=" + SECRETS["v1"]
