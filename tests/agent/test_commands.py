"""Commands that print much, leave something in the background, or do not end."""

from __future__ import annotations

import os
import pwd
import signal
import time
from pathlib import Path

import pytest

from rolecall_agent.systems import commands
from rolecall_agent.systems.accounts import ShadowAccounts
from rolecall_agent.systems.real import RealSystem


@pytest.fixture(params=["sentinel", "no sentinel"], autouse=True)
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as on a kernel before Linux 5.3, which has no pidfd_open(2)."""
    if request.param == "no sentinel":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


def test_a_command_that_leaves_something_in_the_background_does_not_wait_for_it() -> None:
    status, output = commands.run(["sh", "-c", "sleep 600 & echo $!; echo failed >&2; exit 3"], 30)
    pid = int(output.split()[0])
    os.kill(pid, signal.SIGKILL)  # it still ran
    assert (status, output) == (3, f"{pid}\nfailed\n")


def test_processes_of_a_user() -> None:
    accounts = ShadowAccounts()
    assert os.getpid() in accounts.processes(pwd.getpwuid(os.geteuid()).pw_name)
    idle = next(user.pw_name for user in pwd.getpwall() if user.pw_name in {"sync", "games", "news", "uucp"})
    assert not accounts.processes(idle)


def test_a_real_machine_flushes_its_file_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    ran: list[list[str]] = []
    real = commands.run

    def run(argv: list[str], timeout: float) -> tuple[int, str]:
        ran.append(argv)
        return real(argv, timeout)

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(os, "sync", lambda: ran.append(["sync(2)"]))
    system = RealSystem()
    try:
        system.flush()
        assert ran == [["sync", "--file-system", "/etc", "/usr", "/var"]]
        monkeypatch.setattr(commands, "run", lambda _argv, _timeout: (127, ""))  # without coreutils
        system.flush()
    finally:
        system.close()
    assert ran[1:] == [["sync(2)"]]


def test_output_without_errors() -> None:
    assert commands.execute(["sh", "-c", "echo one; echo two >&2"]) == (0, "one\n")
    assert commands.execute(["sh", "-c", "printf '\\377'; cat"]) == (0, "\N{REPLACEMENT CHARACTER}")
    assert commands.execute(["/none"]) == (127, "/none: No such file or directory")


def test_only_the_end_of_a_long_output_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "OUTPUT_LIMIT", 1000)
    monkeypatch.setattr(commands, "TAIL", 10)
    # It goes on once its output has been cut off.
    script = "head -c 2000 /dev/zero; while test $(stat -L -c %s /proc/$$/fd/1) -gt 1000; do :; done; echo done"
    assert commands.execute(["sh", "-c", script], 30) == (0, "\0" * 10 + "done\n")
    status, output = commands.execute(["sh", "-c", "head -c 995 /dev/zero; echo end; printf 123456"], 30)
    assert (status, output[-10:]) == (0, "end\n123456")
    assert len(output) <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("starts", ["sleep 600", "timeout 600 sleep 601", "setsid sleep 600", "bash -mc 'sleep 600'"])
def test_a_command_that_takes_too_long_ends_with_all_that_it_has_started(starts: str) -> None:
    mark = f"ended-{os.urandom(8).hex()}"
    status, output = commands.run(["sh", "-c", f"MARK={mark} {starts} & wait"], 1)
    assert (status, output) == (124, "sh took longer than 1 seconds")
    until = time.monotonic() + 10
    while left := [pid.name for pid in Path("/proc").iterdir() if mark in environment(pid)]:
        assert time.monotonic() < until, left


def environment(process: Path) -> str:
    """Return the environment of a process; "" if it has ended, or is someone else's."""
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:
        return ""
