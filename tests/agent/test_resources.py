"""The behaviour of single kinds of resources."""
# ruff: noqa: S604 - a user's shell is none that runs anything

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import META, NOTHING, STATE, Killed, copy, machine, make, service, snapshot, stage, update

from rolecall_agent.comparison import compare
from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Secret
from rolecall_agent.errors import Failure
from rolecall_agent.purge import purge
from rolecall_agent.resources import Action, AuthorizedKey, Block, Directory, File, Group, Package, Symlink, Unit, User
from rolecall_agent.resources.checks import DefinitionError
from rolecall_agent.switch import commit, decide, switch
from rolecall_agent.systems.os_release import read_os_release
from rolecall_agent.systems.recorded import RecordedSystem
from rolecall_agent.undo import recover

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolecall_agent.resources import Resource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


def test_a_key_replaces_its_own_line_and_no_other(root: Path) -> None:
    keys = root / "root/.ssh/authorized_keys"
    before = keys.read_text()
    update(root, Configuration.of("m", [AuthorizedKey("root", "ssh-ed25519 KEY1", ("serve",))]))
    assert keys.read_text().splitlines() == [
        "# by hand",
        "ssh-rsa FOREIGN someone",
        'restrict,command="serve" ssh-ed25519 KEY1',
    ]
    update(root, NOTHING)
    assert keys.read_text() == before


def test_a_line_with_options_and_a_comment() -> None:
    given = "ssh-ed25519  KEY1 someone at home\n"
    assert AuthorizedKey("root", given).line == "ssh-ed25519 KEY1 someone at home"
    assert AuthorizedKey("root", given, comment="").line == "ssh-ed25519 KEY1"
    both = AuthorizedKey("root", given, ("say", 'a\\b "c"'), options=('from="10.*,!10.1.*"', "no-pty"), comment="me")
    # sshd knows one escape: a backslash before a quote. Other backslashes are themselves.
    command = r"""restrict,command="say 'a\b \"c\"'" """.strip()
    assert both.line == f'{command},from="10.*,!10.1.*",no-pty ssh-ed25519 KEY1 me'
    for option in ('from="a', "no pty", 'x="a"b"', "a\nb", 'x="\\"'):
        with pytest.raises(DefinitionError, match="option"):
            AuthorizedKey("root", given, options=(option,))


def test_keys_go_where_sshd_reads_them(root: Path) -> None:
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**recorded(root), "keys_file": "/etc/ssh/ak/%u-%U%%"}))
    (root / "etc/ssh").mkdir()
    before = snapshot(root)
    update(root, Configuration.of("m", [AuthorizedKey("root", "ssh-ed25519 KEY2")]))
    keys = root / "etc/ssh/ak/root-0%"
    assert (keys.read_text(), keys.stat().st_mode & 0o777) == ("ssh-ed25519 KEY2\n", 0o644)
    update(root, NOTHING)
    assert snapshot(root) == before
    update(root, Configuration.of("m", [AuthorizedKey("root", "ssh-ed25519 KEY2")]))
    record.write_text(json.dumps({**recorded(root), "keys_file": "/etc/ssh/%u"}))
    (root / "etc/ssh/root").write_text("by hand\n")
    update(root, Configuration.of("m", [AuthorizedKey("root", "ssh-ed25519 KEY2", comment="x")]))
    update(root, NOTHING)
    assert (root / "etc/ssh/root").read_text() == "by hand\n"
    assert not keys.exists()
    record.write_text(json.dumps({**recorded(root), "keys_file": "none"}))
    with pytest.raises(Failure, match="sshd accepts no keys of user root"):
        planned(root, AuthorizedKey("root", "ssh-ed25519 KEY2"))


