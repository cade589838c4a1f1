"""What a stock machine lacks for Rolecall. Real ones are in tests/lab/test_install.py."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rolecall.deploy import installing
from rolecall.deploy.installing import Found, Login, needed, own_keys, read_found
from rolecall.deploy.target import Target, find_target
from rolecall.errors import Faults
from rolecall.project import Project

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@desk"
READY = Found("admin", "free", "web.example.org", systemd=True, python="usable", manager="dnf", keys=(f"no-pty {KEY}",))


def test_a_machine_is_read_behind_what_its_login_shell_prints() -> None:
    printed = (
        "Welcome!\nuser=nobody\nROLECALL-BEGINS\nuser=admin\nhostname=we\x1b[1mb\nsystemd=yes\npython=missing\n"
        f"manager=apt-get\nsudo=asks\nkey=# ours\nkey={KEY}\n"
    )
    found = read_found(printed)
    assert found == Found("admin", "asks", r"we\x1b[1mb", True, "missing", "apt-get", ("# ours", KEY))  # noqa: FBT003
    assert read_found("") == Found("", "", "", False, "", "", ())  # noqa: FBT003


def test_nothing_is_done_twice() -> None:
    assert str(needed("web", READY, "web", [KEY])) == ""
    assert str(needed("web", replace(READY, sudo="root"), "", [KEY])) == ""


def test_what_is_lacking_is_shown() -> None:
    bare = Found("admin", "asks", "debian", systemd=True, python="missing", manager="apt-get", keys=())
    key = "ssh-ed25519 SHA256:E2zBJ5p7oJ7lPJ5ZJ1e0p2yQhYwQdoYOqFcdrJqsX3A"
    told = str(needed("web", bare, "web", [f"{KEY}\x1b"])).splitlines()
    assert told[0].startswith("let the key ssh-ed25519 SHA256:")
    assert len(told[0].split()[4]) == len(key.split()[1])
    assert told[0].endswith(r"(me@desk\x1b) log in as admin")
    assert told[1:] == [
        "install Python with apt-get",
        "set the hostname to web (now debian)",
        "let admin use sudo without a password",
    ]


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (replace(READY, systemd=False), "web does not run systemd"),
        (replace(READY, sudo=""), "web lets admin log in, who is not root, and it has no sudo"),
        (replace(READY, python="old"), "web has a Python that is older than 3.9"),
        (replace(READY, python="missing", manager=""), "web has no Python, and no package manager"),
    ],
)
def test_machines_that_rolecall_cannot_use(found: Found, problem: str) -> None:
    with pytest.raises(Faults, match=f"{problem}.*\nhint: Rolecall needs systemd, Python 3.9"):
        needed("web", found, "web", [KEY])


def test_the_users_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = find_target(Project(tmp_path), "web", "web", None)
    assert isinstance(target, Target)
    private, public = tmp_path / "mine", tmp_path / "mine.pub"
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-C", "me", "-f", private], check=True)
    key = public.read_text().strip()
    assert own_keys(target, public) == own_keys(target, private) == [key]  # never the private one
    for text in (None, "", "ssh-ed25519\n", f"{key}\n{key}\n", "\xff"):
        (tmp_path / "other").write_text(text) if text is not None else None
        with pytest.raises(Faults, match="other is not an SSH public key"):
            own_keys(target, tmp_path / "other")

    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    monkeypatch.setattr(installing.pins, "ssh_settings", lambda *_, **__: {"identityfile": f"/none\n{private}"})
    assert own_keys(target, None) == [key]
    public.unlink()
    with pytest.raises(Faults, match="you have no SSH key\nhint: create one: `ssh-keygen"):
        own_keys(target, None)


def test_sudo_does_not_wait_for_a_password_where_nobody_can_type_one(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target("web", "ssh admin@web", "web", ("--", "web"))
    login = Login.__new__(Login)
    login._target = target  # noqa: SLF001 - as if it had logged in
    monkeypatch.setattr("sys.stdin", io.StringIO())
    lacking = needed("web", replace(READY, sudo="asks"), "web", [])
    with pytest.raises(Faults, match="sudo on web asks for the password of admin: not a terminal\nhint: run"):
        login.prepare(lacking)
