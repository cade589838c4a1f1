"""A machine that only the mesh reaches: this computer goes through another one, and changes the mesh over itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk, DeskFactory

DEAD = "root@127.0.0.1:1"  # nobody listens there


def declare(desk: Desk, *, mtu: int = 1420, by_mesh: bool = True, far_leaves: bool = False) -> None:
    """Write an inventory in which `far` backs up to `door` over the mesh, and is reached over it alone.

    Args:
        desk: The project.
        mtu: That of the mesh.
        by_mesh: Whether `far` has a target that does not answer, and another way; otherwise the lab reaches it.
        far_leaves: Whether `far` leaves the mesh, by which it is reached.
    """
    peers = {"door": {}} if far_leaves else {"door": {}, "far": {}}
    vpn = {
        "module": {"name": "wireguard"},
        "roles": {"peer": {"machines": peers, "settings": {"userspace": True, "mtu": mtu}}},
    }
    backup = {
        "module": {"name": "borgbackup"},
        "roles": {
            "server": {"machines": {"door": {"settings": {"network": "vpn"}}}},
            "client": {"machines": {"far": {}}},
        },
    }
    place = {"host": "far.vpn", "user": "root", "jump": "door"}  # a name that door knows, and this computer does not
    internet = {"roles": {"default": {"machines": {"far": {"settings": place}} if by_mesh else {}}}}
    far: dict[str, object] = {"address": "far", "state": {"data": {"folders": ["/srv"]}}}
    far |= {"deploy": {"targetHost": DEAD}} if by_mesh else {}
    desk.write(machines={"door": {}, "far": far}, instances={"vpn": vpn, "backup": backup, "internet": internet})


@pytest.fixture(scope="module")
def desk(new_desk: DeskFactory) -> Iterator[Desk]:
    """Two machines that this computer could reach by the lab, of which `far` is then reached over the mesh alone."""
    desk = new_desk()
    declare(desk, by_mesh=False)
    desk.rolecall("keys", "create")
    desk.rolecall("lab", "up")
    desk.rolecall("update", "--yes")
    lab = desk.root / ".rolecall/lab"
    [pinned] = [line for line in (lab / "known_hosts").read_text().splitlines() if line.startswith("far ")]
    (desk.root / "keys/known_hosts").write_text(f"{pinned}\n")
    with ssh_agent(lab / "id") as socket:
        desk.environment["SSH_AUTH_SOCK"] = socket
        declare(desk)
        yield desk


@contextmanager
def ssh_agent(key: Path) -> Iterator[str]:
    """Run an SSH agent that has a key, and yield its socket."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/agent"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 10
            while not Path(socket).exists():
                assert time.monotonic() < until
                time.sleep(0.05)
            subprocess.run(["ssh-add", "-q", str(key)], env=os.environ | {"SSH_AUTH_SOCK": socket}, check=True)
            yield socket
        finally:
            process.terminate()
            process.wait()


def mtu(desk: Desk, machine: str = "far") -> str:
    found = re.search(r" mtu (\d+) ", desk.on(machine, "ip link show vpn-a"))
    assert found
    return found[1]


def ways(desk: Desk, machine: str) -> dict[str, str]:
    """Return why a machine does not answer, or "", by the name of each of its networks, in their order."""
    answers = desk.json("network", machine, "--real")[machine]
    return {answer["network"]: answer["problem"] for answer in answers}


def test_the_first_way_that_answers_is_used(desk: Desk) -> None:
    found = ways(desk, "far")
    assert list(found) == ["", "internet", "vpn"]
    assert "Connection refused" in found[""]
    assert found["internet"] == ""
    assert found["vpn"], "this computer is not in the mesh"
    assert desk.rolecall("ssh", "--real", "far", "cat /etc/hostname; whoami").stdout == "far\nroot\n"
    assert ways(desk, "door") == {"": ""}


def test_a_backup_goes_over_the_network_that_its_server_names(desk: Desk) -> None:
    desk.on("far", "mkdir -p /srv && echo precious >/srv/file")
    plan = json.loads(desk.on("far", "cat /etc/rolecall/backup/backup.json"))
    address = re.search(r"@\[(fd[0-9a-f:]+)\]", plan["repositories"]["door"])
    assert address
    assert f"{address[1]}/128 " in desk.on("door", "ip -o -6 address show dev vpn-a | sed 's,/64,/128,'")
    assert "far-" in desk.rolecall("backups", "create", "--real", "far").stdout
    desk.on("far", "rm /srv/file")
    desk.rolecall("backups", "restore", "--real", "far", "--yes")
    assert desk.on("far", "cat /srv/file") == "precious\n"


def test_the_mesh_is_changed_over_the_mesh(desk: Desk) -> None:
    assert mtu(desk) == "1420"
    declare(desk, mtu=1390)
    done = desk.rolecall("update", "--real", "--yes")
    assert "far: unreachable by ssh root@127.0.0.1:1: " in done.stderr
    assert "2 machines updated" in done.stdout
    assert (mtu(desk), mtu(desk, "door")) == ("1390", "1390")
    assert "nothing changes" in desk.rolecall("plan", "--real").stdout


def test_what_cuts_the_way_of_the_run_is_undone(desk: Desk) -> None:
    before = mtu(desk)
    declare(desk, mtu=1380, far_leaves=True)
    done = desk.rolecall("update", "--real", "--yes", status=1)
    assert re.search(r"^ *far .*(restored|unreachable)", done.stdout, re.MULTILINE), done.stdout
    assert ways(desk, "far")["internet"] == ""
    assert (mtu(desk), mtu(desk, "door")) == (before, before)
    declare(desk, mtu=int(before))
    assert "nothing changes" in desk.rolecall("plan", "--real").stdout
