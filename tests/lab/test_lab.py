from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolecall.errors import Faults
from rolecall.lab import Lab, access, base, find, relay
from rolecall.lab.control import Control
from rolecall.lab.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import LabFactory


def out(lab: Lab, machine: str, *argv: str) -> str:
    return lab.run(machine, *argv).stdout.decode().strip()


def until(true: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# Tests that need no machine


def test_reads_both_formats_of_apt_sources(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://old.test/debian bookworm main\n"
        "deb [signed-by=/x arch=amd64] https://a.test/debian/ bookworm main contrib # a remark\n"
        "deb-src http://a.test/debian bookworm main\n"
        "deb http://vendor.test/apt stable main\n"
    )
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "# a remark\nTypes: deb deb-src\nURIs: http://b.test/debian\nSuites: bookworm\n bookworm-updates\n"
        "Components: main\n\nEnabled: no\nTypes: deb\nURIs: http://c.test/debian\nSuites: bookworm\n"
        "Components: main\n\nTypes: deb\nURIs: http://s.test/debian-security\n# in between\n"
        "Suites: bookworm-security\nComponents: main\n"
    )
    (tmp_path / "sources.list.d/off.list.disabled").write_text("deb http://d.test/debian bookworm main\n")
    assert [str(source) for source in base.sources(tmp_path, suite="bookworm")] == [
        "deb http://a.test/debian bookworm main contrib",
        "deb http://b.test/debian bookworm main",
        "deb http://b.test/debian bookworm-updates main",
        "deb http://s.test/debian-security bookworm-security main",
    ]
    assert [str(source) for source in base.sources(tmp_path, suite="trixie", own="bookworm")][2:] == [
        "deb http://b.test/debian trixie-updates main",
        "deb http://s.test/debian-security trixie-security main",
    ]
    assert [str(source) for source in base.sources(tmp_path, suite="sid", own="bookworm")] == [
        "deb http://a.test/debian sid main contrib",
        "deb http://b.test/debian sid main",
    ]
    with pytest.raises(Faults, match="no trixie"):
        base.sources(tmp_path, suite="trixie", own="sid")


def test_the_environment_sets_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("ROLECALL_CACHE", raising=False)
    assert base.cache() == Path("/x/rolecall")
    monkeypatch.setenv("ROLECALL_CACHE", "/own")
    assert base.cache() == Path("/own")


def test_relay_carries_both_ways_and_half_closes() -> None:
    behind = socket.create_server(("127.0.0.1", 0))
    front = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=relay.serve, args=(front, behind.getsockname()), daemon=True).start()
    data = os.urandom(3_000_000)
    with socket.create_connection(front.getsockname()) as client:
        machine, _ = behind.accept()
        with machine, ThreadPoolExecutor() as pool:
            arrived = pool.submit(machine.makefile("rb").read)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert arrived.result() == data
            machine.sendall(b"answer")
            machine.shutdown(socket.SHUT_WR)
            assert client.makefile("rb").read() == b"answer"
    behind.close()
    with socket.create_connection(front.getsockname()) as client:  # nobody is there
        assert client.recv(1) == b""


def test_proxy_serves_its_mirrors_and_nothing_else(tmp_path: Path) -> None:
    mirrors = {"http://m.test/debian": "https://real.test/deb"}
    with socket.create_server(("127.0.0.1", 0)) as listening, Proxy(listening, tmp_path, mirrors) as proxy:
        assert proxy.real("http://m.test/debian/pool/a.deb") == "https://real.test/deb/pool/a.deb"
        for other in ("http://m.test/debianX/a", "http://m.test/debian/../a", "http://127.0.0.1/", "/etc/passwd"):
            assert proxy.real(other) is None