def test_undeclaring_brings_back_times(root: Path) -> None:
    keys, link = root / "root/.ssh/authorized_keys", root / "etc/app/b"
    for path in (keys, link):
        os.utime(path, ns=(1, 1_000_000_007), follow_symlinks=False)
    declared = [File("/etc/app/b", "x"), *(AuthorizedKey("root", f"ssh-ed25519 KEY{n}", ("x",)) for n in (1, 2))]
    update(root, Configuration.of("m", declared))
    update(root, Configuration.of("m", [*declared, AuthorizedKey("root", "ssh-ed25519 KEY0")]))
    assert keys.stat().st_mtime_ns > 1_000_000_007
    update(root, NOTHING)
    assert (keys.stat().st_mtime_ns, link.lstat().st_mtime_ns) == (1_000_000_007, 1_000_000_007)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_lines_of_others_keep_every_byte(root: Path, end: bytes) -> None:
    """Only a line feed ends a line for sshd(8): a key behind another separator must not become one that can log in."""
    keys = root / "root/.ssh/authorized_keys"
    others = [
        "ssh-ed25519 OTHER comment\u2028ssh-ed25519 HIDDEN x".encode(),
        b"ssh-rsa WINDOWS pc\r",
        b"ssh-rsa LATIN gr\xf6\xdfe\x85\x0b\x0c\x1c",
        b'command="echo \\" ssh-ed25519 KEY2 \\"" ssh-ed25519 QUOTED',
        b"",
        b"# ssh-ed25519 KEY2 is declared",
    ]
    keys.write_bytes(before := b"\n".join(others) + end)
    update(root, Configuration.of("m", [AuthorizedKey("root", "ssh-ed25519 KEY2")]))
    assert keys.read_bytes().replace(b"ssh-ed25519 KEY2\n", b"", 1) == before
    assert b"\nssh-ed25519 KEY2\n" in keys.read_bytes()
    update(root, NOTHING)
    assert keys.read_bytes() == before


def test_a_key_added_by_hand_meanwhile_is_kept(root: Path) -> None:
    update(root, Configuration.of("m", [User("u1", home="/home/u1"), AuthorizedKey("u1", "ssh-ed25519 KEY2")]))
    keys = root / "home/u1/.ssh/authorized_keys"
    assert (keys.stat().st_mode & 0o777, keys.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    keys.write_text(keys.read_text() + "ssh-rsa MINE\n")
    update(root, NOTHING)
    assert keys.read_text() == "ssh-rsa MINE\n"


def test_a_created_user_is_locked_when_removed_and_unlocked_when_declared_again(root: Path) -> None:
    user = Configuration.of("m", [User("u1", home="/home/u1", shell="/bin/sh")])
    update(root, user)
    (root / "home/u1/data").write_text("precious")
    update(root, NOTHING)
    account = RecordedSystem(str(root)).accounts.user("u1")
    assert account
    assert account.locked
    assert account.shell.endswith("nologin")
    assert (root / "home/u1/data").exists()
    (root / "home/u1/data").unlink()
    update(root, NOTHING)
    assert not (root / "home/u1").exists()
    update(root, user)
    account = RecordedSystem(str(root)).accounts.user("u1")
    assert account
    assert (account.locked, account.shell) == (False, "/bin/sh")


def test_groups_that_a_user_had_are_kept(root: Path) -> None:
    system = RecordedSystem(str(root))
    for name in ("g1", "g3"):
        system.accounts.add_group(name)
    update(root, Configuration.of("m", [User("u2", home="/home/u2", shell="/bin/sh", groups=("g1", "g3"))]))
    update(root, Configuration.of("m", [User("u2", home="/home/u2", shell="/bin/sh", groups=("g1",))]))
    account = RecordedSystem(str(root)).accounts.user("u2")
    assert account
    assert account.groups == {"g1", "g2"}


HASHES = {version: Secret("i.login", "hash", version) for version in ("h1", "h2")}


def recorded(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / STATE / "system.json").read_text())
    return found


def test_fields_of_a_user_that_are_not_declared_are_left_as_they_are(root: Path) -> None:
    before = recorded(root)["users"]["u2"]
    by_hand = {"comment": "By hand", "password": "$y$hand"}
    user = User("u2", home="/home/u2", shell="/bin/sh")
    update(root, Configuration.of("m", [user]))
    accounts = RecordedSystem(str(root)).accounts
    mine = accounts.user("u2")
    assert mine
    accounts.change_user("u2", replace(mine, **by_hand))  # type: ignore[arg-type]
    it = machine(root)
    assert not compare(it.system, it.store, it.configuration(1), it.configuration(1)).changes
    full = replace(user, uid=4000, group="g2", comment="Ours", password=HASHES["h1"])
    update(root, Configuration.of("m", [full]))
    ours = {"uid": 4000, "group": "g2", "comment": "Ours", "password": "$y$one"}
    assert recorded(root)["users"]["u2"] == {**before, **ours}
    update(root, Configuration.of("m", [replace(full, password=HASHES["h2"])]))
    update(root, NOTHING)
    assert recorded(root)["users"]["u2"] == {**before, **by_hand}


def test_a_password_that_is_no_hash_is_refused_before_anything_changes(root: Path) -> None:
    with pytest.raises(DefinitionError, match="password must be a secret"):
        User("u1", password="$y$one")  # type: ignore[arg-type]  # noqa: S106
    target = Configuration.of("m", [User("u1", password=Secret("i.pass", "value", "v1"))])
    it = machine(root)
    it.store.prepare()
    stage(it, target)
    with pytest.raises(Failure, match=r"the secret i\.pass/value is not the hash of a password") as caught:
        User.verify(target.resources, {"user:u1"}, it.system, it.store)
    assert "first value" not in caught.value.message + caught.value.detail


