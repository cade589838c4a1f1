"""A small recorded machine with files and users of its own, configurations for it, and ways to kill its agent."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Secret, parts
from rolecall_agent.machine import Machine
from rolecall_agent.resources import (
    Action,
    AuthorizedKey,
    Block,
    Directory,
    File,
    Group,
    Hostname,
    KernelModule,
    NftablesTable,
    Package,
    Reboot,
    Resource,
    Symlink,
    Sysctl,
    Unit,
    User,
)
from rolecall_agent.resources.unit import unit_text
from rolecall_agent.store import Store
from rolecall_agent.switch import commit, decide, switch
from rolecall_agent.systems.recorded import RecordedSystem
from rolecall_agent.undo import recover

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

META: Any = {"run": "r", "user": "u", "commit": "", "at": "2026-01-01T00:00:00Z", "back": None}
SECRETS = {"v1": b"first value", "v2": b"second value", "h1": b"$y$one", "h2": b"$y$two"}
STATE = "var/lib/rolecall"


def make(root: Path) -> Path:
    """Create a machine with files, users and units that are not managed."""
    texts = {
        "etc/a": "ours once\n",
        "root/.ssh/authorized_keys": '# by hand\nssh-rsa FOREIGN someone\nfrom="10.0.0.1" ssh-ed25519 KEY1 old\n',
        "lib/systemd/system/dist.service": "[Service]\nExecStart=/bin/dist\n",
        "lib/systemd/system/theirs.service": "[Service]\nExecStart=/bin/theirs\n",
        "lib/systemd/system/also.service": "[Service]\nExecStart=/bin/also\n",
        "etc/systemd/system/own.service": "[Service]\nExecStart=/bin/own\n[Install]\nWantedBy=x.target\n",
        "home/u2/note": "mine\n",
        "etc/shared": "one\n# BEGIN Rolecall old\nx\n# END Rolecall old\nlast line without an end",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "etc/a").chmod(0o640)
    (root / "etc/app").mkdir()
    (root / "etc/app/b").symlink_to("../a")
    (root / "srv/d").mkdir(parents=True)
    (root / "srv/d").chmod(0o750)
    (root / STATE).mkdir(parents=True)
    user = {"home": "/home/u2", "shell": "/bin/sh", "groups": ["g2"], "locked": False}
    record = {
        "users": {"u2": user},
        "groups": ["g2", "u2"],
        "packages": ["p1"],
        "repository": {"p2": {"version": "2", "needs": ["p3"]}},
        "units": {f"{name}.service": {"active": True, "enabled": True} for name in ("dist", "own", "also")},
        "owners": {"/etc/a": ["u2", "g2"], "/home/u2": ["u2", "u2"]},
        "kernel": {
            "sysctl:vm.one": "1",
            "sysctl:vm.two": "0",
            "nftables-table:inet t": "theirs",
            "hostname:/etc/hostname": "was",
        },
        "processes": {"u2": ["own.service"]},
        "commands": [],
        "fail": {},
    }
    (root / STATE / "system.json").write_text(json.dumps(record))
    return root


def snapshot(root: Path) -> dict[str, Any]:
    """Return all that an undo must restore: no locked users, and no groups."""
    record = json.loads((root / STATE / "system.json").read_text())
    state: dict[str, Any] = {
        "users": {name: user for name, user in record["users"].items() if not user["locked"]},
        "units": record["units"],
        "packages": record["packages"],
        "kernel": record.get("kernel", {}),
        "broken": record.get("broken", {}),
        "gids": {name: gid for name, gid in record.get("gids", {}).items() if name in {"g2", "u2"}},
    }
    for path in sorted(root.rglob("*")):
        name = "/" + str(path.relative_to(root))
        if name.startswith(("/" + STATE, "/var")):
            continue
        info = path.lstat()
        kind = stat.S_IFMT(info.st_mode)
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        if path.name == "authorized_keys":
            content = str(sorted(path.read_text().splitlines()))  # their order means nothing to sshd
        state[name] = (kind, stat.S_IMODE(info.st_mode), content, record["owners"].get(name))
    return state


class Killed(BaseException):
    """Stands for SIGKILL: no code of the agent handles it."""


CHANGING = ("write", "symlink", "mkdir", "set_access", "remove", "add_group", "add_user", "change_user", "change_group",
            "change", "install", "put_back", "purge", "run")  # fmt: skip


class Limited(RecordedSystem):
    """A system that ends with an exception before its n-th change, and before every change after that."""

    def __init__(self, root: str, changes: int, end: BaseException) -> None:
        super().__init__(root)
        self._left = changes
        self._end = end
        for part in ("accounts", "packages", "units", "kernel"):
            setattr(self, part, Counted(getattr(self, part), self._count))

    def _count(self, name: str) -> None:
        if name in CHANGING:
            self._left -= 1
            if self._left < 0:
                raise self._end

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - as object's
        if name in CHANGING:
            self._count(name)
        return super().__getattribute__(name)


class Counted:
    """Part of a `Limited` system."""

    def __init__(self, part: object, count: Callable[[str], None]) -> None:
        self._part = part
        self._count = count

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as object's
        self._count(name)
        return getattr(self._part, name)


def mortal(root: Path, lives: int) -> RecordedSystem:
    """A system whose agent is killed before its n-th change."""
    return Limited(str(root), lives, Killed())


def broken(root: Path, good: int) -> RecordedSystem:
    """A system on which every change fails from the n-th on, as on a full or failing disk."""
    return Limited(str(root), good, OSError(errno.EIO, "Input/output error"))


SYSTEM_CALLS = ("fchmod", "fsync", "mkdir", "rename", "rmdir", "setxattr", "removexattr", "symlink", "unlink", "utime")


class MortalOs:
    """The module `os` for an agent that is killed before its n-th changing call."""

    def __init__(self, lives: int) -> None:
        self._left = lives

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any function of os
        real = getattr(os, name)
        if name not in SYSTEM_CALLS and name != "open":
            return real

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
            if name in SYSTEM_CALLS or args[1] & os.O_CREAT:
                self._left -= 1
                if self._left < 0:
                    raise Killed
            return real(*args, **kwargs)

        return call


def machine(root: Path, lives: int | None = None) -> Machine:
    system = RecordedSystem(str(root)) if lives is None else mortal(root, lives)
    return Machine(system, Store(system), lambda _step, _detail: None)


def update(root: Path, target: Configuration, lives: int | None = None) -> str | None:
    """Run a whole update as a conversation does; return how an interrupted switch was settled."""
    it = machine(root, lives)
    it.store.prepare()
    recovered = recover(it)
    stage(it, target)
    switch(it, target, META, nonce="n", confirm=False, reboot="never")
    decide(it)
    commit(it)
    return recovered


def stage(it: Machine, target: Configuration) -> None:
    blobs, secrets = it.store.missing(target)
    data = {blob.sha256: blob.data for blob in target.blobs}
    for blob in blobs:
        it.store.add_blob(blob.sha256, data[blob.sha256] or b"")
    for secret in secrets:
        it.store.sealed.add(secret.version, SECRETS[secret.version])


def copy(root: Path, to: Path) -> Path:
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(root, to, symlinks=True)
    return to


def service(name: str, command: str, **fields: Any) -> Unit:  # noqa: ANN401 - as Unit's
    text = unit_text({"Service": {"ExecStart": command}, "Install": {"WantedBy": "multi-user.target"}})
    return Unit(name, text, **fields)


secrets = st.sampled_from([Secret("i.pass", "value", version) for version in ("v1", "v2")])
contents = st.one_of(st.sampled_from(["", "one\n", "two\n"]), secrets.map(lambda secret: parts("PASS=", secret)))


@st.composite
def live(draw: st.DrawFn) -> list[Resource]:
    """Any values of the kernel, and what needs a reboot."""
    values = {name: draw(st.sampled_from("12")) for name in draw(st.sets(st.sampled_from(["vm.one", "vm.two"])))}
    modules = [KernelModule(name) for name in draw(st.sets(st.just("dummy")))]
    names = [Hostname(name) for name in draw(st.sets(st.sampled_from("ab"), max_size=1))]
    tables = [NftablesTable("t", draw(st.sampled_from("12"))) for _ in draw(st.sets(st.just(1)))]
    reboots = [
        Reboot("kernel", [key]) for key in draw(st.sets(st.sampled_from(["sysctl:vm.one", "file:/etc/a"]), max_size=1))
    ]
    return [*reboots, *(Sysctl(name, value) for name, value in values.items()), *modules, *names, *tables]


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """Any configuration that is possible on the machine of `make`."""
    resources: list[Resource] = []
    users = draw(st.sets(st.sampled_from(["u1", "u2"])))
    resources += [
        User(
            name,
            home=f"/home/{name}",
            groups=draw(st.sampled_from([(), ("g1",)])),
            uid=draw(st.sampled_from([None, {"u1": 2001, "u2": 2002}[name]])),
            group=draw(st.sampled_from([None, "g1", "g2"])),
            comment=draw(st.sampled_from([None, "Someone"])),
            password=draw(st.sampled_from([None, Secret("i.login", "hash", "h1"), Secret("i.login", "hash", "h2")])),
        )
        for name in sorted(users)
    ]
    resources.append(Group("g1"))
    resources += [Group("g2", gid) for gid in draw(st.sets(st.sampled_from([None, 3000]), max_size=1))]
    resources += [Package(name) for name in draw(st.sets(st.sampled_from(["p1", "p2"])))]
    owners = st.sampled_from(["root", *sorted(users)])
    for path in draw(st.sets(st.sampled_from(["/srv/d", "/srv/d/e", "/opt/x", "/opt/x/y"]))):
        resources.append(Directory(path, draw(owners), mode=draw(st.sampled_from([0o755, 0o700]))))
    for path in draw(st.sets(st.sampled_from(["/etc/a", "/etc/app/b", "/opt/x/y/z", "/srv/d/f", "/run/s"]))):
        early = draw(st.booleans())
        owner, needed_for = ("root", "packages") if early else (draw(owners), "services")
        restarts = draw(st.sampled_from([(), ("own.service",), ("dist.service", "none.service")]))
        mode = draw(st.sampled_from([0o600, 0o400]))
        resources.append(File(path, draw(contents), owner, mode=mode, needed_for=needed_for, restarts=restarts))
    for path in draw(st.sets(st.sampled_from(["/etc/link", "/srv/d/link", "/opt/l/link"]))):
        resources.append(Symlink(path, draw(st.sampled_from(["/etc/a", "nowhere"])), draw(owners)))
    for path, name in draw(st.sets(st.tuples(st.sampled_from(["/etc/shared", "/etc/new"]), st.sampled_from("ab")))):
        resources.append(Block(path, name, draw(st.sampled_from(["", "line\n", "two\nlines"]))))
    resources += draw(live())
    keys = st.sets(st.tuples(st.sampled_from(["root", *sorted(users)]), st.sampled_from(["KEY1", "KEY2"])))
    for user, key in draw(keys):
        resources.append(AuthorizedKey(user, f"ssh-ed25519 {key}", draw(st.sampled_from([(), ("serve",)]))))
    for name in draw(st.sets(st.sampled_from(["a.service", "b.service", "dist.service", "own.service"]))):
        command = draw(st.sampled_from(["/bin/one", "/bin/two"]))
        flags = {"enabled": draw(st.booleans()), "started": draw(st.booleans())}
        resources.append(service(name, command, restart_on=("file:/etc/a",), **flags))
    if draw(st.booleans()):
        wanted = st.sampled_from([None, True, False])
        resources.append(Unit("theirs.service", enabled=draw(wanted), started=draw(wanted)))
    if draw(st.booleans()):
        resources.append(Unit("also.service", masked=draw(st.booleans())))
    if draw(st.booleans()):
        resources.append(Action("refresh", ("refresh",), ("file:/etc/a",), ("unrefresh",)))
    return Configuration.of("m", resources)


RICH = Configuration.of(
    "m",
    [
        User("u1", home="/home/u1", uid=2000, group="g2", comment="One", password=Secret("i.login", "hash", "h1")),
        Group("g2", 3000),
        Directory("/srv/d", "u1", mode=0o700),
        File("/etc/a", parts("PASS=", Secret("i.pass", "value", "v1"))),
        File("/etc/app/b", "one\n", needed_for="packages", restarts=("own.service",)),
        File("/opt/x/y/z", "two\n", "u1"),
        Symlink("/etc/link", "/opt/x/y/z", "u1"),
        Sysctl("vm.one", "2"),
        NftablesTable("t", "one"),
        KernelModule("dummy"),
        Hostname("new"),
        Block("/etc/shared", "b", "b\n"),
        Block("/etc/shared", "old", "ours\n"),
        AuthorizedKey("u1", "ssh-ed25519 KEY2", ("serve",)),
        AuthorizedKey("root", "ssh-ed25519 KEY1"),
        service("a.service", "/bin/one", enabled=True, started=True, restart_on=("file:/etc/a",)),
        service("dist.service", "/bin/two", started=True),
        Unit("theirs.service", enabled=True, started=True, restart_on=("file:/etc/a",)),
        Unit("also.service", masked=True),
        Package("p2"),
        Action("refresh", ("refresh",), ("file:/etc/a",), ("unrefresh",)),
    ],
)
OTHER = Configuration.of(
    "m",
    [
        File("/etc/a", parts("PASS=", Secret("i.pass", "value", "v2"))),
        Directory("/opt/x", mode=0o700),
        File("/opt/x/other", "three\n"),
        Symlink("/etc/link", "/opt/x/other"),
        Sysctl("vm.one", "3"),
        NftablesTable("t", "two"),
        Sysctl("vm.two", "3"),
        Block("/etc/shared", "a", "a\n"),
        Block("/etc/shared", "b", "changed\n"),
        User("u2", home="/srv/u2", groups=("g2",), uid=2002, password=Secret("i.login", "hash", "h2")),
        AuthorizedKey("u2", "ssh-ed25519 KEY1"),
        service("a.service", "/bin/two", enabled=False, started=True, restart_on=("file:/etc/a",)),
        service("b.service", "/bin/one", enabled=True, started=True),
        Unit("theirs.service", started=False),
        Package("p1"),
    ],
)
NOTHING = Configuration.of("m", [])
