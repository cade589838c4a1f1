"""`rolecall run`: one command on many machines. A program stands for ssh(1), and runs it on this computer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from rolecall.deploy import commands

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a command runs as root")

SSH = r"""#!/bin/sh
for word; do HOST=$command command=$word; done
export HOST
folder=${0%/*}
case $HOST in
down*) echo "ssh: connect to host $HOST port 22: Connection refused" >&2; exit 255;;
shell) echo 'sh: 1: python3: not found' >&2; exit 127;;
sudo) echo 'sudo: a password is required' >&2; exit 1;;
busy) echo >>"$folder/tries"
    [ "$(wc -l <"$folder/tries")" -gt 2 ] || { echo 'Connection closed by 10.0.0.1 port 22' >&2; exit 255; };;
slow) touch "$folder/slow"; exec sleep 60;;
noisy) printf 'welcome\n'; echo 'a banner' >&2;;
cut) timeout -s KILL 0.3 sh -c "$command"; echo 'Connection to cut closed by remote host.' >&2; exit 255;;
esac
exec sh -c "$command"
"""

SCRIPTS = {"cut": "echo done; exec sleep 0.6 >/dev/null", "ends": "echo done; exit 255"}


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that declares machines with these hosts."""
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    def declared(*hosts: str, more: str = "") -> None:
        machines = "".join(f'[machines.{host}]\ndeploy.targetHost = "root@{host}"\n' for host in hosts)
        (tmp_path / "inventory.toml").write_text(machines + more)

    return declared


def lines(printed: str) -> list[str]:
    """Return lines without the time that it took."""
    return printed.rpartition(" (")[0].splitlines()


def test_equal_answers_are_shown_once(run: Run, declare: Run) -> None:
    declare("a", "b", "c", "d", "e")
    status, out, err = run("run", "--except", "e", "--", "case $HOST in a|d) echo yes; echo;; *) echo no;; esac")
    assert (status, err) == (0, "")
    assert lines(out) == ["a, d", "  yes", "  ", "b, c", "  no", "4 machines: 4 with exit status 0"]


def test_statuses_are_summed_up(run: Run, declare: Run) -> None:
    declare("a", "b", "d", "down")
    script = "case $HOST in a) exit 3;; b) echo gone >&2; kill -9 $$;; esac"
    status, out, _ = run("run", "--", script)
    assert status == 1
    assert lines(out) == [
        *("d: no output", "a: exit status 3, no output", "b: exit status 137", "  gone"),
        "down: unreachable: ssh: connect to host down port 22: Connection refused",
        "4 machines: 1 with exit status 0, 1 with exit status 3, 1 with exit status 137, 1 unreachable",
    ]


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["echo $HOST; echo 2"], "a\n2\n"),
        (["echo", "$HOST", "x  y", "a'b\"c", "--", "é", "-n"], "$HOST x  y a'b\"c -- é -n\n"),
        (["printf", r"\033[2J\a\r\tx\r\n\302\233"], "\\x1b[2J\\x07\\r\tx\n\\x9b"),
        (["printf", r"\377\000"], "\ufffd\\x00"),
        (["cat"], ""),
    ],
)
def test_a_command_gets_its_words_and_its_output_is_safe(run: Run, declare: Run, words: list[str], output: str) -> None:
    declare("a")
    status, out, _ = run("run", "--json", "--", *words)
    answer = json.loads(out)["machines"]["a"]
    assert status == 0
    assert answer.pop("seconds") > 0
    assert answer == {"ending": "ended", "status": 0, "output": output, "cut": False, "problem": ""}


@pytest.mark.parametrize(
    ("host", "status", "shown"),
    [
        ("noisy", 0, ["noisy", "  done"]),
        ("busy", 0, ["busy", "  done"]),
        ("shell", 1, ["shell: unreachable: the command did not begin: sh: 1: python3: not found"]),
        ("ends", 1, ["ends: exit status 255", "  done"]),
        ("sudo", 1, ["sudo: unreachable: the command did not begin: sudo: a password is required; allow this user"]),
        (
            "cut",
            1,
            ["cut: connection lost: Connection to cut closed by remote host. (the command may", "  done"],
        ),
    ],
)
def test_a_login_that_is_not_as_usual(
    run: Run, declare: Run, monkeypatch: pytest.MonkeyPatch, host: str, status: int, shown: list[str]
) -> None:
    monkeypatch.setattr(commands._random, "uniform", lambda *_: 0)  # noqa: SLF001 - there is no need to wait
    declare(host)
    got, out, err = run("run", "--", SCRIPTS.get(host, "echo done"))
    assert (got, err) == (status, "")
    found = lines(out)
    assert found[0].startswith(shown[0])
    assert found[1:-1] == shown[1:]


def test_a_program_that_does_not_exist(run: Run, declare: Run) -> None:
    declare("a")
    status, out, _ = run("run", "--", "no-such-program", "x")
    assert status == 1
    assert lines(out)[:2] == ["a: exit status 127", "  no-such-program: No such file or directory"]


def test_the_next_way_is_tried(run: Run, declare: Run) -> None:
    network = '[instances.internet]\nroles.default.machines.{}.settings.host = "{}"\n'
    declare("down", more=network.format("down", "up"))
    assert run("run", "--", "echo $HOST")[1].startswith("down\n  up\n")
    declare("down", more=network.format("down", "down2"))
    status, out, _ = run("run", "--", "echo $HOST")
    assert status == 1
    assert "ssh root@down: ssh: connect to host down port 22: Connection refused; ssh root@down2: ssh: conn" in out


def test_what_is_printed_is_bounded(run: Run, declare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "KEPT", 10)
    declare("a")
    assert lines(run("run", "--", "yes | head -c 3000000")[1]) == [
        *("a", *["  y"] * 5, "  … (more was not kept)", "1 machine: 1 with exit status 0"),
    ]


def test_a_command_that_takes_too_long_is_ended(run: Run, declare: Run, tmp_path: Path) -> None:
    declare("a", "b")
    script = f"[ $HOST = b ] || {{ echo $$ >{tmp_path}/pid; echo begun; sleep 1000; }}"
    status, out, _ = run("run", "--timeout", "1", "--", script)
    assert status == 1
    assert lines(out) == [
        *("b: no output", "a: not done within 1 second (the command was ended)", "  begun"),
        "2 machines: 1 with exit status 0, 1 timed out",
    ]
    with pytest.raises(ProcessLookupError):
        os.killpg(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slow
def test_ctrl_c_ends_the_command_on_all_machines(declare: Run, tmp_path: Path) -> None:
    declare("a", "b", "c", "d", "slow")
    script = f"[ $HOST != b ] || exit 0; echo $$ >>{tmp_path}/pids; sleep 1000"
    argv = [sys.executable, "-m", "rolecall", "run", "--parallel", "4", "--", script]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pids = tmp_path / "pids"
    while not ((tmp_path / "bin/slow").exists() and pids.exists() and len(pids.read_text().split()) == 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "aborted\n")
    assert lines(out) == [
        *("b: no output", "a, c, d: interrupted (the command was ended)", "slow: interrupted during the login"),
        "5 machines: 1 with exit status 0, 4 interrupted",
    ]
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.killpg(int(pid), 0)


def test_what_stays_in_the_background_is_not_waited_for(run: Run, declare: Run) -> None:
    declare("a")
    began = time.monotonic()
    assert run("run", "--", "echo done; sleep 8 &")[1].startswith("a\n  done\n1 machine: 1 with exit status 0")
    assert time.monotonic() - began < 6


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait(declare: Run, tmp_path: Path) -> None:
    declare("a")
    argv = [sys.executable, "-m", "rolecall", "run", "--", f"trap '' TERM; touch {tmp_path}/begun; sleep 1; sleep 60"]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.startswith("a: interrupted (the command may still run)\n1 machine: 1 interrupted")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "missing command; write it after `--`, as in `rolecall run -- uptime`"),
        (["uptime"], 2, "missing command"),
        (["--"], 2, "missing command"),
        (["--timeout", "0", "--", "true"], 2, "0 is not in the range"),
        (["--timeout", "nan", "--", "true"], 2, "not a valid integer"),
        (["--parallel", "0", "--", "true"], 2, "0 is not in the range"),
        (["--bogus", "--", "true"], 2, "No such option"),
        (["aa", "--tag", "x", "--", "true"], 1, "machine 'aa' does not exist"),
        (["--except", "*", "--", "true"], 1, "no machine is left to choose"),
        (["--", "true"], 1, "cannot run a command on a directory, which is the target of dir"),
    ],
)
def test_bad_input(run: Run, declare: Run, words: list[str], status: int, message: str) -> None:
    declare("a", more='[machines.dir]\ndeploy.targetHost = "dir:targets/dir"\n')
    got, out, err = run("run", *words)
    assert (got, out) == (status, "")
    assert message in err


def test_a_machine_without_a_target_is_named(run: Run, declare: Run) -> None:
    declare("a", more="[machines.new]\n")
    status, out, _ = run("run", "--", "true")
    assert status == 1
    assert lines(out) == [
        *("a: no output", "new: unreachable: machine 'new' has no target"),
        "2 machines: 1 with exit status 0, 1 unreachable",
    ]
    declare()
    assert "the inventory has no machines" in run("run", "--", "true")[2]