def test_users_in_the_groups_of_each_other(root: Path) -> None:
    users = [
        User("ua", groups=("ub", "uc")),
        User("ub", groups=("ua",)),
        User("uc", group="ud"),
        User("ud"),
        Group("uc"),
    ]
    update(root, Configuration.of("m", users))
    accounts = RecordedSystem(str(root)).accounts
    found = {name: accounts.user(name) for name in ("ua", "ub", "uc")}
    assert {name: user and sorted(user.groups) for name, user in found.items()} == {
        "ua": ["ub", "uc"],
        "ub": ["ua"],
        "uc": [],
    }
    assert found["uc"]
    assert found["uc"].group == "ud"


def test_units_that_run_as_a_user_stop_before_it_moves(root: Path) -> None:
    """As usermod(8) demands. What runs as u2 is own.service, which nobody declares."""
    before = snapshot(root)
    moved = User("u2", home="/srv/u2", shell="/bin/sh")
    it = machine(root)
    it.store.prepare()
    work = compare(it.system, it.store, NOTHING, Configuration.of("m", [moved]))
    assert work.restarts == [{"name": "own.service", "verb": "restart", "also": []}]
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**recorded(root), "fail": {"units": ["z.service"]}}))
    with pytest.raises(Failure, match=r"z\.service failed"):  # when the undo has to stop own.service again
        update(root, Configuration.of("m", [moved, service("z.service", "/bin/z", started=True)]))
    assert snapshot(root) == before
    update(root, Configuration.of("m", [moved]))
    assert recorded(root)["units"]["own.service"]["active"]
    commands = [command for command in recorded(root)["commands"] if "own.service" in command]
    assert [command[1] for command in commands][-3:] == ["stop", "reset-failed", "restart"]
    update(root, NOTHING)
    assert snapshot(root) == before


def test_a_plan_refuses_to_move_a_user_who_is_logged_in_and_ids_of_others(root: Path) -> None:
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**recorded(root), "processes": {"u2": ["", "own.service"]}}))
    gid = RecordedSystem(str(root)).accounts.gid("g2")
    with pytest.raises(Failure) as caught:
        planned(root, User("u2", home="/srv/u2"), User("u9", uid=0), Group("g9", gid))
    assert [caught.value.message, *caught.value.detail.splitlines()] == [
        f"group:g9: the id {gid} belongs to group g2; declare another one",
        "user:u2: process 1 runs as u2; end its sessions with `pkill -u u2`",
        "user:u9: the id 0 belongs to user root; declare another one",
    ]


def test_owners_by_id(root: Path) -> None:
    uid, gid = os.getuid(), os.getgid()
    (root / "srv/x").write_text("x")
    file = File("/srv/x", "x", uid, str(gid))  # type: ignore[arg-type]  # as an author may write it
    assert (file.owner, file.group) == (str(uid), str(gid))
    planned(root, file)
    update(root, Configuration.of("m", [file, Directory("/srv/y", "12345", "54321")]))
    assert recorded(root)["owners"]["/srv/y"] == ["12345", "54321"]


def test_a_directory_that_is_not_empty_is_kept(root: Path) -> None:
    update(root, Configuration.of("m", [Directory("/srv/new")]))
    (root / "srv/new/data").write_text("precious")
    update(root, NOTHING)
    assert (root / "srv/new/data").exists()
    (root / "srv/new/data").unlink()
    update(root, NOTHING)
    assert not (root / "srv/new").exists()


def test_an_original_whose_owner_was_deleted_keeps_its_ids(root: Path) -> None:
    declared = [File("/etc/a", "new"), Directory("/home/u2"), service("own.service", "/bin/new")]
    update(root, Configuration.of("m", declared))
    owners = delete_u2(root)
    uid, gid = os.getuid(), os.getgid()  # all files of a recorded system have these

    it = machine(root)
    changes = compare(it.system, it.store, it.configuration(1), NOTHING).changes
    assert {change["key"]: change["detail"] for change in changes} == {
        "file:/etc/a": f"the original is restored; its owner will be {uid}:g2, since u2:g2 no longer exists",
        "directory:/home/u2": "it stays, with the owner and mode that it had; "
        f"its owner will be {uid}:{gid}, since u2:u2 no longer exists",
        "unit:own.service": "",
    }
    update(root, NOTHING)
    assert (root / "etc/a").read_text() == "ours once\n"
    assert owners() == {"/etc/a": [str(uid), "g2"], "/home/u2": [str(uid), str(gid)]}


