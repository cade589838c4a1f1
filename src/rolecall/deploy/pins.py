"""Pinning host keys by machine name in the project's own known_hosts file."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from typing import TYPE_CHECKING

from rolecall import files
from rolecall.deploy.target import pin_lines, pinned_keys
from rolecall.errors import fault, nearest

if TYPE_CHECKING:
    from rolecall.deploy.target import Target
    from rolecall.project import Project


# What a change of keys means.
OTHERS = "Either the machine was installed anew, or somebody stands between you and it and reads all that you send."


def pinned(project: Project, machine: str) -> list[str]:
    """The pinned keys of a machine, each ``TYPE BASE64``, sorted."""
    return list(pinned_keys(project.known_hosts).get(machine, ()))


def scan(target: Target) -> list[str]:
    """The host keys that a machine shows now, each ``TYPE BASE64``, sorted. Nobody vouches for them yet.

    Raises:
        Faults: When it is no SSH target or does not answer.
    """
    if not target.host:
        raise fault(f"{target.machine} is not reached by SSH: {target.text}")
    settings = _settings(target)
    host, port = settings["hostname"], settings["port"]  # as a person's ssh_config has them
    argv = ["ssh-keyscan", "-T", "10", "-p", port, "--", host]
    found = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    keys = sorted(" ".join(line.split()[1:3]) for line in found.splitlines() if line and not line.startswith("#"))
    if not keys:
        hint = "is sshd running there?"
        if jump := settings.get("proxyjump") or settings.get("proxycommand"):
            hint = (
                f"ssh-keyscan does not go through {jump!r}: read the keys on the machine itself, and write each "
                f"into keys/known_hosts as `{target.machine} TYPE KEY`"
            )
        raise fault(f"{target.machine} shows no host keys at {host} port {port}", hint=hint)
    return keys


def _settings(target: Target) -> dict[str, str]:
    """What ssh(1) makes of a target with a person's ssh_config: aliases, ports and jump hosts resolved."""
    done = subprocess.run(["ssh", "-G", *target.ssh], capture_output=True, text=True, check=False)
    if done.returncode:
        raise fault(f"ssh does not say how it reaches {target.machine}: {done.stderr.strip()}")
    return {name: value for name, _, value in (line.partition(" ") for line in done.stdout.splitlines())}


def fingerprint(key: str) -> str:
    """A key's type and SHA-256 fingerprint, as ssh-keygen(1) -l prints it."""
    kind, data = key.split()
    try:
        digest = base64.b64encode(hashlib.sha256(base64.b64decode(data)).digest()).decode().rstrip("=")
    except ValueError:
        return f"{kind} is no key"  # a line that a person spoilt; ssh passes over it
    return f"{kind} SHA256:{digest}"


def pin(project: Project, machine: str, keys: list[str], *, replace: bool) -> None:
    """Makes these the only pinned keys of a machine. Other names in a line of the old ones keep it.

    Raises:
        Faults: When others are pinned and they are not to be replaced.
    """
    path = project.known_hosts
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(project.local / "pins.lock"):
        if not replace and pinned(project, machine) not in ([], keys):
            hint = f"{OTHERS} Compare them on the machine itself, then say --replace"
            raise fault(f"other host keys of {machine} are pinned than it shows now", hint=hint)
        lines = [kept for line in pin_lines(path) if (kept := _without(machine, line)) is not None]
        files.replace(path, "".join(f"{line}\n" for line in [*lines, *(f"{machine} {key}" for key in keys)]))


def forget(project: Project, machine: str) -> None:
    """Takes the pinned keys of a machine away. Other names in a line of them keep it.

    Raises:
        Faults: When there are none.
    """
    path = project.known_hosts
    with files.locked(project.local / "pins.lock"):
        if not pinned(project, machine):
            known = nearest(machine, pinned_keys(path), what="machines with pinned keys")
            raise fault(f"no host keys of {machine!r} are pinned", hint=known)
        lines = [kept for line in pin_lines(path) if (kept := _without(machine, line)) is not None]
        files.replace(path, "".join(f"{line}\n" for line in lines))


def rename(project: Project, old: str, new: str) -> None:
    """Pins the host keys of a machine under another name."""
    path = project.known_hosts
    with files.locked(project.local / "pins.lock"):
        if pinned(project, old):
            files.replace(path, "".join(f"{_renamed(old, new, line)}\n" for line in pin_lines(path)))


def _renamed(old: str, new: str, line: str) -> str:
    """A line of known_hosts with another name in the place of one."""
    names, *rest = line.split(maxsplit=1) or [""]
    if old not in names.split(","):
        return line
    return " ".join([",".join(new if name == old else name for name in names.split(",")), *rest])


def _without(machine: str, line: str) -> str | None:
    """A line of known_hosts without one name; None when it had no other."""
    names, *rest = line.split(maxsplit=1) or [""]
    others = [name for name in names.split(",") if name != machine]
    if len(others) == len(names.split(",")):
        return line
    return " ".join([",".join(others), *rest]) if others else None
