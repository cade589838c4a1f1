"""Machines that cannot be reached: what the user reads is what ssh(1) or the machine says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall.deploy.connection import ssh_problem

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

RESOLVE = "ssh: Could not resolve hostname nosuch.invalid: "  # then the resolver's own words
REFUSED = "ssh: connect to host 127.0.0.1 port 1: Connection refused"
DENIED = "root@jon: Permission denied (publickey)."


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        (REFUSED, REFUSED),
        (f"{REFUSED}\nkex_exchange_identification: Connection closed by remote host", REFUSED),
        (
            ("sh: 1: nc: not found\nkex_exchange_identification: Connection closed by remote host\n"
            "Connection closed by UNKNOWN port 65535"),
            "sh: 1: nc: not found",
        ),
        (
            "channel 0: open failed: connect failed: No route to host\nstdio forwarding failed",
            "channel 0: open failed: connect failed: No route to host",
        ),
        (
            ("/root/.ssh/config: line 3: Bad configuration option: foo\n"
            "/root/.ssh/config: terminating, 1 bad configuration options"),
            "/root/.ssh/config: line 3: Bad configuration option: foo",
        ),
        (DENIED, DENIED),
        (f'This private key will be ignored.\nLoad key "id": bad permissions\n{DENIED}',
         f'Load key "id": bad permissions; {DENIED}'),
        (
            ("No ED25519 host key is known for jon and you have requested strict checking.\n"
            "Host key verification failed."),
            "its host key is not pinned; compare and pin it: `rolecall machines pin jon`",
        ),
        (
            "Host key for jon has changed and you have requested strict checking.\nHost key verification failed.",
            "host key mismatch: it presents another key than the pinned one (reinstalled, or a man in the middle)",
        ),
        ("", ""),
    ],
)  # fmt: skip
def test_of_what_ssh_prints_the_cause_is_shown(printed: str, problem: str) -> None:
    assert ssh_problem("jon", printed) == problem


@pytest.mark.parametrize(
    ("machine", "command", "message"),
    [
        ("jon", "plan jon", f"jon (ssh root@nosuch.invalid): {RESOLVE}"),
        ("jon", "update jon --yes", f"jon (ssh root@nosuch.invalid) untouched: {RESOLVE}"),
        ("jon", "network jon", f"target  ssh root@nosuch.invalid  no answer: {RESOLVE}"),
        ("jon", "log jon", f"error: jon: unreachable: {RESOLVE}"),
        ("jon", "run jon -- true", f"jon: unreachable: {RESOLVE}"),
        ("jon", "machines recover jon", f"error: jon is not recovered: {RESOLVE}"),
        ("jon", "machines purge jon --yes", f"error: jon is not purged: {RESOLVE}"),
        (
            "jon",
            "machines pin jon --yes",
            f"error: jon presents no host keys at nosuch.invalid port 22: {RESOLVE}",
        ),
        ("here", "plan here", f"here (ssh root@127.0.0.1:1): {REFUSED}"),
        (
            "here",
            "machines pin here --yes",
            f"error: here presents no host keys at 127.0.0.1 port 1: {REFUSED}",
        ),
        ("lone", "ssh lone", "error: machine 'lone' has no target"),
        ("lone", "plan lone", "error: machine 'lone' has no target"),
        ("lone", "machines pin lone", "error: machine 'lone' has no target"),
        ("lone", "ssh --lab lone", "error: the lab is down"),
    ],
)
def test_every_command_shows_it(machine: str, command: str, message: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/note.py").write_text(
        "from rolecall.service import *\nservice = Service('note', description='A note.')\n"
        "node = service.role('node', description='Has it.')\n"
        "@node.configure\ndef have(me):\n    yield File('/etc/note', 'x')\n"
    )
    (tmp_path / "inventory.toml").write_text(
        "machines.jon.deploy.targetHost = 'root@nosuch.invalid'\n"
        "machines.here.deploy.targetHost = 'root@127.0.0.1:1'\nmachines.lone = {}\n"
        f"[instances.note]\nmodule.input = 'self'\nroles.node.machines.{machine} = {{}}\n"
    )
    status, out, err = run(*command.split())
    assert status == 1
    assert message in out + err