def test_an_undo_gives_an_original_whose_owner_was_deleted_its_ids(root: Path) -> None:
    it = machine(root)
    it.store.prepare()
    stage(it, target := Configuration.of("m", [File("/etc/a", "new"), Directory("/home/u2")]))
    switch(it, target, META, nonce="n", confirm=False)
    owners = delete_u2(root)
    assert recover(machine(root)) == "undone"
    uid, gid = str(os.getuid()), str(os.getgid())
    assert owners() == {"/etc/a": [uid, "g2"], "/home/u2": [uid, gid]}


def delete_u2(root: Path) -> Callable[[], object]:
    """Delete a user and the group of this name; return a function that returns the recorded owners."""
    record = root / STATE / "system.json"
    data = json.loads(record.read_text())
    data["users"], data["groups"] = {}, ["g2"]
    record.write_text(json.dumps(data))
    return lambda: json.loads(record.read_text())["owners"]


def test_errors_name_the_obstacle(root: Path) -> None:
    before = snapshot(root)
    for resource, message in (
        (File("/srv/d", ""), "/srv/d is a directory, not a file"),
        (Directory("/etc/a"), "/etc/a is a file, not a directory"),
        (AuthorizedKey("nobody-here", "ssh-ed25519 KEY1"), "user nobody-here does not exist"),
        (File("/etc/z", "", "nobody-here"), "user nobody-here does not exist"),
        (File("/etc/a/b", ""), "/etc/a/b: a is not a directory"),
    ):
        with pytest.raises(Failure, match=message):
            update(root, Configuration.of("m", [File("/etc/first", "1"), resource]))
        assert snapshot(root) == before


def planned(root: Path, *resources: Resource) -> None:
    """Compare as for a plan; raises Failure when something is in the way of a change."""
    it = machine(root)
    it.store.prepare()
    compare(it.system, it.store, it.store.configuration(it.store.current), Configuration.of("m", resources))


def test_a_plan_names_everything_that_is_in_the_way(root: Path) -> None:
    (root / "srv/linked").hardlink_to(root / "etc/a")  # as a user may link a file of root to a folder of their own
    (root / "home/u2/.ssh/authorized_keys").mkdir(parents=True)
    resources = [
        File("/srv/d", ""),
        File("/etc/new", ""),
        File("/etc/a/b/c", ""),
        Directory("/etc/app/b"),
        Directory("/srv/linked", "u2", mode=0o700),
        service("own.service", "/bin/new"),
        AuthorizedKey("u2", "ssh-ed25519 KEY1"),
        User("u3", home="/etc/a/home"),
    ]
    (root / "etc/systemd/system/own.service").unlink()
    (root / "etc/systemd/system/own.service").mkdir()
    with pytest.raises(Failure) as caught:
        planned(root, *resources)
    obstacles = [caught.value.message, *caught.value.detail.splitlines()]
    move = "move it away, or declare another path"
    assert obstacles == [
        f"user:u3: /etc/a/home: a is not a directory; {move}",
        f"directory:/etc/app/b: /etc/app/b is a symbolic link, not a directory; {move}",
        f"directory:/srv/linked: /srv/linked is a file, not a directory; {move}",
        f"file:/etc/a/b/c: /etc/a/b/c: a is not a directory; {move}",
        f"file:/srv/d: /srv/d is a directory, not a file; {move}",
        "authorized-key:u2:KEY1: /home/u2/.ssh/authorized_keys is not a regular file",
        f"unit:own.service: /etc/systemd/system/own.service is a directory, not a file; {move}",
    ]


def test_a_plan_names_what_is_in_the_way_of_a_removal(root: Path) -> None:
    update(root, Configuration.of("m", [File("/etc/one", "1"), File("/etc/two", "2"), Directory("/opt/x/y")]))
    (root / "etc/one").unlink()
    (root / "etc/one").mkdir()
    (root / "etc/two").unlink()
    (root / "opt/x/y").rmdir()
    (root / "opt/x/y").touch()
    with pytest.raises(Failure, match="directory:/opt/x/y: /opt/x/y is a file, not a directory") as caught:
        planned(root)
    assert caught.value.detail.startswith("file:/etc/one: /etc/one is a directory, not a file")
    (root / "etc/one").rmdir()
    (root / "opt/x/y").unlink()
    update(root, NOTHING)
    assert not (root / "opt").exists()


def test_what_needs_no_change_is_not_in_the_way(root: Path) -> None:
    (root / "etc/two").hardlink_to(root / "etc/a")
    update(root, Configuration.of("m", [Directory("/srv/d", mode=0o750)]))
    planned(root, Directory("/srv/d", mode=0o750), File("/etc/app/b", ""))


