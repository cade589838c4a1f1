"""The agent on the disk: whole after a kill and a loss of power, and mended when it is damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from agent_client import Client, update
from agent_world import STATE, Killed, MortalOs, copy, make

from rolecall_agent import archive, bootstrap
from rolecall_agent.configuration import Configuration
from rolecall_agent.resources import File
from rolecall_agent.systems.recorded import Record

FILES = {"__main__.py": "import one.two\n", "one/__init__.py": "", "one/two.py": "print('ready')\n"}
DIGEST = bootstrap.hashlib.sha256(json.dumps(FILES, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def opened(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def starts(home: Path) -> bool:
    done = subprocess.run([sys.executable, "-I", "-S", home], capture_output=True, text=True, check=False)
    return done.stdout == "ready\n"


def test_an_agent_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, str]] = []
    rename = os.rename

    def renamed(source: str, target: str) -> None:
        events.append(("rename", target))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda fd: events.append(("sync", opened(fd))))
    monkeypatch.setattr(os, "rename", renamed)
    home = tmp_path / "var/lib/rolecall/agent" / DIGEST
    home.parent.mkdir(parents=True)
    bootstrap.unpack(FILES, str(home))
    named = events.index(("rename", str(home)))
    synced = {path.replace(".new", "") for event, path in events[:named] if event == "sync"}
    fresh = f"{home}.{os.getpid()}"
    there = {f"{fresh}/{path.relative_to(home)}" for path in home.rglob("*")}
    assert synced == {fresh, *there}
    assert any(path.endswith(".pyc") for path in there)  # which Python writes without a sync
    folders = [home.parent, *home.parent.parents][:3]
    assert events[named + 1 :] == [("sync", str(folder)) for folder in folders]


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
    assert lives > 5


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
