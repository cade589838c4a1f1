"""A connection to a machine is cut, in the middle of each frame of either side: the run goes through all the same."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from fleets import DECIDED, META, no_secrets

from rolecall.deploy.fleet import Fleet
from rolecall.deploy.machine import MachineUpdate
from rolecall.deploy.target import Target
from rolecall_agent.configuration import Check, Configuration
from rolecall_agent.frames import meeting_point
from rolecall_agent.resources import Action, File

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.model.plan import Report

pytestmark = pytest.mark.slow

# Stands for the relay on a machine: starts an agent that outlives it, or joins the one that is there. When the file
# "cut" names a side and a number, it ends in the middle of this frame of this side, instead of passing it on.
RELAY = """
import json, os, socket, subprocess, sys, threading
from pathlib import Path
from rolecall_agent import frames

folder, root, service, name = Path(sys.argv[1]), *sys.argv[2:]
if name:
    agent = socket.socket(socket.AF_UNIX)
    try:
        agent.connect("\\0" + name)
    except OSError:
        sys.exit("the agent has ended")
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen()
    argv = [sys.executable, "-c", service, root, listener.getsockname()[1:].decode()]
    subprocess.Popen(argv, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    agent, _ = listener.accept()
cut = folder / "cut"
cut_side, number = json.loads(cut.read_text()) if cut.exists() else ("", 0)

def copy(side, source, write):
    left = number
    while frame := frames.read_frame(source):
        data = frames.frame(*frame)
        if side == cut_side and frame[0]["type"] not in {"alive", "end"}:
            if not left:
                cut.unlink()
                write(data[:7])
                os._exit(255)
            left -= 1
        write(data)
    os._exit(0)

def write(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()

threading.Thread(target=copy, args=("up", sys.stdin.buffer, agent.sendall), daemon=True).start()
source = agent.makefile("rb")
frames.skip_banner(source)
write(frames.MARKER)
copy("down", source, write)
"""
# Stands for the bootstrap, of a recorded system.
SERVICE = """
import socket, sys
from rolecall_agent import archive, bootstrap, frames, wire

root, name = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(bootstrap.SILENCE)
connection.connect("\\0" + name)
connection.sendall(frames.MARKER)
source = connection.makefile("rb")
first, _ = bootstrap.receive(source)
bootstrap.install(root, first["agent"], lambda: archive.build()[1])
sys.exit(wire.serve(first, source, None, root, connection))
"""


class Remote(Target):
    def agent(self, *, asks: bool = True, token: str = "", module: str = "wire") -> list[str]:  # noqa: ARG002 - as of a target
        folder = self.text
        name = meeting_point(token) if token else ""
        return [sys.executable, "-c", RELAY, folder, f"{folder}/anna", SERVICE, name]


def update(folder: Path, steps: list[tuple[str, str]]) -> Report:
    resources = (File("/etc/greeting", "hello"), File("/etc/other", "other"), Action("once", ("count",)))
    checks = (Check("peers", ("true",), peers=True),)
    targets = (Remote("anna", str(folder)), Target("ben", "ben", root=folder / "ben"))
    wanted = [MachineUpdate([it], 0, Configuration.of(it.machine, resources, checks), {}) for it in targets]
    with Fleet(wanted, lambda machine, text: steps.append((machine, text))) as fleet:
        fleet.look()
        return fleet.apply(META, no_secrets, folder / DECIDED)


@pytest.mark.parametrize("side", ["up", "down"])
def test_a_connection_that_is_cut_anywhere(tmp_path: Path, side: str) -> None:
    for number in range(1, 100):  # not 0: before the state is known, there is nothing to go on with
        folder = tmp_path / f"{side}{number}"
        folder.mkdir()
        cut = folder / "cut"
        cut.write_text(json.dumps([side, number]))
        steps: list[tuple[str, str]] = []
        report = update(folder, steps)
        again = [machine for machine, text in steps if text == "connection lost, connected again"]
        assert report.with_result("updated") == ["anna", "ben"], (number, report)
        for name in ("anna", "ben"):
            record = json.loads((folder / name / "var/lib/rolecall/system.json").read_text())
            assert record["commands"].count(["count"]) == 1
            assert (folder / name / "etc/greeting").read_text() == "hello"
            assert not (folder / name / "var/lib/rolecall/journal.json").exists()
            assert (folder / name / "var/lib/rolecall/current").readlink().name == "1"
        if cut.exists():
            assert again == []
            assert number > 8, "so many frames there are at least"
            return
        assert again == ["anna"], number