def test_a_plan_says_who_can_replace_a_file_of_root(root: Path) -> None:
    def details(*resources: Resource) -> list[str]:
        it = machine(root)
        it.store.prepare()
        work = compare(it.system, it.store, NOTHING, Configuration.of("m", resources))
        return [change["detail"] for change in work.changes]

    by_owner = "it can be replaced by u2, who owns /home/u2"
    assert details(File("/home/u2/new/x", "")) == [by_owner]
    assert details(File("/home/u2/note", "other", mode=0o644)) == [f"content; {by_owner}"]
    assert details(File("/home/u2/new/x", "", owner="u2")) == [""]
    assert details(File("/etc/x", "")) == [""]
    (root / "srv/d").chmod(0o777)
    assert details(File("/srv/d/x", "")) == ["it can be replaced by every user, since /srv/d has mode 0777"]
    (root / "srv/d").chmod(0o1777)
    assert details(File("/srv/d/x", "")) == [""]  # sticky, as /tmp
    RecordedSystem(str(root)).set_access("/srv/d", "directory", "root", "g2", 0o775)
    assert details(File("/srv/d/x", "")) == ["it can be replaced by the group g2, since /srv/d has mode 0775"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_plan_says_which_bits_have_no_effect(root: Path) -> None:
    def notes(options: str) -> list[str]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", root / "srv/d"], check=True)
        try:
            found = RecordedSystem(str(root))
            return [File("/srv/d/new/x", "", mode=mode).note(found) for mode in (0o4755, 0o755, 0o644)]
        finally:
            subprocess.run(["umount", root / "srv/d"], check=True)

    setuid = "mode 4755 has the effect of 0755, since its file system is mounted nosuid"
    assert notes("exec,suid") == ["", "", ""]
    assert notes("exec,nosuid") == [setuid, "", ""]
    assert notes("noexec,nosuid") == ["it cannot be executed, since its file system is mounted noexec"] * 2 + [""]


def test_processes_of_a_user_that_is_locked_are_named(root: Path) -> None:
    update(root, Configuration.of("m", [User("u1", home="/home/u1"), User("u3")]))
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "processes": {"u1": [""], "u2": [""]}}))
    it = machine(root)
    stage(it, NOTHING)
    switch(it, NOTHING, META, nonce="n", confirm=False)
    decide(it)
    assert commit(it)[1] == ["user u1 is locked, but its processes run on; `pkill -u u1` ends them"]


def test_a_file_with_another_name_is_replaced(root: Path) -> None:
    (root / "srv/backup").hardlink_to(root / "etc/a")
    update(root, Configuration.of("m", [File("/etc/a", "ours once\n", mode=0o644)]))
    assert (root / "etc/a").stat().st_mode & 0o777 == 0o644
    assert (root / "srv/backup").stat().st_mode & 0o777 == 0o640


def test_a_package_by_the_name_of_the_distribution(root: Path) -> None:
    (root / "etc/os-release").write_text("NAME=\"X Y\"\nID=manjaro\nID_LIKE='arch other'\n")
    update(root, Configuration.of("m", [Package("borgbackup", {"arch": "borg"}), Package("p1")]))
    assert RecordedSystem(str(root)).packages.state("borg").present
    update(root, NOTHING)
    system = RecordedSystem(str(root))
    assert not system.packages.state("borg").present
    assert system.packages.state("p1").present


def test_os_release() -> None:
    assert read_os_release("A=1\nB=\"two words\"\nC='x'\n# no\n") == {"A": "1", "B": "two words", "C": "x"}


def test_a_unit_of_the_distribution_is_restored(root: Path) -> None:
    before = snapshot(root)
    unit = service("dist.service", "/bin/ours", started=True)
    update(root, Configuration.of("m", [unit]))
    state = RecordedSystem(str(root)).units.state("dist.service")
    assert (state.enabled, state.active) == (False, True)
    update(root, NOTHING)
    assert snapshot(root) == before


def test_removing_a_resource_restarts_its_followers(root: Path) -> None:
    followed = [File("/etc/one", "1"), File("/etc/two", "2")]
    keys = tuple(file.key for file in followed)
    unit = service("a.service", "/bin/a", started=True, restart_on=keys)
    action = Action("refresh", ("refresh",), keys)
    update(root, Configuration.of("m", [*followed, unit, action]))
    it = machine(root)
    old = it.store.configuration(1)
    for kept in (keys, keys[1:]):  # whether or not the new one still names it
        left = [followed[1], replace(unit, restart_on=kept), replace(action, when_changed=kept)]
        work = compare(it.system, it.store, old, Configuration.of("m", left))
        assert (work.restart, [each.key for each in work.run]) == (["a.service"], ["action:refresh"])