def test_the_boss_answers_on_its_socket(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    directory.mkdir()
    options = {"directory": str(directory), "packages": "", "gateway": "", "proxy_port": 0,
               "group": "rolecall-lab-none", "host_network": 0, "disk": False, "tied": False}  # fmt: skip
    serve = "import json, sys; from rolecall.lab.boss import *; Boss(Options(**json.loads(sys.argv[1]))).serve()"
    control = Control(directory)
    assert (control.is_up(), control.boss()) == (False, None)
    with subprocess.Popen([sys.executable, "-c", serve, json.dumps(options)]) as boss:
        until(control.is_up)
        assert control.boss() == boss.pid
        assert control.request("status") == {"running": {}, "unplugged": []}
        with pytest.raises(Faults, match="lab start: KeyError"):
            control.request("start", machine="nobody")
        with pytest.raises(OSError, match="the lab has stopped"):
            control.request("down")
    assert not directory.exists()


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs ssh")
def test_ssh_reads_the_files_for_it(tmp_path: Path) -> None:
    directory = tmp_path / "100% lab"
    directory.mkdir()
    assert access.read(directory) == {}
    access.write(directory, {"web": {"port": 4022, "host_key": "ssh-ed25519 KEY"}})
    assert access.read(directory)["web"]["port"] == 4022
    resolved = subprocess.run(["ssh", "-F", directory / "ssh_config", "-G", "web"], capture_output=True, check=True)
    lines = resolved.stdout.decode().splitlines()
    assert {"port 4022", "hostkeyalias web", f"identityfile {directory}/id".replace("%", "%%")} <= set(lines)
    assert (directory / "known_hosts").read_text() == "web ssh-ed25519 KEY\n"


def test_find_returns_none_without_a_lab(tmp_path: Path) -> None:
    assert find(tmp_path / "lab") is None
    lab = Lab(tmp_path / "lab", ["a"])
    assert lab.running() == {}
    lab.down()
    assert not (tmp_path / "lab").exists()


@pytest.mark.lab
@pytest.mark.parametrize("name", ["-rf", "a.b", "", "a\n", "ü", "../a"])
def test_an_invalid_name_is_refused_before_anything_is_created(tmp_path: Path, name: str) -> None:
    with pytest.raises(Faults, match="cannot name"):
        Lab(tmp_path / "lab", [name]).up()
    assert not (tmp_path / "lab").exists()


# On machines


def test_machines_are_whole_debian_systems(lab: Lab) -> None:
    assert lab.running() == {"web": True, "backup_server": True}
    for machine in lab.machines:
        assert out(lab, machine, "systemctl", "is-system-running", "--wait") == "running"
    assert out(lab, "backup_server", "hostname") == "backup-server"
    assert out(lab, "web", "echo", "two  words", "$HOME;") == "two  words $HOME;"
    assert lab.run("web", "cat", input=b"\0data").stdout == b"\0data"
    assert lab.run("web", "false", check=False).returncode == 1


def test_machines_reach_each_other_by_name(lab: Lab) -> None:
    lab.run("web", "ping", "-c1", "-W2", "backup_server")
    lab.run("backup_server", "ping", "-c1", "-W2", "web")
    assert out(lab, "web", "getent", "hosts", "backup-server").startswith("10.77.0.12")


def test_admin_may_sudo(lab: Lab) -> None:
    ssh = ["ssh", "-F", str(lab.ssh_config), "-l", "admin", "web", "sudo -n id -u"]
    assert subprocess.check_output(ssh) == b"0\n"


def test_a_package_installs_from_the_cache(lab: Lab) -> None:
    lab.run("web", "apt-get", "install", "-qq", "-y", "hello")
    assert out(lab, "web", "hello") == "Hello, world!"


def test_private_files_are_not_readable_by_others(lab: Lab) -> None:
    assert lab.directory.stat().st_mode & 0o777 == 0o700
    for name in ("id", "control"):
        assert (lab.directory / name).stat().st_mode & 0o777 == 0o600


def test_find_returns_a_running_lab(lab: Lab) -> None:
    found = find(lab.directory)
    assert found is not None
    assert found.machines == ("web", "backup_server")
    assert found.up() == {}


def test_a_reboot_keeps_the_disk(lab: Lab) -> None:
    boot_id = ("cat", "/proc/sys/kernel/random/boot_id")
    before = out(lab, "web", *boot_id)
    lab.run("web", "touch", "/root/kept")
    assert list(lab.reboot("web")) == ["web"]
    assert out(lab, "web", *boot_id) != before
    lab.run("web", "test", "-e", "/root/kept")
    assert lab.running()["web"]


def test_power_loss_and_power_on(lab: Lab) -> None:
    lab.kill("backup_server")
    assert lab.running() == {"web": True, "backup_server": False}
    assert lab.run("backup_server", "true", check=False).returncode == 255
    lab.start("backup_server")
    lab.wait(["backup_server"])
    lab.run("web", "ping", "-c1", "-W2", "backup_server")


def test_up_boots_what_is_off(lab: Lab) -> None:
    lab.run("backup_server", "touch", "/root/kept")
    lab.kill("backup_server")
    assert list(lab.up()) == ["backup_server"]
    lab.run("backup_server", "test", "-e", "/root/kept")
    assert lab.up() == {}


def test_a_link_is_cut_and_plugged(lab: Lab) -> None:
    lab.cut("backup_server")
    assert lab.run("web", "ping", "-c1", "-W1", "backup_server", check=False).returncode == 1
    with pytest.raises(Faults, match="no login within 1 s: backup_server"):
        lab.wait(["backup_server"], timeout=1)
    lab.plug("backup_server")
    lab.wait()


def test_unknown_machines_are_faults(lab: Lab) -> None:
    with pytest.raises(Faults, match="no machine 'nobody'"):
        lab.kill("nobody")


def test_two_labs_at_once_and_a_machine_added_later(lab: Lab, lab_factory: LabFactory) -> None:
    other = lab_factory("web", disk=True)
    other.run("web", "touch", "/root/other")
    assert lab.run("web", "test", "-e", "/root/other", check=False).returncode == 1
    assert [*Lab(other.directory, ["web", "Late-Comer"]).up()] == ["Late-Comer"]
    other.run("web", "ping", "-c1", "-W2", "Late-Comer")
    assert other.running() == {"web": True, "Late-Comer": True}
    other.down()
    assert not other.directory.exists()
    lab.run("web", "true")


def leftovers(directory: Path) -> list[str]:
    """Return what is left of the lab in a directory, anywhere on this computer."""
    group = Lab(directory, ())._group  # noqa: SLF001 - what is left has this name, and the lab itself is gone
    processes = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            texts = (path / "cmdline").read_text() + (path / "cgroup").read_text()
        except OSError:
            continue
        processes += [str(path)] if str(directory) in texts or group in texts else []
    # Unlike glob, walk does not mind a folder that goes while it is looked at.
    cgroups = [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if Path(folder).name == group]
    links = re.findall(r"(?:vb-m\d+|lab0)\b", subprocess.check_output(["ip", "link"], text=True))
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/run/lab" in line]
    return processes + cgroups + links + mounts + ([str(directory)] if directory.exists() else [])


@pytest.mark.lab
def test_a_killed_owner_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    text = f"from pathlib import Path; from rolecall.lab import Lab\nLab(Path({str(directory)!r}), ['a', 'b'])"
    text += ".up(tied=True); print('up', flush=True); input()"
    environment = os.environ | {"PYTHONPATH": str(Path(base.__file__).parents[2])}
    argv = [sys.executable, "-c", text]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=environment) as harness:
        assert harness.stdout
        assert harness.stdout.readline() == b"up\n"
        assert leftovers(directory)
        harness.send_signal(signal.SIGKILL)
    until(lambda: not leftovers(directory))


