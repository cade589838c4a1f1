"""How a lab's machines are reached: by the files ssh_config, known_hosts and machines.json, and a port for each."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read(directory: Path) -> dict[str, dict[str, Any]]:
    """Return ``machines.json``: port, address, hostname, host key and release by machine; {} if there is none."""
    try:
        return dict(json.loads((directory / "machines.json").read_text()))
    except FileNotFoundError:
        return {}


def write(directory: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the files; machines.json last, since it implies the others."""
    common = (
        ("User", "root"),
        ("IdentityFile", _quoted(directory / "id")),
        ("IdentitiesOnly", "yes"),
        ("UserKnownHostsFile", _quoted(directory / "known_hosts")),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes"),
        ("BatchMode", "yes"),
        # Much cheaper than the default key exchange, and the connection never leaves this computer.
        ("KexAlgorithms", "curve25519-sha256"),
        ("LogLevel", "ERROR"),
    )
    hosts = "".join(
        f"Host {name}\n  HostName 127.0.0.1\n  Port {record['port']}\n  HostKeyAlias {name}\n"
        + "".join(f"  {key} {value}\n" for key, value in common)
        for name, record in records.items()
    )
    (directory / "ssh_config").write_text(hosts)
    pins = (f"{name} {record['host_key']}\n" for name, record in records.items())
    (directory / "known_hosts").write_text("".join(pins))
    new = directory / "machines.json.new"
    new.write_text(json.dumps(records, indent=2) + "\n")
    new.replace(directory / "machines.json")


def answers(port: int) -> bool:
    """Return whether an sshd answers on a port, which is cheaper than a login."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _quoted(path: Path) -> str:
    """Return a path as ssh_config(5) reads it: in quotes, with special characters escaped."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
