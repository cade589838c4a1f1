"""Who can read secrets: the admins' public keys in the project, and the user's identity, a private key outside of it.

Keys are of age (https://age-encryption.org/v1), of SSH (Ed25519 and RSA), or of plugins of age, such as for a YubiKey
(https://c2sp.org/age-plugin).
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage

from rolecall.errors import Faults, Where, fault, nearest
from rolecall.model.names import NAME_LENGTH, NAME_PATTERN

if TYPE_CHECKING:
    from rolecall.project import Project

Recipient = pyrage.x25519.Recipient | pyrage.ssh.Recipient | pyrage.tag.Recipient | pyrage.tagpq.Recipient
Identity = pyrage.x25519.Identity | pyrage.ssh.Identity

_PLUGIN = "AGE-PLUGIN-"
_SSH_KEY = b"-----BEGIN "  # PEM, in which ssh-keygen(1) writes private keys


@dataclass(frozen=True, slots=True)
class Admin:
    """A person who can read all secrets of the project.

    Attributes:
        name: The name of the file under ``keys/``, without ``.pub``.
        public_key: ``age1…``, or an SSH public key (Ed25519 or RSA) as ssh-keygen(1) writes it.
    """

    name: str
    public_key: str


class Person:
    """Answers a plugin's questions, such as for a PIN, from the terminal; without one, every answer is None."""

    def display_message(self, message: str) -> None:
        """Show a message, e.g. to touch a key."""
        sys.stderr.write(f"{message}\n")

    def confirm(self, message: str, yes_string: str, no_string: str | None) -> bool | None:
        """Let the user choose one of two answers."""
        answer = self.request_public_string(f"{message} [{yes_string}/{no_string or ''}]")
        return None if answer is None else answer == yes_string

    def request_public_string(self, description: str) -> str | None:
        """Ask for a text."""
        if not sys.stdin.isatty():
            return None
        sys.stderr.write(f"{description}: ")
        return sys.stdin.readline().rstrip("\n")

    def request_passphrase(self, description: str) -> str | None:
        """Ask for a text that is not shown while it is typed."""
        return getpass.getpass(f"{description}: ") if sys.stdin.isatty() else None


