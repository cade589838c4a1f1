"""Files below a root: what a kill leaves, and what other users of the machine may try."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from itertools import count
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from agent_world import NOTHING, Killed, MortalOs, make, update

from rolecall_agent import tree, walk
from rolecall_agent.configuration import Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.resources import File, obstacles
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users, and mounts")
U2 = 12345  # an unprivileged user


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


def owned(path: Path, uid: int, mode: int) -> None:
    os.lchown(path, uid, uid)
    path.chmod(mode)


@as_root
@pytest.mark.parametrize(
    ("owner", "home_owner", "home_mode", "followed"),
    [
        (0, 0, 0o755, True),
        (U2, 0, 0o755, False),  # a link of the user
        (0, U2, 0o755, False),  # root's link, which the user could have renamed to this name
        (0, 0, 0o775, False),
        (0, 0, 0o1777, False),  # as /tmp, where another user's hard link to root's link may have this name
    ],
)
def test_only_links_that_root_alone_can_change_are_followed(
    root: Path, owner: int, home_owner: int, home_mode: int, *, followed: bool
) -> None:
    home = root / "home/u2"
    (home / ".ssh").symlink_to("/srv/d")
    os.lchown(home / ".ssh", owner, owner)
    (home / "keys").symlink_to("/srv/d/keys")
    os.lchown(home / "keys", owner, owner)
    owned(home, home_owner, home_mode)
    system = RecordedSystem(str(root))
    if followed:
        system.write("/home/u2/.ssh/keys", b"data")
        assert system.resolve("/home/u2/keys") == "/srv/d/keys"
        assert (root / "srv/d/keys").read_bytes() == b"data"
        return
    with pytest.raises(Failure, match=r"/home/u2/\.ssh/keys: the symbolic link '\.ssh' is not followed"):
        system.write("/home/u2/.ssh/keys", b"data")
    with pytest.raises(Failure, match="/home/u2/keys: the symbolic link 'keys' is not followed"):
        system.resolve("/home/u2/keys")
    assert not list((root / "srv/d").iterdir())


@as_root
def test_a_link_below_a_folder_that_a_user_can_rename_is_not_followed(root: Path) -> None:
    (root / "home/u2/moved").mkdir()
    (root / "home/u2/moved/there").symlink_to("/srv/d")
    owned(root / "home/u2", U2, 0o755)
    with pytest.raises(Failure, match="'there' is not followed"):
        RecordedSystem(str(root)).write("/home/u2/moved/there/x", b"")


def test_a_link_that_changes_while_it_is_read_is_not_mixed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status and target belong to the same link, although another one has its name by then."""
    (root / "etc/link").symlink_to("first")
    real = os.fstat

    def swap(fd: int) -> os.stat_result:
        (root / "etc/link").unlink(missing_ok=True)
        (root / "etc/link").symlink_to("second")
        return real(fd)

    monkeypatch.setattr(walk.os, "fstat", swap)
    entry = RecordedSystem(str(root)).stat("/etc/link")
    assert entry
    assert (entry.type, entry.target) == ("symlink", "first")


def test_resolve_follows_links_of_links(root: Path) -> None:
    (root / "etc/one").symlink_to("app/two")
    (root / "etc/app/two").symlink_to("/srv/three")
    (root / "etc/circle").symlink_to("circle")
    system = RecordedSystem(str(root))
    assert system.resolve("/etc/one") == "/srv/three"  # whether or not it exists
    assert system.resolve("/etc/a") == "/etc/a"
    assert system.resolve("/etc/a/b") == "/etc/a/b"
    with pytest.raises(Failure, match="too many symbolic links"):
        system.resolve("/etc/circle")


def test_a_failing_write_changes_nothing(root: Path) -> None:
    system = RecordedSystem(str(root))
    with pytest.raises(Failure, match="user nobody-here does not exist"):
        system.write("/etc/a", b"new", "nobody-here")
    assert (root / "etc/a").read_text() == "ours once\n"
    with pytest.raises(IsADirectoryError):
        system.write("/srv/d", b"new")
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["a", "app", "shared", "systemd"]