@pytest.mark.lab
def test_machines_end_with_a_killed_boss_and_down_cleans_up(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", ["a"])
    lab.up()
    try:
        boss = lab._process  # noqa: SLF001 - no part of the program kills it
        assert boss
        boss.kill()
        boss.wait()
        until(lambda: lab.running() == {})
        until(lambda: find(lab.directory) is None)  # what dies with the boss may hold its socket a moment longer
    finally:
        lab.down()
    until(lambda: not leftovers(lab.directory))


@pytest.mark.lab
def test_deleting_the_folder_ends_the_lab(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", ["a"])
    lab.up()
    shutil.rmtree(lab.directory)
    until(lambda: not leftovers(lab.directory))


@pytest.mark.lab
def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text("[machines.one]\n")

    def rolecall(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "rolecall", "-C", str(tmp_path), "lab", *words]
        environment = os.environ | {"PYTHONPATH": str(Path(base.__file__).parents[2])}
        return subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)

    assert "error: the lab is down\nhint: " in rolecall("run", "one", "--", "true").stderr
    try:
        up = rolecall("up", "--json")
        assert [*json.loads(up.stdout)["machines"]] == ["one"], up.stderr
        assert rolecall("up").stdout == "all machines are running already\n"
        assert json.loads(rolecall("status", "--json").stdout) == {"machines": {"one": True}, "unplugged": []}
        assert rolecall("run", "one", "--", "echo", "a  b").stdout == "a  b\n"
        assert rolecall("run", "one", "sh", "-c", "exit 3").returncode == 3
        assert rolecall("run", "--all", "--", "echo", "a  b").stdout == "one: a  b\n"
        assert rolecall("run", "one").returncode == 2
        assert "did you mean 'one'?" in rolecall("run", "ome", "--", "true").stderr
    finally:
        assert rolecall("down").returncode == 0
    assert not (tmp_path / ".rolecall/lab").exists()
