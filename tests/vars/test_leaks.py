"""Secrets do not leak: not into output, files, arguments or environments."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import services
from rolecall.vars import create_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolecall.project import Project

pytestmark = pytest.mark.slow  # whole commands, and many of them

MARKER = "MARKER" + os.urandom(8).hex()
SAM = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
INVENTORY = """
[machines.jon]
deploy.targetHost = "dir:targets/jon"
[instances.mail]
module.input = "self"
roles.relay.machines.jon.settings.password.var = "mail.smtp/password"
"""


@pytest.fixture
def mail(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    services.install(project.root, "leaky", module="mail")
    (project.root / "inventory.toml").write_text(INVENTORY)
    (tmp_path / "answers.json").write_text(json.dumps({"jon/mail.smtp/password": MARKER}))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    return project


def argv(project: Project, *words: str) -> list[str]:
    sandbox = [] if shutil.which("bwrap") else ["--no-sandbox"]
    answers = ["--answers", str(project.root.parent / "answers.json")]
    return [sys.executable, "-m", "rolecall", *sandbox, *answers, "-C", str(project.root), *words]


def run(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(project, *words), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def holding(*folders: Path) -> set[Path]:
    """Return the files below folders that contain the secret."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path for path in files if MARKER.encode() in path.read_bytes()}


def belongs(project: Project) -> Iterator[Path]:
    root = project.root / "targets/jon"
    secrets = root / "run/rolecall/secrets"
    yield from (secrets / "mail.smtp/password", secrets / "mail.double/x", root / "etc/rolecall/mail/conf")
    yield from (root / "var/lib/rolecall/sealed").iterdir()


class Watch(threading.Thread):
    """Searches the arguments and environments of all processes for the secret until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.found: set[str] = set()
        self.looks = 0

    def run(self) -> None:
        while not self.ended.is_set():
            self.looks += 1
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and entry.name != str(os.getpid()):
                    self._look(entry)

    def _look(self, process: Path) -> None:
        for name in ("cmdline", "environ"):
            try:
                if MARKER.encode() in (process / name).read_bytes():
                    self.found.add(f"{process / name}")
            except OSError:
                continue


COMMANDS = [
    *(["plan"], ["plan", "--json"], ["update", "--yes", "--json"], ["plan"], ["show", "jon"], ["show", "--json"]),
    *(["explain", "mail.relay.jon"], ["explain", "mail.relay.jon", "--json"], ["vars", "list", "--json"], ["check"]),
    *(["vars", "check"], ["vars", "recipients", "--json"], ["vars", "rotate", "jon/mail.double"], ["plan"]),
    *(["update", "--yes", "-v"], ["vars", "get", "jon/mail.smtp/password"], ["services", "show", "mail", "--json"]),
    *(["keys", "list"], ["inventory", "get", ""], ["vars", "prune", "--dry-run"], ["vars", "fix"]),
    *(["vars", "rotate", "jon/mail.smtp"], ["plan"], ["update", "--yes"], ["vars", "list"], ["vars", "recipients"]),
    *(["vars", "rotate", "jon/mail.smtp", "--update", "--yes"], ["vars", "export", "-o", "vars.age"], ["plan"]),
    *(["vars", "import", "vars.age"], ["vars", "rotate", "--known-to", "jon", "--update", "--yes", "--json"]),
]


def test_no_command_and_no_file_leaks_the_secret(mail: Project, tmp_path: Path) -> None:
    _run_all(mail, tmp_path)
    assert holding(mail.root, tmp_path / "scratch") == set(belongs(mail))


def test_nothing_leaks_with_a_password_store(mail: Project, tmp_path: Path, password_store: Path) -> None:
    (mail.root / "pyproject.toml").write_text('[tool.rolecall]\nsecrets = "pass"\n')
    _run_all(mail, tmp_path)
    assert list(password_store.rglob("*.gpg"))
    assert holding(mail.root, tmp_path / "scratch", password_store) == set(belongs(mail))


def _run_all(mail: Project, tmp_path: Path) -> None:
    output = ""
    watch = Watch()
    watch.start()
    try:
        for words in COMMANDS:
            done = subprocess.run(
                argv(mail, *words),
                cwd=mail.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == int(words[:2] == ["vars", "get"]), (words, done.stderr)
            output += done.stdout + done.stderr
    finally:
        watch.ended.set()
        watch.join()
    assert MARKER not in output
    assert watch.looks > 10
    assert watch.found == set()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_no_fault_leaks_the_secret(mail: Project) -> None:
    subprocess.run(argv(mail, "vars", "generate"), check=True, capture_output=True)
    inventory = mail.root / "inventory.toml"
    for change, message in (
        (INVENTORY + "roles.relay.settings.fail = true\n", "failed with ValueError"),
        (INVENTORY.replace("password.var = ", f'password = "{MARKER}"\nx = '), "must be a reference to a secret"),
        (INVENTORY.replace("mail.smtp/password", "mail.smtp/passwor"), "no secret 'mail.smtp/passwor'"),
    ):
        inventory.write_text(change)
        shutil.rmtree(mail.vars / "per-machine/jon/mail.double", ignore_errors=True)
        done = run(mail, "plan")
        assert done.returncode == 1
        assert message in done.stderr
        assert MARKER not in done.stdout + done.stderr


def test_a_killed_process_leaves_the_secret_nowhere(mail: Project, tmp_path: Path) -> None:
    for round_ in range(8):
        with subprocess.Popen(
            argv(mail, "plan"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(0.15 + 0.05 * round_)
            process.send_signal(signal.SIGKILL)
        assert holding(mail.root, tmp_path / "scratch") == set()
        shared = Path("/dev/shm")  # noqa: S108 - looked at
        assert holding(*shared.glob("rolecall-*")) == set() or not shutil.which("bwrap")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(mail: Project, umask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLECALL_IDENTITY", str(mail.root.parent / "own/identity"))
    before = os.umask(umask)
    try:
        create_identity(mail, "other")
        for words in (
            *(["update", "--yes"], ["inventory", "set", "meta.name", "x"], ["vars", "rotate", "jon/mail.smtp"]),
            *(["update", "--yes"], ["vars", "rotate", "jon/mail.smtp"], ["update", "--yes"]),
            *(["keys", "add", "sam", SAM], ["vars", "fix"], ["keys", "remove", "sam"], ["vars", "fix"]),
            ["vars", "export", "-o", str(mail.root / "vars.age")],
        ):
            subprocess.run(argv(mail, *words), check=True, capture_output=True)
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in mail.root.rglob("*") if not path.is_symlink()}
    assert {path for path, mode in modes.items() if mode & 0o022} == set()
    stored = {path: mode for path, mode in modes.items() if path.is_relative_to(mail.vars)}
    assert {mode for path, mode in stored.items() if path.name == "secret"} == {0o600}
    others = {path: mode for path, mode in stored.items() if path.is_file() and path.name != "secret"}
    assert {path.name for path in others} == {"version", "recipients", "formerly", "machines", ".made", ".binds"}
    assert set(others.values()) == {0o644 & ~umask}
    assert modes[mail.root / "vars.age"] == 0o600
    assert {
        mode for path, mode in modes.items() if path.is_relative_to(mail.root / "targets/jon/var/lib/rolecall/sealed")
    } <= {0o600, 0o700}
    assert modes[mail.root / "targets/jon/run/rolecall/secrets/mail.smtp/password"] == 0o400
    assert modes[mail.root / "inventory.json"] == 0o644
    assert (mail.root.parent / "own/identity").stat().st_mode & 0o777 == 0o600
