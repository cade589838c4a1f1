"""Targets of machines, from their `deploy.targetHost`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rolecall.deploy.target import Lab, Target, find_target
from rolecall.errors import Fault
from rolecall.project import Project

PROJECT = Project(Path("/srv/a project"))


def found(target_host: str | None, lab: Lab | None = None) -> Target:
    target = find_target(PROJECT, "jon", target_host, lab)
    assert isinstance(target, Target)
    return target


def options(target: Target) -> dict[str, str]:
    """Return the settings that ssh itself derives from the arguments."""
    argv = ["ssh", "-F", "none", "-G", *target.ssh]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("jon", None, "jon", "22"),
        ("root@jon.example.org", "root", "jon.example.org", "22"),
        ("root@10.0.0.1:2222", "root", "10.0.0.1", "2222"),
        ("a.b-c@jon:1", "a.b-c", "jon", "1"),
        ("[fe80::1]", None, "fe80::1", "22"),
        ("root@[fe80::1]:2222", "root", "fe80::1", "2222"),
    ],
)
@pytest.mark.skipif(not shutil.which("ssh"), reason="needs ssh")
def test_ssh(text: str, user: str | None, host: str, port: str) -> None:
    target = found(text)
    assert (target.host, target.text, target.root) == (host, f"ssh {text}", None)
    read = options(target)
    assert (read["hostname"], read["port"], read["hostkeyalias"]) == (host, port, "jon")
    assert user is None or read["user"] == user
    assert read["userknownhostsfile"].strip('"') == "/srv/a project/keys/known_hosts"
    assert read["stricthostkeychecking"] in {"yes", "true"}


@pytest.mark.parametrize(
    "text",
    ["", "-oProxyCommand=x", "root@-x", "-x@jon", "a b", "jon;x", "jon\n", "jon:", "jon:x", "jon:123456", "@jon",
     "a@b@c", "fe80::1", "[x]", "ssh://jon", "jon/x", "$(x)", "jön", "dir:", "dir:.", "jon:0", "jon:65536"],
)  # fmt: skip
def test_invalid_targets(text: str) -> None:
    fault = find_target(PROJECT, "jon", text, None)
    assert isinstance(fault, Fault)
    assert fault.where
    assert fault.where.keys == ("machines", "jon", "deploy", "targetHost")


def test_directories_are_relative_to_the_project() -> None:
    assert found("dir:targets/jon").root == Path("/srv/a project/targets/jon")
    assert found("dir:/tmp/jon").root == Path("/tmp/jon")  # noqa: S108 - nothing is made there
    with pytest.raises(ValueError, match="no command runs on it"):
        found("dir:x").command(["true"])


def test_without_a_target_host_a_running_lab_is_used() -> None:
    lab = Lab(Path("/lab/ssh_config"), Path("/lab/known_hosts"), frozenset({"jon"}))
    assert found(None, lab).ssh[:2] == ("-F", "/lab/ssh_config")
    assert found("root@jon", lab).text == "ssh root@jon"
    fault = find_target(PROJECT, "jon", None, None)
    assert isinstance(fault, Fault)
    assert fault.message == "machine 'jon' has no target"


def test_words_of_a_command_arrive_unchanged() -> None:
    words = ["sh", "-c", "echo \"$1\" 'x'; ls", "ü $HOME", ""]
    *_, remote = found("root@jon").command(words)
    heard = subprocess.run(
        ["sh", "-c", f'set -- {remote}; printf "%s\\n" "$@"'], capture_output=True, text=True, check=True
    )
    assert heard.stdout.split("\n")[-len(words) - 1 : -1] == words


# Everything by which a person's own ssh_config could weaken what is promised; and options that one version knows alone.
WEAK = """
Host *
  IgnoreUnknown UseKeychain
  UseKeychain yes
  StrictHostKeyChecking no
  UserKnownHostsFile /weak
  GlobalKnownHostsFile /weak
  KnownHostsCommand /bin/echo weak
  VerifyHostKeyDNS yes
  UpdateHostKeys yes
  CheckHostIP yes
  HostKeyAlias weak
  ControlMaster auto
  ControlPath /weak
  ForwardAgent yes
  ForwardX11 yes
  ClearAllForwardings no
  PermitLocalCommand yes
  RemoteCommand weak
  LogLevel DEBUG
  User person