def admins(project: Project) -> list[Admin]:
    """Return the admins, by name.

    Raises:
        Faults: When a file under ``keys/`` does not hold one usable key.
    """
    all_admins = []
    for path in sorted(project.keys.glob("*.pub")):
        text = path.read_text(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(lines) != 1:
            raise fault(f"the file has {len(lines)} keys, but must have one", where=Where(path))
        recipient(lines[0], Where(path))
        all_admins.append(Admin(path.stem, " ".join(lines[0].split()[:2])))  # without the comment of an SSH key
    return all_admins


def add_admin(project: Project, name: str, public_key: str) -> Path:
    """Write ``keys/NAME.pub``. The key can read secrets that are written from now on, not earlier ones.

    Returns:
        The file; it is not changed if it has that key already.

    Raises:
        Faults: When the name or the key is invalid, the name has another key, or the key another name.
    """
    if len(name) > NAME_LENGTH or not re.fullmatch(NAME_PATTERN, name):
        raise fault(
            f"{name!r} is not a valid name of a key", hint=f"use up to {NAME_LENGTH} letters, digits, `_` and `-`"
        )
    public_key = public_key.strip()
    key = " ".join(public_key.split()[:2])
    if len(public_key.splitlines()) != 1:
        raise fault("a public key must be one line of text")
    recipient(public_key, None)
    for admin in admins(project):
        if admin.name == name and admin.public_key != key:
            raise fault(
                f"admin key {name!r} already exists with another value",
                where=Where(project.keys / f"{name}.pub"),
                hint=f"choose another name, or remove the old key: `rolecall keys remove {name}`",
            )
        if admin.name != name and admin.public_key == key:
            where = Where(project.keys / f"{admin.name}.pub")
            raise fault(f"this public key already exists as {admin.name!r}", where=where)
    path = project.keys / f"{name}.pub"
    if not path.exists():
        _write_new(path, f"{public_key}\n", 0o644)
    return path


def remove_admin(project: Project, name: str) -> None:
    """Remove ``keys/NAME.pub``. Its owner may still know the secrets: only rotation revokes.

    Raises:
        Faults: When the key does not exist.
    """
    names = [admin.name for admin in admins(project)]
    if name not in names:
        raise fault(f"no admin key named {name!r}", where=Where(project.keys), hint=nearest(name, names, what="keys"))
    (project.keys / f"{name}.pub").unlink()


def identity_path() -> Path:
    """Return the path of the user's identity; it may not exist.

    It is ``$ROLECALL_IDENTITY`` if set; else the first that exists of ``rolecall/identity`` in the user's configuration
    (XDG Base Directory Specification) and ``~/.ssh/id_ed25519``; else the former.
    """
    if named := os.environ.get("ROLECALL_IDENTITY"):
        return Path(named)
    # The specification says to ignore a relative path.
    config = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    own = (config if config.is_absolute() else Path.home() / ".config") / "rolecall" / "identity"
    ssh = Path.home() / ".ssh" / "id_ed25519"
    return ssh if ssh.exists() and not own.exists() else own


def create_identity(project: Project, name: str) -> Path:
    """Create the user's identity if it does not exist, and make the user an admin under this name unless they are one.

    Returns:
        The identity's path; its mode is 0600 if it was created.

    Raises:
        Faults: When an existing identity cannot be used, or the name is invalid or has another key.
    """
    path = identity_path()
    if path.exists():
        public_key = _public_key(path)
    else:
        identity = pyrage.x25519.Identity.generate()
        public_key = str(identity.to_public())
        _write_new(path, f"# public key: {public_key}\n{identity}\n", 0o600)
    if not admin_of(project, path):
        add_admin(project, name, public_key)
    return path


def admin_of(project: Project, identity: Path) -> str:
    """Return the admin's name that an identity's public key has; "" for none.

    Raises:
        Faults: When the identity cannot be used.
    """
    own = _public_key(identity)
    return next((admin.name for admin in admins(project) if admin.public_key == own), "")


def own_key() -> str:
    """Return the public key of the user's identity; "" if there is none, or its key is unknown."""
    try:
        return _public_key(identity_path())
    except Faults:
        return ""


def recipient(public_key: str, where: Where | None) -> Recipient | pyrage.plugin.Recipient:
    """Return a public key in the form that pyrage encrypts to.

    Raises:
        Faults: When it is not a public key.
    """
    kind = public_key.rpartition("1")[0] if public_key.startswith("age1") else "ssh"
    known: dict[str, type[Recipient]] = {
        "ssh": pyrage.ssh.Recipient,
        "age": pyrage.x25519.Recipient,
        "age1tag": pyrage.tag.Recipient,
        "age1tagpq": pyrage.tagpq.Recipient,
    }
    try:
        return known[kind].from_str(public_key) if kind in known else pyrage.plugin.Recipient.from_str(public_key)
    except pyrage.RecipientError:
        # The text itself is not repeated: it may be a private key, pasted by mistake.
        raise fault(
            "not a usable public key",
            where=where,
            hint="give `age1…`, or the content of an id_ed25519.pub or id_rsa.pub",
        ) from None


def identities(path: Path) -> list[Identity | pyrage.plugin.Identity]:
    """Return the private keys in a file of age (one a line, `#` comments) or of OpenSSH.

    Raises:
        Faults: When it cannot be read, or has no key that can be used.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise fault(f"the identity cannot be read: {error.strerror}", where=Where(path)) from None
    try:
        if data.startswith(_SSH_KEY):
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        keys = [_identity(line) for line in lines if line and not line.startswith("#")]
    except (pyrage.IdentityError, UnicodeDecodeError) as error:
        why = str(error) if data.startswith(_SSH_KEY) else "neither an age nor an SSH private key"
        raise fault(
            f"the identity cannot be used: {why}",
            where=Where(path),
            hint="set ROLECALL_IDENTITY to another one; SSH keys must be Ed25519 or RSA, without a passphrase",
        ) from None
    if not keys:
        raise fault("the identity has no key", where=Where(path))
    return keys


def _identity(line: str) -> Identity | pyrage.plugin.Identity:
    plugin = line.startswith(_PLUGIN)
    return pyrage.plugin.Identity.from_str(line) if plugin else pyrage.x25519.Identity.from_str(line)


def _public_key(path: Path) -> str:
    """Return the public key of an identity.

    Raises:
        Faults: When only its plugin knows it.
    """
    identity = identities(path)[0]
    if isinstance(identity, pyrage.plugin.Identity):
        hint = f"get it from age-plugin-{identity.plugin()}, then run `rolecall keys add NAME PUBLIC_KEY`"
        raise fault("the public key of this identity is unknown", where=Where(path), hint=hint)
    if isinstance(identity, pyrage.x25519.Identity):
        return str(identity.to_public())
    from cryptography.hazmat.primitives import serialization as form

    public = form.load_ssh_private_key(path.read_bytes(), None).public_key()
    return public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def _write_new(path: Path, text: str, mode: int) -> None:
    """Write a file, whole or not at all, never over another one."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        for folder in reversed(path.parents):  # `parents=True` would leave their modes to the umask alone
            folder.mkdir(0o755 if mode & 0o044 else 0o700, exist_ok=True)
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:  # noqa: PTH123 - with a mode
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)
    except OSError as error:
        raise fault(f"file cannot be written: {error.strerror}", where=Where(path)) from None
    finally:
        scratch.unlink(missing_ok=True)