def test_a_file_restarts_undeclared_units_that_are_running(root: Path) -> None:
    names = ("own.service", "stopped.service", "none.service")
    (root / "etc/systemd/system/stopped.service").write_text("[Service]\nExecStart=/bin/x\n")
    target = Configuration.of("m", [File("/etc/new", "1\n", restarts=names)])
    it = machine(root)
    work = compare(it.system, it.store, NOTHING, target)
    # What is not known yet may come with a package; what is known not to run is left alone.
    assert [each["name"] for each in work.restarts] == ["none.service", "own.service"]
    update(root, target)
    assert _commands(root) == [["systemctl", "restart", "own.service"]]
    update(root, target)
    assert len(_commands(root)) == 1
    update(root, Configuration.of("m", [File("/etc/new", "2\n", restarts=names)]))
    update(root, NOTHING)
    assert _commands(root) == 3 * [["systemctl", "restart", "own.service"]]


def test_a_declared_unit_is_restarted_once(root: Path) -> None:
    unit = service("a.service", "/bin/a", started=True, restart_on=("file:/etc/new",))
    for text in ("1\n", "2\n"):
        update(root, Configuration.of("m", [unit, File("/etc/new", text, restarts=("a.service",))]))
    assert [command[1:] for command in _commands(root)][-1:] == [["restart", "a.service"]]
    assert [command[1] for command in _commands(root)].count("restart") == 1


def test_files_needed_for_packages_are_written_first(root: Path) -> None:
    early = File("/etc/apt/auth.conf.d/x.conf", "machine x\n", needed_for="packages")
    record = json.loads((root / STATE / "system.json").read_text())
    (root / STATE / "system.json").write_text(json.dumps({**record, "fail": {"packages": ["p9"]}}))
    target = Configuration.of("m", [Group("g"), Package("p9"), early])
    assert target.resources[0] == early
    it = machine(root)
    it.store.prepare()
    told = []
    it = replace(it, report=lambda step, detail: told.append((step, detail)))
    stage(it, target)
    with pytest.raises(Failure, match="cannot install packages"):
        switch(it, target, META, nonce="n", confirm=False)
    assert told[:2] == [("file", early.path), ("install", "p9")]
    assert not (root / "etc/apt").exists()  # and it went back


def _commands(root: Path) -> list[list[str]]:
    commands: list[list[str]] = json.loads((root / STATE / "system.json").read_text())["commands"]
    return [command for command in commands if command[0] == "systemctl" and command[1] in {"restart", "start"}]


@pytest.mark.parametrize("others", ["", "one\n", "one\ntwo", "# BEGIN Rolecall b\nx\n# END Rolecall b\ntail", "\n\n"])
def test_a_block_in_a_file_of_somebody_else(root: Path, others: str) -> None:
    path = root / "etc/theirs"
    path.write_bytes(others.encode())
    os.utime(path, ns=(1, 1_000_000_007))
    ended = others if others.endswith("\n") or not others else f"{others}\n"
    for text in ("mine", "mine\nagain\n"):
        update(root, Configuration.of("m", [Block("/etc/theirs", "a", text)]))
        assert path.read_text() == f"{ended}# BEGIN Rolecall a\n{text.strip()}\n# END Rolecall a\n"
    update(root, NOTHING)
    assert (path.read_text(), path.stat().st_mtime_ns) == (others, 1_000_000_007)


def test_a_block_stays_where_a_person_moves_it(root: Path) -> None:
    path = root / "etc/theirs"
    update(root, Configuration.of("m", [Block("/etc/theirs", "a", "x", comment="//")]))
    lines = path.read_text()
    path.write_text(f"before\n{lines}after\n")
    update(root, Configuration.of("m", [Block("/etc/theirs", "a", "y", comment="//")]))
    assert path.read_text() == f"before\n{lines.replace('x', 'y')}after\n"
    update(root, NOTHING)
    assert path.read_text() == "before\nafter\n"
    path.write_text("// BEGIN Rolecall a\nx\n")
    with pytest.raises(Failure, match="has a line '// BEGIN Rolecall a', but not '// END Rolecall a'"):
        planned(root, Block("/etc/theirs", "a", "y", comment="//"))


def retargeted(root: Path, to: str) -> Path:
    """Let a link lead to a file, as a person may; return the file."""
    (root / "etc/link").unlink(missing_ok=True)
    (root / "etc/link").symlink_to(f"/etc/{to}")
    return root / "etc" / to


