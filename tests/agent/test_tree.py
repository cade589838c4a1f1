"""Files below a root, and symbolic links of unprivileged users."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from agent_world import make

from rolecall_agent.errors import Failure
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


def test_links_stay_below_the_root(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "up").symlink_to("../../outside")
    (root / "away").symlink_to(outside)
    (root / "home/there").symlink_to("/etc")
    system = RecordedSystem(str(root))
    for way in ("/up/x", "/away/x"):
        with pytest.raises(OSError, match="No such file"):
            system.write(way, b"data")
    system.write("/home/there/x", b"data")
    assert (root / "etc/x").read_bytes() == b"data"
    assert not list(outside.iterdir())


def test_links_in_a_circle(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(Failure, match="too many symbolic links"):
        RecordedSystem(str(root)).stat("/a/x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_link_of_an_unprivileged_user_is_not_followed(root: Path) -> None:
    (root / "home/u2/.ssh").symlink_to("/etc")
    os.lchown(root / "home/u2/.ssh", 12345, 12345)
    with pytest.raises(Failure, match="of an unprivileged user"):
        RecordedSystem(str(root)).write("/home/u2/.ssh/authorized_keys", b"")


def test_a_failing_write_changes_nothing(root: Path) -> None:
    system = RecordedSystem(str(root))
    with pytest.raises(Failure, match="user nobody-here does not exist"):
        system.write("/etc/a", b"new", "nobody-here")
    assert (root / "etc/a").read_text() == "ours once\n"
    with pytest.raises(IsADirectoryError):
        system.write("/srv/d", b"new")
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["a", "app", "systemd"]


def test_a_link_at_the_path_itself_is_replaced(root: Path) -> None:
    system = RecordedSystem(str(root))
    system.write("/etc/app/b", b"new", mode=0o640)
    assert not (root / "etc/app/b").is_symlink()
    assert (root / "etc/app/b").stat().st_mode & 0o777 == 0o640
    assert (root / "etc/a").read_text() == "ours once\n"
