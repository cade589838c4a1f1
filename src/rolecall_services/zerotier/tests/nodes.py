"""Nodes in folders: what Rolecall declares for a machine, its program, and the stand-in for the daemon."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.service import File, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.testing import Evaluated

SOURCE = Path(__file__).parents[3]
NODE = "etc/rolecall/zerotier.node"
HOME = "var/lib/zerotier-one"
SOON = 15.0


class Node:
    """One machine.

    Attributes:
        root: The folder that stands for its root directory.
        address: Its address.
    """

    def __init__(self, root: Path, nodes: Callable[[], str]) -> None:
        self.root, self._nodes = root, nodes
        self.home = root / HOME
        self.port = _free_port()
        self.process: subprocess.Popen[str] | None = None
        self.environment: dict[str, str] = {}

    @property
    def address(self) -> str:
        address: str = json.loads((self.root / NODE / "node.json").read_text())["address"]
        return address

    def install(self, result: Evaluated, machine: str) -> None:
        """Write the files of a machine, as an update does."""
        for key, file in result.resources(machine, File).items():
            if "/apt/" not in key:
                path = self.root / file.path.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                plain = [part.data or b"" for part in file.parts if not isinstance(part, Secret)]
                path.unlink(missing_ok=True)
                path.write_bytes(result.text(machine, key).encode() if file.secrets else b"".join(plain))
                path.chmod(file.mode)
        for path in {*(self.root / NODE).glob("*.moon")}:
            if f"file:/{NODE}/{path.name}" not in result.resources(machine):
                path.unlink()

    def run(self, *words: str, status: int = 0) -> str:
        """Run the program, which must end with this status; return what it says."""
        argv = [str(self.root / NODE / "zerotier"), "--root", str(self.root), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **self.environment})
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def start(self, *, place: bool = True) -> None:
        """Start the daemon, after the program has placed its files."""
        if place:
            self.run("place")
        argv = [sys.executable, "-m", "rolecall_services.zerotier.tests.stand_in", f"-p{self.port}", str(self.home)]
        variables = {"PYTHONPATH": str(SOURCE), "STAND_IN_NODES": self._nodes(), "STAND_IN_MINUTE": "0.3"}
        self.process = subprocess.Popen(argv, env={**os.environ, **variables, **self.environment}, text=True)
        until = time.monotonic() + SOON
        while True:
            assert self.process.poll() is None, "the daemon has ended"
            try:
                self.get("/status")
            except (OSError, AssertionError):
                assert time.monotonic() < until
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: object = None, status: int = 200) -> Any:  # noqa: ANN401 - JSON
        """Ask the daemon, as somebody with the token does."""
        token = (self.home / "authtoken.secret").read_text()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), {"X-ZT1-Auth": token})
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status == status, f"{method} {path}: {answer.status}"
        return json.loads(text) if text else None

    def wait(self, network: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return what the daemon says about a network that it has joined, once that meets a condition."""
        until = time.monotonic() + SOON
        while True:
            shown = {**self.get(f"/network/{network}"), **self.get("/stand-in")[network]}
            if condition(shown):
                return shown
            assert time.monotonic() < until, shown
            time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