def test_a_block_moves_to_where_a_person_lets_the_link_lead(root: Path) -> None:
    declared = Configuration.of("m", [Block("/etc/link", "a", "x")])
    texts = {"one": "one\n", "two": "two without an end", "three": ""}
    for name, text in texts.items():
        (root / "etc" / name).write_text(text)
        os.utime(root / "etc" / name, ns=(1, 1_000_000_007))
    for name in (*texts, "one"):
        path = retargeted(root, name)
        update(root, declared)
        assert "# BEGIN Rolecall a\nx\n# END Rolecall a\n" in path.read_text()
        others = {other: (root / "etc" / other).read_text() for other in texts if other != name}
        assert others == {other: texts[other] for other in others}
    retargeted(root, "two")
    update(root, NOTHING)
    for name, text in texts.items():
        path = root / "etc" / name
        assert (path.read_text(), path.stat().st_mtime_ns) == (text, 1_000_000_007)


def test_a_killed_move_of_a_block_is_undone(root: Path, tmp_path: Path) -> None:
    declared = Configuration.of("m", [Block("/etc/link", "a", "x")])
    for name in ("one", "two"):
        retargeted(root, name).write_text("theirs")
    update(root, declared)
    path = retargeted(root, "one")
    before = snapshot(root)
    for target in (declared, NOTHING):
        ends = []
        for lives in count():
            it = copy(root, tmp_path / "killed")
            try:
                update(it, target, lives)
                break
            except Killed:
                recover(machine(it))
                ends.append(snapshot(it) == before)
        assert set(ends) == {True, False}  # false once it was decided
        assert path.read_text() == "theirs"


def test_a_link_replaces_a_file_which_comes_back(root: Path) -> None:
    before = snapshot(root)
    update(root, Configuration.of("m", [Symlink("/etc/a", "app/b"), Symlink("/srv/new/link", "/nowhere", "u2")]))
    assert (root / "etc/a").readlink().as_posix() == "app/b"
    assert recorded(root)["owners"]["/srv/new/link"] == ["u2", "root"]
    update(root, NOTHING)
    assert snapshot(root) == before
    with pytest.raises(Failure, match="/srv/d is a directory, not a symbolic link"):
        planned(root, Symlink("/srv/d", "x"))


def test_the_state_of_a_unit_that_a_package_owns(root: Path) -> None:
    """What is not declared of it stays as it is; what is comes back."""
    before = snapshot(root)
    units = lambda: RecordedSystem(str(root)).units  # noqa: E731 - as a name for each look
    update(root, Configuration.of("m", [Unit("theirs.service", started=True), Unit("also.service", enabled=False)]))
    assert (units().state("theirs.service").enabled, units().state("theirs.service").active) == (False, True)
    assert (units().state("also.service").enabled, units().state("also.service").active) == (False, True)
    units().run("stop", ["theirs.service"])
    it = machine(root)
    [change] = compare(it.system, it.store, it.configuration(1), it.configuration(1)).changes
    assert (change["action"], change["detail"]) == ("repair", "not running")
    update(root, Configuration.of("m", [Unit("theirs.service", enabled=True), Unit("also.service", masked=True)]))
    assert (root / "etc/systemd/system/also.service").readlink().as_posix() == "/dev/null"
    assert not units().state("also.service").active
    update(root, Configuration.of("m", [Unit("also.service", masked=False, started=True)]))
    assert not (root / "etc/systemd/system/also.service").is_symlink()
    update(root, NOTHING)
    assert snapshot(root) == before


def test_a_folder_takes_a_unit_that_a_package_brings(root: Path) -> None:
    before = snapshot(root)
    brought = Unit("brought.service", enabled=True, started=True)
    update(root, Configuration.of("m", [Package("bringer"), brought]))
    assert recorded(root)["units"]["brought.service"] == {"active": True, "enabled": True}
    it = machine(root)
    assert compare(it.system, it.store, it.configuration(1), it.configuration(1)).changes == []
    update(root, NOTHING)
    assert snapshot(root) == before


@pytest.mark.parametrize(("settings", "problem"), [
    ({"masked": True, "started": True}, "a masked unit cannot start"),
    ({"masked": True, "text": "[Service]"}, "only a unit without a text can be masked"),
])  # fmt: skip
def test_units_that_contradict_themselves(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem):
        Unit("a.service", **settings)


def test_the_order_of_blocks_has_no_history(root: Path) -> None:
    declared = [Block("/etc/x", name, name) for name in "abc"]
    for first in (declared[1:2], declared[2:], declared[:1]):
        update(root, Configuration.of("m", first))
        update(root, Configuration.of("m", declared))
        marks = [line for line in (root / "etc/x").read_text().splitlines() if "BEGIN" in line]
        assert [mark[-1] for mark in marks] == ["a", "b", "c"]
        update(root, NOTHING)
        assert not (root / "etc/x").exists()


