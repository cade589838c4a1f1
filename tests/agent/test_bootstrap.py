"""The agent on the disk: whole after a kill and a loss of power, and mended when it is damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from itertools import count
from pathlib import Path

import pytest
from agent_client import Client, update
from agent_world import STATE, Killed, MortalOs, copy, make
from hypothesis import given
from hypothesis import strategies as st

from rolecall_agent import archive, bootstrap, bytecode
from rolecall_agent.configuration import Configuration
from rolecall_agent.resources import File
from rolecall_agent.systems.commands import PYTHON_OPTIONS
from rolecall_agent.systems.recorded import Record

FILES = {"__main__.py": b"import one.two\n", "one/__init__.py": b"", "one/two.py": b"print('ready')\n"}
DIGEST = bootstrap.hashlib.sha256(bootstrap.pack(FILES)).hexdigest()


def opened(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def starts(home: Path) -> bool:
    done = subprocess.run([sys.executable, *PYTHON_OPTIONS, home], capture_output=True, text=True, check=False)
    return done.stdout == "ready\n"


def test_an_agent_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, str]] = []
    rename = os.rename

    def renamed(source: str, target: str) -> None:
        events.append(("rename", target))
        rename(source, target)

    monkeypatch.setattr(bootstrap, "flush", lambda path: events.append(("flush", path)))
    monkeypatch.setattr(os, "rename", renamed)
    home = tmp_path / "var/lib/rolecall/agent" / DIGEST
    bootstrap.unpack(FILES, str(home))
    assert events == [("flush", f"{home}.{os.getpid()}"), ("rename", str(home)), ("flush", str(home))]


@pytest.mark.parametrize("program", ["sync", "no-such-program"])
def test_what_was_written_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    done: list[str] = []
    spawn = os.spawnlp
    monkeypatch.setattr(os, "spawnlp", lambda mode, _, *argv: done.append(argv[-1]) or spawn(mode, program, *argv))
    monkeypatch.setattr(os, "sync", lambda: done.append("everything"))
    bootstrap.flush(str(tmp_path))
    assert done == [str(tmp_path), "everything"][: 1 if program == "sync" else 2]


def test_byte_code_is_written_at_once_and_only_when_it_is_due(tmp_path: Path) -> None:
    home = tmp_path / DIGEST
    bootstrap.unpack(FILES, str(home))
    assert starts(home)
    assert not [*home.rglob("*.pyc")]  # Python itself writes none
    flushed: list[list[str]] = []

    def flush() -> None:
        flushed.append(sorted(path.name.partition(".")[0] for path in home.rglob("*.pyc.*.new")))

    bytecode.write(str(home), flush)
    tag = sys.implementation.cache_tag
    compiled = home / f"one/__pycache__/two.{tag}.pyc"
    assert {path.name for path in home.rglob("__pycache__/*")} == {f"{Path(name).stem}.{tag}.pyc" for name in FILES}
    bytecode.write(str(home), flush)
    assert flushed == [["__init__", "__main__", "two"]]
    code = compiled.read_bytes()
    (home / "one/two.py").write_text("print('readY')\n")  # it was damaged, and is mended
    bootstrap.unpack(FILES, str(home))
    assert starts(home)
    bytecode.write(str(home), flush)
    assert flushed[1:] == [["two"]]
    assert compiled.read_bytes()[16:] == code[16:]  # after the header: PEP 552
    compiled.write_bytes(compiled.read_bytes()[:16] + b"?")
    assert not starts(home)  # which shows that Python uses it


def test_damaged_byte_code_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / DIGEST
    bootstrap.unpack(FILES, str(home))
    bytecode.write(str(home), lambda: None)
    module = types.ModuleType("rolecall_agent.damaged")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    before = {name: each for name, each in sys.modules.items() if name.partition(".")[0] == "rolecall_agent"}
    try:
        bootstrap.forget_bytecode(str(home))
        assert not before.keys() & sys.modules.keys()
    finally:
        sys.modules.update(before)
    assert not [*home.rglob("*.pyc")]
    assert starts(home)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["none", "content", "missing", "surplus"])
def test_a_kill_at_any_call_leaves_an_agent_that_starts_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """An agent that can start although it is damaged can start at any time while it is mended."""
    start = tmp_path / "start"
    home = start / "agent" / DIGEST
    home.parent.mkdir(parents=True)
    if damage != "none":
        bootstrap.unpack(FILES, str(home))
        if damage == "content":
            (home / "one/__init__.py").write_text("# other\n")
        elif damage == "missing":
            (home / "one/__init__.py").unlink()
        else:
            (home / "three.py").write_text("")
    for lives in count():
        tried = copy(start, tmp_path / "tried") / "agent" / DIGEST
        with monkeypatch.context() as context:
            context.setattr(bootstrap, "os", MortalOs(lives))
            try:
                bootstrap.unpack(FILES, str(tried))
            except Killed:
                pass
            else:
                break
        assert starts(tried) or (damage == "none" and not tried.exists())
        bootstrap.unpack(FILES, str(tried))
        assert bootstrap.digest_of(str(tried)) == DIGEST
        assert starts(tried)
    assert lives >= (4 if damage == "none" else 1)


@pytest.mark.slow
def test_a_damaged_agent_of_the_next_boot_is_replaced(tmp_path: Path) -> None:
    root = make(tmp_path / "m")
    update(root, Configuration.of("m", [File("/etc/one", "1\n")]), client_type=Client)
    agents = root / STATE / "agent"
    digest, _ = archive.build()
    assert (agents / "boot").readlink().name == digest
    earlier = agents / DIGEST
    bootstrap.unpack(FILES, str(earlier))
    (agents / "boot").unlink()
    (agents / "boot").symlink_to(DIGEST)
    with Client(root) as client:
        client.open()
    assert (agents / "boot").readlink().name == DIGEST  # it can start
    (earlier / "one/two.py").write_text("")
    with Client(root) as client:
        client.open()
    assert (agents / "boot").readlink().name == digest


def test_the_record_of_a_recorded_system_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "m")
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(opened(fd)))
    Record(str(root)).save()
    assert synced == [str(root / STATE / "system.json.new"), str(root / STATE)]


@given(st.dictionaries(st.from_regex(r"[a-z_]+(/[a-z_]+)*\.py", fullmatch=True), st.binary()))
def test_files_are_the_same_after_they_were_packed(files: dict[str, bytes]) -> None:
    assert bootstrap.files_in(bootstrap.pack(files)) == files
