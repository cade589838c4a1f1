"""Who can read secrets: the admins' public keys in the project, and one's own identity outside of it.

Keys are those of age (https://age-encryption.org/v1), of SSH (Ed25519 and RSA), and of age's plugins, such as a
YubiKey's (https://c2sp.org/age-plugin).
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

from rolecall.errors import Where, fault, nearest
from rolecall.model.inventory import NAME_LENGTH, NAME_PATTERN

if TYPE_CHECKING:
    from rolecall.project import Project

Recipient = pyrage.x25519.Recipient | pyrage.ssh.Recipient | pyrage.tag.Recipient | pyrage.tagpq.Recipient
Identity = pyrage.x25519.Identity | pyrage.ssh.Identity

_PLUGIN = "AGE-PLUGIN-"
_SSH_KEY = b"-----BEGIN "  # PEM, in which ssh-keygen(1) writes private keys


@dataclass(frozen=True, slots=True)
class Admin:
    """One who can read all secrets of the project.

    Attributes:
        name: The name of the file under ``keys/``, without ``.pub``.
        public_key: ``age1…``, or an SSH public key (Ed25519 or RSA) as ssh-keygen(1) writes it.
    """

    name: str
    public_key: str


class Person:
    """What a plugin asks of who runs this, such as a PIN, at the terminal. Where there is none, nobody answers."""

    def display_message(self, message: str) -> None:
        """Shows a message, e.g. to touch a key."""
        sys.stderr.write(f"{message}\n")

    def confirm(self, message: str, yes_string: str, no_string: str | None) -> bool | None:
        """Has one of two answers chosen."""
        answer = self.request_public_string(f"{message} [{yes_string}/{no_string or ''}]")
        return None if answer is None else answer == yes_string

    def request_public_string(self, description: str) -> str | None:
        """Asks for a text."""
        if not sys.stdin.isatty():
            return None
        sys.stderr.write(f"{description}: ")
        return sys.stdin.readline().rstrip("\n")

    def request_passphrase(self, description: str) -> str | None:
        """Asks for what nobody should see."""
        return getpass.getpass(f"{description}: ") if sys.stdin.isatty() else None


def admins(project: Project) -> list[Admin]:
    """The admins, by name.

    Raises:
        Faults: When a file under ``keys/`` does not hold one usable key.
    """
    found = []
    for path in sorted(project.keys.glob("*.pub")):
        text = path.read_text(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(lines) != 1:
            raise fault(f"{len(lines)} keys where one is expected", where=Where(path))
        recipient(lines[0], Where(path))
        found.append(Admin(path.stem, " ".join(lines[0].split()[:2])))  # of an SSH key without its comment
    return found


def add_admin(project: Project, name: str, public_key: str) -> Path:
    """Writes ``keys/NAME.pub``; secrets made from now on are readable to that key, earlier ones are not.

    Returns:
        The file; it stays as it is when it holds that key already.

    Raises:
        Faults: When the name or the key is unusable, the name has another key, or the key another name.
    """
    if len(name) > NAME_LENGTH or not re.fullmatch(NAME_PATTERN, name):
        raise fault(f"{name!r} cannot name a key", hint=f"use up to {NAME_LENGTH} letters, digits, `_` and `-`")
    public_key = public_key.strip()
    key = " ".join(public_key.split()[:2])
    if len(public_key.splitlines()) != 1:
        raise fault("a public key is one line of text")
    recipient(public_key, None)
    for admin in admins(project):
        if admin.name == name and admin.public_key != key:
            raise fault(
                f"there is another key of the name {name!r}",
                where=Where(project.keys / f"{name}.pub"),
                hint=f"choose another name, or take the old one away with `rolecall keys remove {name}`",
            )
        if admin.name != name and admin.public_key == key:
            where = Where(project.keys / f"{admin.name}.pub")
            raise fault(f"this key is there already, as that of {admin.name!r}", where=where)
    path = project.keys / f"{name}.pub"
    if not path.exists():
        _write_new(path, f"{public_key}\n", 0o644)
    return path


def remove_admin(project: Project, name: str) -> None:
    """Takes ``keys/NAME.pub`` away. What that key could read so far it can read still: only rotation revokes.

    Raises:
        Faults: When there is no such key.
    """
    names = [admin.name for admin in admins(project)]
    if name not in names:
        raise fault(f"no key of the name {name!r}", where=Where(project.keys), hint=nearest(name, names, what="keys"))
    (project.keys / f"{name}.pub").unlink()


def identity_path() -> Path:
    """One's own private key; it may not exist.

    ``$ROLECALL_IDENTITY`` if set; else the first that exists of ``rolecall/identity`` in the user's configuration
    (XDG Base Directory Specification) and ``~/.ssh/id_ed25519``; else the former.
    """
    if named := os.environ.get("ROLECALL_IDENTITY"):
        return Path(named)
    # A relative path there is to be ignored, says the specification.
    config = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    own = (config if config.is_absolute() else Path.home() / ".config") / "rolecall" / "identity"
    ssh = Path.home() / ".ssh" / "id_ed25519"
    return ssh if ssh.exists() and not own.exists() else own


def create_identity(project: Project, name: str) -> Path:
    """Makes one's own identity if there is none, and one an admin of the project; under this name, if under none yet.

    Returns:
        The identity's path (mode 0600 when it was made); its public key is under ``keys/``.

    Raises:
        Faults: When there is an identity that cannot be used, or the name is unusable or has another key.
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
    """The name under which an identity's public key is an admin's; "" where it is none.

    Raises:
        Faults: When the identity cannot be used.
    """
    own = _public_key(identity)
    return next((admin.name for admin in admins(project) if admin.public_key == own), "")


def recipient(public_key: str, where: Where | None) -> Recipient | pyrage.plugin.Recipient:
    """A public key, ready to encrypt to.

    Raises:
        Faults: When it is none.
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
            hint="`age1…` or the text of an id_ed25519.pub or id_rsa.pub is expected",
        ) from None


def identities(path: Path) -> list[Identity | pyrage.plugin.Identity]:
    """The private keys in a file of age (one a line, `#` comments) or of OpenSSH.

    Raises:
        Faults: When it cannot be read, or holds none that can be used.
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
            hint="name another with ROLECALL_IDENTITY; SSH keys must be Ed25519 or RSA, without a passphrase",
        ) from None
    if not keys:
        raise fault("the identity holds no key", where=Where(path))
    return keys


def _identity(line: str) -> Identity | pyrage.plugin.Identity:
    plugin = line.startswith(_PLUGIN)
    return pyrage.plugin.Identity.from_str(line) if plugin else pyrage.x25519.Identity.from_str(line)


def _public_key(path: Path) -> str:
    """The public half of an identity.

    Raises:
        Faults: When only its plugin could tell.
    """
    identity = identities(path)[0]
    if isinstance(identity, pyrage.plugin.Identity):
        hint = f"age-plugin-{identity.plugin()} tells it; then `rolecall keys add NAME PUBLIC_KEY`"
        raise fault("the public key of this identity is not known here", where=Where(path), hint=hint)
    if isinstance(identity, pyrage.x25519.Identity):
        return str(identity.to_public())
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - only for SSH keys

    public = form.load_ssh_private_key(path.read_bytes(), None).public_key()
    return public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def _write_new(path: Path, text: str, mode: int) -> None:
    """Writes a file whole or not at all, and never over another one."""
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
        raise fault(f"cannot be written: {error.strerror}", where=Where(path)) from None
    finally:
        scratch.unlink(missing_ok=True)
