"""The daemon: its start, its API, and the requests between nodes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import string
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .member import Joined
from .records import Controller

Json = dict[str, Any]
_IDENTITY = re.compile(r"[0-9a-fA-F]{10}:0:[0-9a-fA-F]{128}:[0-9a-fA-F]{128}")
_NETWORK = re.compile(r"/network/([0-9a-fA-F]{16})")
_MOON = re.compile(r"/moon/([0-9a-fA-F]{10})")  # a longer id cannot be named
_CONTROLLED = re.compile(r"/controller/network/([0-9a-fA-F]{16})")
_MEMBER_LIST = re.compile(r"/controller/network/([0-9a-fA-F]{16})/member")
_MEMBER = re.compile(r"/controller/network/([0-9a-fA-F]{16})/member/([0-9a-fA-F]{10})")
_ALPHABET = string.ascii_lowercase + string.digits
_ONLINE = 130.0  # guess: seconds after its last request for which a member gets what changes
_MOON_TYPE = 127


class Node:
    """One node; `lock` is held by whoever looks at it or changes it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings = self._local_conf()
        self.identity = self._identity()
        self.address = self.identity[:10]
        self.token = self._token("authtoken.secret")
        self._token("metricstoken.secret")
        for name in ("networks.d", "moons.d", "peers.d"):
            (home / name).mkdir(exist_ok=True)
        self.lock = threading.RLock()
        self.controller = Controller(home) if os.environ.get("STAND_IN_CONTROLLER", "1") == "1" else None
        self.moons = self._moons()
        self.tap = os.environ.get("STAND_IN_TAP") == "1"
        self.joined: dict[str, Joined] = {}
        self.heard: dict[str, tuple[str, int]] = {}
        self.asked: dict[tuple[str, str], tuple[float, str, tuple[str, int]]] = {}
        (home / "planet").write_bytes(bytes(570))
        _give_to_its_user(home)
        for path in sorted((home / "networks.d").glob("*.conf")):
            if re.fullmatch(r"[0-9a-fA-F]{16}\.conf", path.name):
                self.join(path.stem.lower())
        given = [int(each[2:]) for each in sys.argv[1:] if each.startswith("-p")]
        self.port = given[0] if given else int(self.settings.get("primaryPort", 9993))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("", self.port))
        self.port = self.socket.getsockname()[1]

    def join(self, network: str) -> None:
        """Join a network; it is not listed if its interface cannot be opened."""
        try:
            self.joined[network] = Joined(self.home, network, self.address, tap=self.tap)
        except OSError as error:
            sys.stderr.write(f"unable to configure virtual network port: could not open TUN/TAP device: {error}\n")

    def _local_conf(self) -> Json:
        path = self.home / "local.conf"
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            sys.exit("ERROR: unable to parse local.conf (JSON parse error)")
        return dict(found.get("settings", {}))

    def _identity(self) -> str:
        path, public = self.home / "identity.secret", self.home / "identity.public"
        text = path.read_text().strip() if path.exists() else ""
        fresh = not text
        if fresh:  # guess: its address does not belong to its key, which would take seconds
            text = f"{secrets.randbelow(0xFEFFFFFFFF) + 1:010x}:0:{secrets.token_hex(64)}:{secrets.token_hex(64)}"
            path.write_text(text)
        if not _IDENTITY.fullmatch(text):
            sys.exit(
                "fatal error: invalid identity loaded from disk. Please remove identity.public and identity.secret"
            )
        path.chmod(0o600)
        wanted = text.rpartition(":")[0]
        if fresh or (public.exists() and public.read_text() != wanted):
            public.write_text(wanted)
        return wanted

    def _token(self, name: str) -> str:
        path = self.home / name
        if not path.exists():
            path.write_text("".join(secrets.choice(_ALPHABET) for _ in range(24)))
            path.chmod(0o600)
        return path.read_text().strip()

    def _moons(self) -> dict[str, int]:
        """Return the timestamps of the moons whose file has the name of its id; signatures are not verified."""
        found = {}
        for path in sorted((self.home / "moons.d").glob("*.moon")):
            content = path.read_bytes()
            number = content[1:9].hex()
            if content[:1] == bytes([_MOON_TYPE]) and path.name == f"{number}.moon":
                found[number] = int.from_bytes(content[9:17], "big")
        return found

    # Requests between nodes

    def listen(self) -> None:
        """Answer and take messages, for ever."""
        while True:
            data, source = self.socket.recvfrom(65536)
            message = json.loads(data)
            with self.lock:
                self._take(message, source)

    def _take(self, message: Json, source: tuple[str, int]) -> None:
        sender, network = message["identity"][:10], message["network"]
        if message["is"] == "request":
            if self.controller is not None and network.startswith(self.address):
                self.heard[sender] = source
                self.asked[network, sender] = (time.monotonic(), message["identity"], source)
                self._answer(network, message["identity"], source)
        elif network in self.joined and network.startswith(sender):
            self.heard[sender] = source
            if message["is"] == "revocation":
                self.joined[network].cut.add(message["member"])
            else:
                self.joined[network].received(message["status"], message["config"])

    def _answer(self, network: str, identity: str, source: tuple[str, int]) -> None:
        assert self.controller
        status, config = self.controller.request(network, identity)
        self.send(source, {"is": "answer", "network": network, "status": status, "config": config})

    def ask(self) -> None:
        """Ask the controllers of all networks, for ever: once a minute, and more often until there is an answer."""
        minute = float(os.environ.get("STAND_IN_MINUTE", "60"))
        last: dict[str, float] = {}
        while True:
            with self.lock:
                for network, joined in self.joined.items():
                    waiting = joined.status == "REQUESTING_CONFIGURATION"
                    if time.monotonic() - last.get(network, -minute) >= (min(5, minute) if waiting else minute):
                        last[network] = time.monotonic()
                        for node in self._nodes():
                            self.send(node, {"is": "request", "network": network})
            time.sleep(0.05)

    def _nodes(self) -> list[tuple[str, int]]:
        listed = [each for each in os.environ.get("STAND_IN_NODES", "").split(",") if each]
        pairs = [each.rpartition(":") for each in listed]
        return [("127.0.0.1", self.port), *((host, int(port)) for host, _, port in pairs)]

    def send(self, node: tuple[str, int], message: Json) -> None:
        """Send a message; it may be lost."""
        with contextlib.suppress(OSError):
            self.socket.sendto(json.dumps({**message, "identity": self.identity}).encode(), node)

    def push(self, network: str) -> None:
        """Send a network's configuration to the members that have asked lately."""
        for (of, _), (when, identity, source) in self.asked.items():
            if of == network and time.monotonic() - when < _ONLINE:
                self._answer(network, identity, source)

    def revoke(self, network: str, member: str) -> None:
        """Tell the members that have asked lately that one is no member any more."""
        for (of, _), (when, _, source) in self.asked.items():
            if of == network and time.monotonic() - when < _ONLINE:
                self.send(source, {"is": "revocation", "network": network, "member": member})

    # The API

    def respond(self, method: str, path: str, body: Json) -> tuple[int, object]:  # noqa: PLR0911 - one for each path
        """Return the status and the answer to a request."""
        if path == "/status":
            return 200, {
                "address": self.address,
                "publicIdentity": self.identity,
                "online": True,
                "version": "1.14.1",
                "config": {"settings": {"primaryPort": self.port, **self.settings}},
            }
        if path == "/network":
            return 200, [each.shown() for each in self.joined.values()]
        if path == "/moon":
            return 200, [{"id": each, "timestamp": at, "waiting": False} for each, at in self.moons.items()]
        if path == "/peer":
            return 200, [
                {"address": each, "version": "1.14.1", "role": "LEAF", "latency": 1, "paths": [{"address": f"{at}"}]}
                for each, at in self.heard.items()
            ]
        if path == "/stand-in":  # what only the stand-in shows
            return 200, {
                network: {"cut": sorted(each.cut), "accepted": each.accepted(), **each.config}
                for network, each in self.joined.items()
            }
        if found := _MOON.fullmatch(path):
            if method == "DELETE":
                self.moons.pop(f"000000{found[1]}", None)
                (self.home / f"moons.d/000000{found[1]}.moon").unlink(missing_ok=True)
            return 200, {"result": True}
        if found := _NETWORK.fullmatch(path):
            return self._network(method, found[1].lower(), body)
        return self._controlled(method, path, body) if path.startswith("/controller") else (404, None)

    def _network(self, method: str, network: str, body: Json) -> tuple[int, object]:
        joined = self.joined.get(network)
        if method == "DELETE":
            if joined:
                self.joined.pop(network).leave()
            return 200, {"result": True} if joined else {}
        if method == "POST":
            if joined is None:
                self.join(network)
            self.joined[network].permit(**{key: bool(value) for key, value in body.items() if key.startswith("allow")})
        return (200, self.joined[network].shown()) if network in self.joined else (404, None)

    def _controlled(self, method: str, path: str, body: Json) -> tuple[int, object]:
        if (controller := self.controller) is None:
            return 404, None  # guess
        if path == "/controller":
            return 200, {"controller": True, "apiVersion": 4, "databaseReady": True}
        if found := _CONTROLLED.fullmatch(path):
            return self._network_record(controller, method, found[1].lower(), body)
        found = _MEMBER.fullmatch(path) or _MEMBER_LIST.fullmatch(path)
        if not found or found[1] not in controller.networks:
            return (200, sorted(controller.networks)) if path == "/controller/network" else (404, None)
        if found.re is _MEMBER:
            return self._member_record(controller, method, found[1], found[2], body)
        return 200, {address: each.get("revision", 0) for address, each in controller.members[found[1]].items()}

    def _network_record(self, controller: Controller, method: str, network: str, body: Json) -> tuple[int, object]:
        if method == "POST":
            record = controller.post_network(network, body)
            self.push(network)
            return 200, record
        if network not in controller.networks:
            return 404, None
        return 200, controller.delete_network(network) if method == "DELETE" else controller.networks[network]

    def _member_record(
        self, controller: Controller, method: str, network: str, address: str, body: Json
    ) -> tuple[int, object]:
        before = dict(controller.members[network].get(address, {}))
        if method == "POST":
            record = controller.post_member(network, address, body)
            if before.get("authorized") and not record["authorized"]:
                self.revoke(network, address)
            elif (network, address) in self.asked and record["authorized"]:
                self._answer(network, *self.asked[network, address][1:])
            return 200, record
        if not before:
            return 404, None
        return 200, controller.delete_member(network, address) if method == "DELETE" else before


