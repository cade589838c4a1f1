"""How a machine is reached, from what the inventory says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rolecall.deploy import pins
from rolecall.deploy.target import Lab, Target, find_target, pinned_keys
from rolecall.errors import Fault, Faults
from rolecall.project import Project

PROJECT = Project(Path("/srv/a project"))


def found(target_host: str | None, lab: Lab | None = None) -> Target:
    target = find_target(PROJECT, "jon", target_host, lab)
    assert isinstance(target, Target)
    return target


def options(target: Target) -> dict[str, str]:
    """What ssh itself makes of the arguments."""
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
@pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh here")
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
     "a@b@c", "fe80::1", "[x]", "ssh://jon", "jon/x", "$(x)", "jön", "dir:", "jon:0", "jon:65536"],
)  # fmt: skip
def test_no_targets(text: str) -> None:
    fault = find_target(PROJECT, "jon", text, None)
    assert isinstance(fault, Fault)
    assert fault.where
    assert fault.where.keys == ("machines", "jon", "deploy", "targetHost")


def test_directories_are_relative_to_the_project() -> None:
    assert found("dir:targets/jon").root == Path("/srv/a project/targets/jon")
    assert found("dir:/tmp/jon").root == Path("/tmp/jon")  # noqa: S108 - nothing is made there
    with pytest.raises(ValueError, match="no command runs on it"):
        found("dir:x").command(["true"])


def test_what_is_not_said_is_the_lab_while_it_is_up() -> None:
    lab = Lab(Path("/lab/ssh_config"), Path("/lab/known_hosts"))
    assert found(None, lab).ssh[:2] == ("-F", "/lab/ssh_config")
    assert found("root@jon", lab).text == "ssh root@jon"
    fault = find_target(PROJECT, "jon", None, None)
    assert isinstance(fault, Fault)
    assert fault.message == "it is not said how 'jon' is reached"


def test_commands_reach_the_machine_word_by_word() -> None:
    words = ["sh", "-c", "echo \"$1\" 'x'; ls", "ü $HOME", ""]
    *_, remote = found("root@jon").command(words)
    heard = subprocess.run(
        ["sh", "-c", f'set -- {remote}; printf "%s\\n" "$@"'], capture_output=True, text=True, check=True
    )
    assert heard.stdout.split("\n")[-len(words) - 1 : -1] == words


KEYS = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "ssh-rsa AAAAB3NzaC1yc2E="]


def test_pins(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert pinned_keys(project.known_hosts) == {}
    pins.pin(project, "jon", KEYS)
    pins.pin(project, "sara", KEYS[:1])
    pins.pin(project, "jon", KEYS[1:])
    assert pinned_keys(project.known_hosts) == {"jon": (KEYS[1],), "sara": (KEYS[0],)}
    assert sorted(path.name for path in project.keys.iterdir()) == ["known_hosts"]


def test_pins_of_others_are_read(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# ours\n\njon,10.0.0.1 {KEYS[0]} comment\n@revoked * {KEYS[1]}\n|1|hashed= {KEYS[1]}\n  jon {KEYS[1]}\n"
    )
    assert pinned_keys(file) == {"jon": tuple(sorted(KEYS)), "10.0.0.1": (KEYS[0],)}


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no ssh-keygen here")
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    shown = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert pins.fingerprint(key).split() == ["ssh-ed25519", shown.split()[1]]


def test_a_machine_that_does_not_answer_has_no_keys_to_pin() -> None:
    with pytest.raises(Faults, match="is not reached by SSH: dir:x"):
        pins.scan(found("dir:x"))
    if shutil.which("ssh-keyscan"):
        with pytest.raises(Faults, match="jon shows no host keys"):
            pins.scan(found("root@127.0.0.1:1"))