def test_a_link_at_the_path_itself_is_replaced(root: Path) -> None:
    system = RecordedSystem(str(root))
    system.write("/etc/app/b", b"new", mode=0o640)
    assert not (root / "etc/app/b").is_symlink()
    assert (root / "etc/app/b").stat().st_mode & 0o777 == 0o640
    assert (root / "etc/a").read_text() == "ours once\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda system: system.write("/etc/a", b"new", mode=0o644, mtime_ns=5),
        lambda system: system.write("/etc/new", b"new", mode=0o644),
        lambda system: system.symlink("/etc/app/b", "elsewhere"),
        lambda system: system.mkdir("/etc/d"),
        lambda system: system.mkdir("/etc/d", mode=0o2770),
    ],
)
def test_a_kill_at_any_call_leaves_the_old_or_the_new(
    change: Callable[[RecordedSystem], None], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state(folder: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for path in sorted((folder / "etc").rglob("*")):
            link = str(path.readlink()) if path.is_symlink() else ""
            data = path.read_bytes() if path.is_file() and not link else b""
            found[path.name] = (stat.filemode(path.lstat().st_mode), link, data)
        return found

    def copy(name: str) -> Path:
        return shutil.copytree(root, tmp_path / name, symlinks=True)

    done = copy("done")
    change(RecordedSystem(str(done)))
    ends = {str(state(root)): "old", str(state(done)): "new"}
    assert len(ends) == 2
    seen = []
    for lives in count():
        killed = copy(str(lives))
        system = RecordedSystem(str(killed))
        with monkeypatch.context() as context:
            context.setattr(tree, "os", MortalOs(lives))
            try:
                change(system)
            except Killed:
                pass
            else:
                break
        left = list(killed.rglob(".rolecall-*"))
        after = RecordedSystem(str(killed))
        after.token = system.token
        for path in ("/etc/a", "/etc/new", "/etc/app/b", "/etc/d"):
            after.remove_temporary(path)
        seen.append((ends[str(state(killed))], bool(left)))
    assert {("old", False), ("old", True), ("new", False)} == set(seen)


def test_a_temporary_name_cannot_be_guessed_and_what_has_it_is_not_touched(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = RecordedSystem(str(root)), RecordedSystem(str(root))
    assert one.token != other.token
    assert len(one.token) == 32
    with monkeypatch.context() as patches:
        rename = Mock(side_effect=os.rename)
        patches.setattr(os, "rename", rename)
        one.write("/etc/a", b"old")
    in_the_way = root / "etc" / rename.call_args[0][0]
    assert in_the_way.name.startswith(".rolecall-")
    (in_the_way / "kept").mkdir(parents=True)
    one.write("/etc/a", b"new")
    one.symlink("/etc/a", "target")
    assert (root / "etc/a").is_symlink()
    one.remove_temporary("/etc/a")  # says nothing, and removes no folder with something in it
    assert (in_the_way / "kept").is_dir()
    assert [path.name for path in (root / "etc").glob(".rolecall-*")] == [in_the_way.name]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, (1 << 20) + 5, 3 << 20])
def test_files_of_any_size_are_read_whole(root: Path, size: int) -> None:
    data = os.urandom(size)
    (root / "etc/big").write_bytes(data)
    system = RecordedSystem(str(root))
    assert system.read("/etc/big") == data
    assert system.read("/etc/big", size) == data
    if size:
        with pytest.raises(Failure, match="/etc/big is too large"):
            system.read("/etc/big", size - 1)


def test_a_file_of_200_gigabytes_is_refused_at_once(root: Path) -> None:
    (root / "etc/big").touch()
    os.truncate(root / "etc/big", 200 << 30)
    with pytest.raises(Failure, match="/etc/big is too large"):
        RecordedSystem(str(root)).read("/etc/big")
    (root / "etc/fifo").touch()
    (root / "etc/fifo").unlink()
    os.mkfifo(root / "etc/fifo")
    with pytest.raises(Failure, match="/etc/fifo is not a regular file"):
        RecordedSystem(str(root)).read("/etc/fifo")


def test_access_of_what_has_another_type_or_name_is_not_changed(root: Path) -> None:
    system = RecordedSystem(str(root))
    (root / "srv/linked").hardlink_to(root / "etc/a")
    with pytest.raises(NotADirectoryError, match="/etc/a"):
        system.set_access("/etc/a", "directory", "root", "root", 0o777)
    for path in ("/srv/linked", "/srv/d"):
        with pytest.raises(Failure, match=f"{path} is not a regular file with a single name"):
            system.set_access(path, "file", "root", "root", 0o777)
    assert stat.S_IMODE((root / "etc/a").stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "srv/d").stat().st_mode) == 0o750
    system.set_access("/srv/d", "directory", "root", "root", 0o700)
    assert stat.S_IMODE((root / "srv/d").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "attempt",
    [
        lambda system: system.read("/etc/app/none"),
        lambda system: system.write("/etc/none/x", b""),
        lambda system: system.write("/srv/d", b""),
        lambda system: system.symlink("/etc/none/x", ""),
        lambda system: system.mkdir("/etc/none/x"),
        lambda system: system.mkdir("/etc/a"),
        lambda system: system.set_access("/etc/none/x", "file", "root", "root", 0o600),
        lambda system: system.remove("/etc"),
        lambda system: system.attributes("/etc/none"),
        lambda system: system.names("/etc/a"),
    ],
)
def test_every_error_names_the_whole_path(root: Path, attempt: Callable[[RecordedSystem], object]) -> None:
    with pytest.raises(OSError, match=r"'/(etc/app/none|etc/none/x|srv/d|etc/a|etc/none|etc)'$"):
        attempt(RecordedSystem(str(root)))


