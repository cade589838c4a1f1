"""Pinning host keys by machine name in the project's own known_hosts file."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall import files
from rolecall.deploy.connection import found_no_way, ssh_problem
from rolecall.deploy.target import pin_lines, pinned_keys
from rolecall.errors import fault, nearest, printable

if TYPE_CHECKING:
    from rolecall.deploy.target import Target
    from rolecall.project import Project


# Why a machine may present other keys than those that are pinned.
OTHERS = "Either the machine was reinstalled, or someone intercepts the connection (man in the middle)."
# The values of HostKeyAlgorithms, one for each kind of key, with which ssh(1) asks for it.
_KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256",
)


def pinned(project: Project, machine: str) -> list[str]:
    """Return the pinned keys of a machine, each ``TYPE BASE64``, sorted."""
    return list(pinned_keys(project.known_hosts).get(machine, ()))


def scan(target: Target) -> list[str]:
    """Return the host keys that a machine presents now, each ``TYPE BASE64``, sorted; they are not verified.

    Raises:
        Faults: When its target is not an SSH host, or does not answer.
    """
    settings = ssh_settings(target)
    host, port = settings["hostname"], settings["port"]  # as a person's ssh_config has them
    if jumps := bool(settings.get("proxyjump") or settings.get("proxycommand")):
        keys, printed = _through_jump_hosts(target)
    else:
        argv = ["ssh-keyscan", "-T", "10", "-p", port, "--", host]
        output = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        keys = sorted(" ".join(line.split()[1:3]) for line in output.splitlines() if line and not line.startswith("#"))
        printed = "" if keys else _printed_by_ssh(target, BatchMode="yes")  # ssh-keyscan(1) does not say why
    if not keys:
        reason = ssh_problem(target.machine, printed) if jumps or found_no_way(printed) else ""
        hint = "check the name and port, and that sshd is running there"
        raise fault(
            f"{target.machine} presents no host keys at {host} port {port}{reason and f': {reason}'}", hint=hint
        )
    return keys


def _through_jump_hosts(target: Target) -> tuple[list[str], str]:
    """Return the keys that a machine presents to ssh(1), which ends before it logs in, and what that printed at last.

    A jump host may ask for a password on the terminal.
    """
    found: set[str] = set()
    printed = ""
    with tempfile.TemporaryDirectory() as folder:
        for kind in _KINDS:
            file = Path(folder) / kind[:9]
            options = {
                "StrictHostKeyChecking": "accept-new",
                "HashKnownHosts": "no",
                "PreferredAuthentications": "none",
            }
            printed = _printed_by_ssh(target, UserKnownHostsFile=str(file), HostKeyAlgorithms=kind, **options)
            found.update(pinned_keys(file).get(target.machine, ()))
            if found_no_way(printed):
                break
    return sorted(found), printed


def _printed_by_ssh(target: Target, **options: str) -> str:
    """Return the errors of an ssh(1) with options that override those of a target."""
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    argv = ["ssh", "-T", *words, *target.ssh, "true"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    return printable(done.stderr.strip(), keep="\n")


def known_to_user(target: Target) -> list[str]:
    """Return the host keys that the user's own known_hosts files have for a machine, each ``TYPE BASE64``, sorted.

    Raises:
        Faults: When its target is not an SSH host.
    """
    settings = ssh_settings(target, ours=False)
    name, port = settings.get("hostkeyalias") or settings["hostname"], settings["port"]
    name = name if port == "22" else f"[{name}]:{port}"
    found, revoked = set(), set()
    for file in (settings.get("userknownhostsfile", "") + " " + settings.get("globalknownhostsfile", "")).split():
        argv = ["ssh-keygen", "-F", name, "-f", str(Path(file).expanduser())]
        output = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False).stdout
        for words in (line.split() for line in output.splitlines() if not line.startswith("#")):
            if words[0] == "@revoked":
                revoked.add(" ".join(words[2:4]))
            elif not words[0].startswith("@"):
                found.add(" ".join(words[1:3]))
    return sorted(found - revoked)


def ssh_settings(target: Target, *, ours: bool = True) -> dict[str, str]:
    """Return a target's settings as ssh(1) resolves them with the user's ssh_config: alias, port, jump host.

    Args:
        target: The machine.
        ours: Whether our own options count, or only what the user says.

    Returns:
        The values by name in lower case; one that is set several times has a line for each.

    Raises:
        Faults: When its target is not an SSH host, or the user's ssh_config cannot be read.
    """
    if not target.host:
        raise fault(f"the target of {target.machine} is not an SSH host: {target.text}")
    words = target.ssh
    while not ours and "-o" in words:
        at = words.index("-o")
        words = (*words[:at], *words[at + 2 :])
    done = subprocess.run(["ssh", "-G", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise fault(f"ssh cannot resolve the target of {target.machine}: {done.stderr.strip()}")
    found: dict[str, str] = {}
    for name, _, value in (line.partition(" ") for line in done.stdout.splitlines()):
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def fingerprint(key: str) -> str:
    """Return a key's type and SHA-256 fingerprint, as ssh-keygen(1) -l prints it."""
    kind, data = key.split()
    try:
        digest = base64.b64encode(hashlib.sha256(base64.b64decode(data)).digest()).decode().rstrip("=")
    except ValueError:
        return f"{kind} (invalid key)"  # a damaged line, which ssh ignores
    return f"{kind} SHA256:{digest}"


def pin(project: Project, machine: str, keys: list[str], *, replace: bool) -> None:
    """Make these the only pinned keys of a machine. A line with other machines is kept for those.

    Raises:
        Faults: When other keys are pinned and `replace` is false.
    """
    path = project.known_hosts
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(project.local / "pins.lock"):
        if not replace and pinned(project, machine) not in ([], keys):
            hint = f"{OTHERS} Compare the keys on the machine itself, then use --replace"
            raise fault(f"{machine} presents other host keys than the pinned ones", hint=hint)
        lines = [kept for line in pin_lines(path) if (kept := _without(machine, line)) is not None]
        files.replace(path, "".join(f"{line}\n" for line in [*lines, *(f"{machine} {key}" for key in keys)]))


def forget(project: Project, machine: str) -> None:
    """Remove the pinned keys of a machine. A line with other machines is kept for those.

    Raises:
        Faults: When none are pinned.
    """
    path = project.known_hosts
    with files.locked(project.local / "pins.lock"):
        if not pinned(project, machine):
            known = nearest(machine, pinned_keys(path), what="machines with pinned keys")
            raise fault(f"machine {machine!r} has no pinned host keys", hint=known)
        lines = [kept for line in pin_lines(path) if (kept := _without(machine, line)) is not None]
        files.replace(path, "".join(f"{line}\n" for line in lines))


def rename(project: Project, old: str, new: str) -> None:
    """Pin the host keys of a machine under another name."""
    path = project.known_hosts
    with files.locked(project.local / "pins.lock"):
        if pinned(project, old):
            files.replace(path, "".join(f"{_renamed(old, new, line)}\n" for line in pin_lines(path)))


def _renamed(old: str, new: str, line: str) -> str:
    """Return a line of known_hosts with one name replaced."""
    names, *rest = line.split(maxsplit=1) or [""]
    if old not in names.split(","):
        return line
    return " ".join([",".join(new if name == old else name for name in names.split(",")), *rest])


def _without(machine: str, line: str) -> str | None:
    """Return a line of known_hosts without one name; None when it had no other."""
    names, *rest = line.split(maxsplit=1) or [""]
    others = [name for name in names.split(",") if name != machine]
    if len(others) == len(names.split(",")):
        return line
    return " ".join([",".join(others), *rest]) if others else None