def test_a_purge_removes_accounts_that_were_created(root: Path) -> None:
    before = recorded(root)
    users = [User("u1", home="/home/u1", group="g9"), User("u2", home="/home/u2"), User("u3", home="/srv/d")]
    update(root, Configuration.of("m", [*users, Group("g9", 7777), Group("g2")]))
    (root / "home/u1/data").write_text("x")
    with pytest.raises(Failure, match="still has managed resources"):
        purge(machine(root), homes=True)
    update(root, NOTHING)
    assert recorded(root)["users"]["u1"]["locked"]
    kept = copy(root, root.parent / "kept")
    notes = purge(machine(kept), homes=False)
    assert notes[0] == "user u1 is kept, locked, since it owns /home/u1; `--homes` removes homes"
    assert (kept / "home/u1/data").exists()
    assert purge(machine(root), homes=True) == []
    assert not (root / "home/u1").exists()
    assert (root / "srv/d").is_dir()
    now = recorded(root)
    assert (now["users"], now["groups"], now["gids"]) == (before["users"], before["groups"], {})
    assert recorded(kept)["users"].keys() == {*before["users"], "u1"}
    for tried in (root, kept):
        assert [path.name for path in (tried / STATE).iterdir()] == ["system.json"]


def test_a_purge_keeps_homes_and_groups_that_it_did_not_make(root: Path) -> None:
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**recorded(root), "groups": ["g2", "media", "u2"], "gids": {"media": 2000}}))
    update(root, Configuration.of("m", [User("media", home="/srv/media"), User("app", home="/srv/app")]))
    (root / "srv/app/data").write_text("x")
    update(root, NOTHING)  # the home of media is empty, so it goes
    (root / "srv/media").mkdir()  # another one, of root
    (root / "srv/media/film").write_text("x")
    record.write_text(json.dumps({**recorded(root), "owners": {**recorded(root)["owners"], "/srv/app": ["u2", "u2"]}}))
    assert purge(machine(root), homes=True) == []
    assert (root / "srv/media/film").exists()
    assert (root / "srv/app/data").exists()
    assert recorded(root)["gids"] == {"media": 2000}
    assert not {"media", "app"} & recorded(root)["users"].keys()


@pytest.mark.parametrize("after", [Symlink("/etc/x", "a"), Block("/etc/x", "b", "x")])
def test_a_path_does_not_change_its_kind_in_one_update(root: Path, after: Resource) -> None:
    """What was in the place of the first one would be put back over the second one."""
    update(root, Configuration.of("m", [File("/etc/x", "1")]))
    with pytest.raises(Failure, match="was file:/etc/x so far; undeclare that in an update of its own"):
        update(root, Configuration.of("m", [after]))
    update(root, NOTHING)
    update(root, Configuration.of("m", [after]))


def test_a_purge_keeps_what_somebody_uses(root: Path) -> None:
    update(root, Configuration.of("m", [User("u1"), User("u3"), User("u4")]))
    update(root, NOTHING)
    accounts = RecordedSystem(str(root)).accounts
    for name, fields in {"u1": {"locked": False}, "u3": {"uid": 4321}}.items():
        account = accounts.user(name)
        assert account
        accounts.change_user(name, replace(account, **fields))
    record = root / STATE / "system.json"
    record.write_text(json.dumps({**recorded(root), "processes": {"u4": [""]}}))
    with pytest.raises(Failure, match="user u4 cannot be removed: its processes run; `pkill -u u4` ends them"):
        purge(machine(root), homes=False)
    record.write_text(json.dumps({**recorded(root), "processes": {}}))
    notes = purge(machine(root), homes=False)
    assert notes == [f"user {name} is kept: somebody else uses it now" for name in ("u1", "u3")]
    assert "u4" not in recorded(root)["users"]


@pytest.mark.parametrize(
    "names", [("b", "a"), ("a", "b"), ("b", "ab", "a"), ("a", "ab", "b"), ("ab", "b"), ("ab", "a")]
)
def test_blocks_that_follow_each_other_keep_a_last_line_without_an_end(root: Path, names: tuple[str, ...]) -> None:
    path = root / "etc/theirs"
    path.write_text("last")
    for each in names:
        update(root, Configuration.of("m", [Block("/etc/theirs", name, "x") for name in each]))
        assert path.read_text().endswith("\n")
    update(root, NOTHING)
    assert path.read_text() == "last"