@pytest.fixture
def obstructed(root: Path) -> Iterator[Path]:
    """Things that root cannot replace: mount points, a read-only mount, immutable ones."""
    for name in ("bound", "frozen"):
        (root / "etc" / name).touch()
    for name in ("still/d", "log", "mounted", "read"):
        (root / "srv" / name).mkdir(parents=True)
    for name in ("there", "written"):
        (root / "opt" / name).mkdir(parents=True)
    mounts = (root / "etc/bound", root / "opt", root / "opt/written", root / "srv/mounted", root / "srv/read")
    frozen = {root / "etc/frozen": "i", root / "srv/still": "i", root / "srv/log": "a"}
    try:
        subprocess.run(["mount", "--bind", root / "etc/a", mounts[0]], check=True)
        for path in mounts[1:]:
            subprocess.run(["mount", "--bind", path, path], check=True)
        for path in (root / "opt", root / "srv/read"):
            subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        for path, flag in frozen.items():
            subprocess.run(["chattr", f"+{flag}", path], check=True)
        yield root
    finally:
        for path in frozen:
            subprocess.run(["chattr", "-ia", path], check=True)
        for path in reversed(mounts):
            subprocess.run(["umount", path], check=True)


@as_root
@pytest.mark.parametrize(
    ("path", "type_", "obstacle"),
    [
        ("/etc/bound", "file", "/etc/bound is a mount point, which cannot be replaced; unmount it"),
        ("/opt/new", "file", "/opt/new is on a read-only file system; remount it"),
        ("/opt/new/deep", "directory", "/opt/new is on a read-only file system; remount it"),
        ("/opt/there", "directory", "/opt/there is on a read-only file system; remount it"),
        ("/etc/frozen", "file", "/etc/frozen is immutable; run `chattr -i -a /etc/frozen`"),
        ("/srv/still/new", "file", "/srv/still is immutable; run `chattr -i -a /srv/still`"),
        ("/srv/still", "directory", "/srv/still is immutable; run `chattr -i -a /srv/still`"),
        ("/srv/log/new/deep", "file", "/srv/log is immutable; run `chattr -i -a /srv/log`"),
        ("/srv/still/d", "directory", ""),  # its owner and mode can change
        ("/srv/mounted", "directory", ""),
        ("/srv/read", "directory", "/srv/read is on a read-only file system; remount it"),
        ("/opt/written", "directory", ""),  # only its folder is read-only
        ("/opt/written/new", "file", ""),
        ("/srv/mounted/new", "file", ""),
        ("/etc/a", "file", ""),
        ("/etc/app/b", "file", ""),
        ("/srv/d/new/deep", "directory", ""),
    ],
)
def test_obstacles(obstructed: Path, path: str, type_: str, obstacle: str) -> None:
    found = obstacles.obstacle(RecordedSystem(str(obstructed)), path, type_)
    assert found == (f"{obstacle}, or declare another path" if obstacle else "")


def test_a_link_that_leads_nowhere_is_in_the_way(root: Path) -> None:
    (root / "etc/lost").symlink_to("/nowhere/at/all")
    system = RecordedSystem(str(root))
    assert obstacles.obstacle(system, "/etc/lost/x/y", "file").startswith(
        "/etc/lost is a symbolic link that leads nowhere; "
    )
    assert obstacles.obstacle(system, "/etc/lost", "file") == ""


@as_root
def test_an_empty_folder_of_ours_where_something_is_mounted_is_kept(root: Path) -> None:
    update(root, Configuration.of("m", [File("/opt/x/y", "")]))
    (root / "opt/x/y").unlink()
    subprocess.run(["mount", "-t", "tmpfs", "none", root / "opt/x"], check=True)
    try:
        update(root, NOTHING)
        assert (root / "opt/x").exists()
    finally:
        subprocess.run(["umount", root / "opt/x"], check=True)


@as_root
def test_mount_points(root: Path) -> None:
    """Also of a file of the same file system, whose device number shows nothing."""
    system = RecordedSystem(str(root))
    (root / "etc/bound").touch()
    subprocess.run(["mount", "--bind", root / "etc/a", root / "etc/bound"], check=True)
    try:
        assert system.barriers("/etc/bound").mounted
        assert not system.barriers("/etc/a").mounted
        assert not system.barriers("/etc/app/b").mounted
        with pytest.raises(OSError, match="'/etc/bound'") as caught:
            system.write("/etc/bound", b"")
        assert caught.value.errno == errno.EBUSY
    finally:
        subprocess.run(["umount", root / "etc/bound"], check=True)
