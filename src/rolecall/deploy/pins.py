"""Pinning host keys by machine name in the project's own known_hosts file."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from typing import TYPE_CHECKING

from rolecall.errors import fault

if TYPE_CHECKING:
    from rolecall.deploy.target import Target
    from rolecall.project import Project


def scan(target: Target) -> list[str]:
    """The host keys that a machine shows now, each ``TYPE BASE64``, sorted. Nobody vouches for them yet.

    Raises:
        Faults: When it is no SSH target or does not answer.
    """
    if not target.host:
        raise fault(f"{target.machine} is not reached by SSH: {target.text}")
    port = target.ssh[target.ssh.index("-p") + 1] if "-p" in target.ssh else "22"
    argv = ["ssh-keyscan", "-T", "10", "-p", port, "--", target.host]
    found = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    keys = sorted(" ".join(line.split()[1:3]) for line in found.splitlines() if line and not line.startswith("#"))
    if not keys:
        raise fault(f"{target.machine} shows no host keys at {target.host} port {port}", hint="is sshd running there?")
    return keys


def fingerprint(key: str) -> str:
    """A key's type and SHA-256 fingerprint, as ssh-keygen(1) -l prints it."""
    kind, data = key.split()
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(data)).digest()).decode().rstrip("=")
    return f"{kind} SHA256:{digest}"


def pin(project: Project, machine: str, keys: list[str]) -> None:
    """Makes these the only pinned keys of a machine."""
    path = project.known_hosts
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.is_file() else []
    kept = [line for line in lines if line.split(" ")[0] != machine]
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(f"{line}\n" for line in [*kept, *(f"{machine} {key}" for key in keys)]))
    fresh.replace(path)
