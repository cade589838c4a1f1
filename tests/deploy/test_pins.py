"""Host keys, pinned by machine name; read from a real sshd."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall.deploy import pins
from rolecall.deploy.target import Target, find_target, pinned_keys
from rolecall.errors import Faults
from rolecall.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Project(Path("/srv/a project"))


def found(target_host: str) -> Target:
    target = find_target(PROJECT, "jon", target_host, None)
    assert isinstance(target, Target)
    return target


KEYS = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "ssh-rsa AAAAB3NzaC1yc2E="]


def test_pins(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert pinned_keys(project.known_hosts) == {}
    pins.pin(project, "jon", KEYS, replace=False)
    pins.pin(project, "sara", KEYS[:1], replace=False)
    pins.pin(project, "jon", KEYS[1:], replace=True)
    assert pinned_keys(project.known_hosts) == {"jon": (KEYS[1],), "sara": (KEYS[0],)}
    assert sorted(path.name for path in project.keys.iterdir()) == ["known_hosts"]


def test_pins_written_by_hand_are_read(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# ours\n\njon,10.0.0.1 {KEYS[0]} comment\n@revoked * {KEYS[1]}\n|1|hashed= {KEYS[1]}\n  jon {KEYS[1]}\n"
    )
    assert pinned_keys(file) == {"jon": tuple(sorted(KEYS)), "10.0.0.1": (KEYS[0],)}


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
def test_fingerprints_equal_those_of_ssh_keygen(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    shown = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert pins.fingerprint(key).split() == ["ssh-ed25519", shown.split()[1]]


def test_a_machine_that_does_not_answer_has_no_keys_to_pin() -> None:
    with pytest.raises(Faults, match="the target of jon is not an SSH host: dir:x"):
        pins.scan(found("dir:x"))
    if shutil.which("ssh-keyscan"):
        with pytest.raises(Faults, match="jon presents no host keys"):
            pins.scan(found("root@127.0.0.1:1"))


def test_a_line_of_several_names_keeps_the_others(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.keys.mkdir()
    kept = f"# ours, jon\n\nsara {KEYS[0]} of jon\n|1|hashed= {KEYS[1]}\n"
    project.known_hosts.write_text(f"{kept}jon,10.0.0.1 {KEYS[0]} a comment\n jon\t{KEYS[0]}\nweb,jon {KEYS[0]}\n")
    pins.pin(project, "jon", KEYS[1:], replace=True)
    assert project.known_hosts.read_text() == (f"{kept}10.0.0.1 {KEYS[0]} a comment\nweb {KEYS[0]}\njon {KEYS[1]}\n")
    assert pinned_keys(project.known_hosts)["jon"] == (KEYS[1],)


def test_other_keys_are_replaced_only_on_request(tmp_path: Path) -> None:
    project = Project(tmp_path)
    pins.pin(project, "jon", KEYS[:1], replace=False)
    pins.pin(project, "jon", KEYS[:1], replace=False)
    before = project.known_hosts.read_text()
    for keys in (KEYS[1:], KEYS):
        with pytest.raises(Faults, match=r"jon presents other host keys than the pinned ones\nhint: .* --replace"):
            pins.pin(project, "jon", keys, replace=False)
    assert project.known_hosts.read_text() == before
    pins.pin(project, "jon", KEYS, replace=True)
    assert pins.pinned(project, "jon") == KEYS


def test_a_known_hosts_file_that_is_not_utf_8(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.keys.mkdir()
    project.known_hosts.write_bytes(b"# fine\njon \xff\n")
    for read in (lambda: pinned_keys(project.known_hosts), lambda: pins.pin(project, "jon", KEYS, replace=True)):
        with pytest.raises(Faults, match=f"not UTF-8\n  at {project.known_hosts}:2"):
            read()
    assert project.known_hosts.read_bytes() == b"# fine\njon \xff\n"


def test_a_damaged_line_is_not_a_key(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("jon\njon ssh-ed25519\njon ssh-ed25519 A\n")
    assert pinned_keys(tmp_path / "known_hosts") == {"jon": ("ssh-ed25519 A",)}
    assert pins.fingerprint("ssh-ed25519 A") == "ssh-ed25519 (invalid key)"


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh and ssh-keygen")
def test_the_keys_that_the_users_own_ssh_trusts(tmp_path: Path) -> None:
    ours, revoked = KEYS
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    hashed = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    known = tmp_path / "hosts"
    known.write_text(f"web {hashed}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    with known.open("a") as file:
        file.write(f"[web]:2222,x {ours} me\nweb {revoked}\n@revoked web {revoked}\n@cert-authority web {ours}\n")
    (tmp_path / "config").write_text(f"UserKnownHostsFile {known}\nGlobalKnownHostsFile {tmp_path}/none\n")

    def trusted(target_host: str) -> list[str]:
        target = found(target_host)
        return pins.known_to_user(replace(target, ssh=("-F", str(tmp_path / "config"), *target.ssh)))

    assert trusted("root@web") == [hashed]
    assert trusted("web:2222") == [ours]
    assert trusted("store") == []
    with pytest.raises(Faults, match="is not an SSH host"):
        pins.known_to_user(found("dir:x"))


SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, list[str]]]:
    """Run a real server with two host keys; yield its port and the keys."""
    if not Path(SSHD).exists() or not shutil.which("ssh-keyscan"):
        pytest.skip("needs sshd and ssh-keyscan (Debian: openssh-server)")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    options, keys = [], []
    for kind in ("ed25519", "ecdsa"):
        file = tmp_path / f"host_{kind}"
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file], check=True)
        keys.append(" ".join(file.with_suffix(".pub").read_text().split()[:2]))
        options += ["-h", str(file)]
    Path("/run/sshd").mkdir(exist_ok=True) if getpass.getuser() == "root" else None
    argv = [SSHD, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none"]
    with subprocess.Popen([*argv, *options], stderr=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with closing(socket.socket()) as knock:
                    if not knock.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(0.02)
            yield port, sorted(keys)
        finally:
            server.terminate()


def test_scanning_the_keys_of_a_machine(sshd: tuple[int, list[str]]) -> None:
    port, keys = sshd
    assert pins.scan(found(f"127.0.0.1:{port}")) == keys


def test_an_alias_in_the_users_ssh_config(sshd: tuple[int, list[str]], tmp_path: Path) -> None:
    port, keys = sshd
    (tmp_path / "config").write_text(f"Host web\n  HostName 127.0.0.1\n  Port {port}\n")
    target = found("web")
    assert pins.scan(replace(target, ssh=("-F", str(tmp_path / "config"), *target.ssh))) == keys


def test_a_jump_host_is_named(tmp_path: Path) -> None:
    if not shutil.which("ssh-keyscan"):
        pytest.skip("needs ssh-keyscan")
    (tmp_path / "config").write_text("Host web\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump bastion\n")
    target = found("web")
    with pytest.raises(
        Faults,
        match=r"jon presents no host keys at .* port 1: ssh: Could not resolve hostname bastion: .*\nhint: check ",
    ):
        pins.scan(replace(target, ssh=("-F", str(tmp_path / "config"), *target.ssh)))
    (tmp_path / "config").write_text("Nonsense yes maybe\nPort x\n")
    with pytest.raises(Faults, match=r"ssh cannot resolve the target of jon: .*config"):
        pins.scan(replace(target, ssh=("-F", str(tmp_path / "config"), *target.ssh)))