"""


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs ssh")
def test_the_users_ssh_config_weakens_nothing(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(WEAK)
    target = found("jon")
    argv = ["ssh", "-F", str(tmp_path / "config"), "-G", *target.ssh]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "user person" in done.stdout.splitlines()  # it is read, and what it says else counts
    assert "weak" not in done.stdout
    read = {name: value for name, _, value in (line.partition(" ") for line in done.stdout.splitlines())}
    off = ("controlmaster", "verifyhostkeydns", "updatehostkeys", "forwardagent", "forwardx11", "checkhostip")
    assert {read[name] for name in (*off, "permitlocalcommand")} <= {"no", "false"}
    assert (read["clearallforwardings"], read["loglevel"]) == ("yes", "ERROR")
    assert "controlpath" not in read
    assert "kexalgorithms" not in "".join(target.ssh).lower()  # ssh's own order: what resists quantum computers first


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs ssh")
def test_older_clients_ignore_unknown_options() -> None:
    *options, dashes, host = found("jon").ssh
    argv = ["ssh", "-F", "none", "-G", *options, "-o", "OfTheFuture=no", dashes, host]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_the_users_ssh_config_cannot_request_a_terminal() -> None:
    assert found("jon").command(["true"])[:2] == ["ssh", "-T"]
    assert found("jon").command(["true"], terminal=True)[:2] == ["ssh", "-t"]
    assert "-T" not in found("jon").command([])


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs ssh")
def test_pins_are_found_in_projects_with_unusual_names(tmp_path: Path) -> None:
    project = Project(tmp_path / "100%h $HOME ~ ü")
    target = find_target(project, "jon", "127.0.0.1:1", None)
    assert isinstance(target, Target)
    [option] = [word for word in target.ssh if word.startswith("UserKnownHostsFile=")]
    assert option == f'UserKnownHostsFile="{tmp_path}/100%%h $HOME ~ ü/keys/known_hosts"'


@pytest.mark.parametrize("name", ['q"x', "${HOME}", "a\\b", "a\nb"])
def test_paths_that_ssh_misreads_are_refused(name: str) -> None:
    for target_host, lab in (("jon", None), (None, Lab(Path("/lab/config"), Path("/lab", name), frozenset({"jon"})))):
        fault = find_target(Project(Path("/srv") / name), "jon", target_host, lab)
        assert isinstance(fault, Fault)
        assert fault.message.startswith("ssh cannot read the file ")
    assert isinstance(find_target(Project(Path("/srv") / name), "jon", "dir:x", None), Target)


@pytest.mark.parametrize("text", ["dir:/", "dir:..", "dir:x/../..", "dir:/srv", "dir://", "dir:/proc/self/root"])
def test_a_target_cannot_contain_the_project(text: str) -> None:
    fault = find_target(PROJECT, "jon", text, None)
    assert isinstance(fault, Fault)
    assert (fault.message, bool(fault.where)) == (f"the target {text!r} contains this project", True)


def test_links_to_the_project_are_refused_as_targets(tmp_path: Path) -> None:
    (tmp_path / "up").symlink_to("..")
    assert isinstance(find_target(Project(tmp_path), "jon", "dir:up", None), Fault)
    (tmp_path / "round").symlink_to("round")
    assert isinstance(find_target(Project(tmp_path), "jon", "dir:round/x", None), Target)
    assert isinstance(find_target(Project(tmp_path), "jon", "dir:a\0b", None), Fault)
