"""Login shells that do not start the agent: the message says what to look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall.deploy import connection
from rolecall.deploy.connection import AgentFailedError
from rolecall.deploy.session import Session
from rolecall.deploy.target import Lab as Reached
from rolecall.deploy.target import Target, find_target
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import LabFactory

FISH = "cat >/usr/local/bin/fish <<'E'\n#!/bin/sh\nexec cat >/dev/null\nE\nchmod +x /usr/local/bin/fish"


@pytest.fixture(scope="module")
def target(lab_factory: LabFactory) -> tuple[Target, Callable[[str], object]]:
    """Return a machine, and a function that runs a script on it as another user than the one who logs in."""
    lab = lab_factory("jon")
    lab.run("jon", "useradd", "--create-home", "--shell", "/bin/bash", "eve")
    lab.run("jon", "sh", "-c", "echo 'eve ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/eve; " + FISH)
    lab.run("jon", "cp", "-r", "/root/.ssh", "/home/eve/")
    lab.run("jon", "chown", "-R", "eve:", "/home/eve/.ssh")
    config = lab.ssh_config.with_name("ssh_config_of_eve")
    config.write_text(lab.ssh_config.read_text().replace("User root", "User eve"))
    project = Project(lab.ssh_config.parent)
    found = find_target(
        project, "jon", None, Reached(config, lab.ssh_config.with_name("known_hosts"), frozenset({"jon"}))
    )
    assert isinstance(found, Target)
    return found, lambda script: lab.run("jon", "sh", "-c", script)


@pytest.mark.parametrize("line", ["exec fish", "screen() { cat; }; screen", "sleep infinity"])
def test_a_start_file_that_hands_the_session_over(
    target: tuple[Target, Callable[[str], object]], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    machine, run = target
    run(f"echo '{line}' >/home/eve/.bashrc")
    monkeypatch.setattr(connection, "LOGIN", 3)
    with Session(machine) as session, pytest.raises(AgentFailedError) as caught:
        session.open(None)
    assert str(caught.value).startswith("the agent did not start within 3 seconds; probably a start file")
    assert "`exec fish`" in str(caught.value)
    run("rm /home/eve/.bashrc")


def test_a_start_file_that_does_so_on_a_terminal_only(target: tuple[Target, Callable[[str], object]]) -> None:
    machine, run = target
    run("echo '[ -t 0 ] && exec fish' >/home/eve/.bashrc")
    with Session(machine) as session:
        assert session.open(None)["os"]["ID"] == "debian"
    run("rm /home/eve/.bashrc")


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("/bin/false", "its login shell ended with status 1 and did not start the agent; set one that can run"),
        ("/usr/sbin/nologin", "the agent did not start: This account is currently not available"),
    ],
)
def test_a_login_shell_that_runs_nothing(target: tuple[Target, Callable[[str], object]], shell: str, said: str) -> None:
    machine, run = target
    run(f"usermod --shell {shell} eve")
    with Session(machine) as session, pytest.raises(AgentFailedError) as caught:
        session.open(None)
    assert str(caught.value).startswith(said)
    run("usermod --shell /bin/bash eve")