def serve(node: Node) -> ThreadingHTTPServer:
    """Return the server of the API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 2**16  # head and body in one packet

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            status: int
            found: object
            if self.headers.get("X-ZT1-Auth") != node.token:
                status, found = 401, None
            else:
                try:
                    body = json.loads(text) if text else {}
                except ValueError:
                    body = {}
                with node.lock:
                    status, found = node.respond(self.command, self.path, body if isinstance(body, dict) else {})
            content = b"" if found is None else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names of the base class

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", node.port), Handler)
    server.daemon_threads = True
    return server


def _give_to_its_user(home: Path) -> None:
    """Make all files those of the user zerotier-one, if there is one, as the daemon does before it drops root."""
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            if path.is_symlink():
                continue
            try:
                shutil.chown(path, "zerotier-one", "zerotier-one")
            except LookupError:
                return


def main() -> None:
    """Run the daemon in the home folder that the last argument names."""
    home = Path(next((each for each in sys.argv[:0:-1] if not each.startswith("-")), "/var/lib/zerotier-one"))
    node = Node(home)
    server = serve(node)
    (home / "zerotier-one.port").write_text(str(node.port))
    (home / "zerotier-one.pid").write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for work in (node.listen, node.ask):
        threading.Thread(target=work, daemon=True).start()
    server.serve_forever()


main()
