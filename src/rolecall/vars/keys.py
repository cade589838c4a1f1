"""Who can read secrets: the admins' public keys in the project, and one's own identity outside of it.

Secrets are age files (https://age-encryption.org/v1) in age's binary form. Whatever reads age can read them:
``age --decrypt --identity IDENTITY vars/per-machine/jon/backup.ssh/private/secret``.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage

from rolecall.errors import Where, fault, nearest
from rolecall.model.inventory import NAME_LENGTH, NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

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


@dataclass(frozen=True, slots=True)
class Sealer:
    """Encrypts.

    Attributes:
        recipients: The public keys that can read what it encrypts.
        seal: Gives the age file of a value.
    """

    recipients: tuple[str, ...]
    seal: Callable[[bytes], bytes]


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
        _recipient(lines[0], Where(path))
        found.append(Admin(path.stem, " ".join(lines[0].split()[:2])))  # of an SSH key without its comment
    return found


def add_admin(project: Project, name: str, public_key: str) -> Path:
    """Writes ``keys/NAME.pub``; secrets made from now on are readable to that key, earlier ones are not.

    Returns:
        The file; it stays as it is when it holds that key already.

    Raises:
        Faults: When the name or the key is unusable, or the name has another key.
    """
    if len(name) > NAME_LENGTH or not re.fullmatch(NAME_PATTERN, name):
        raise fault(f"{name!r} cannot name a key", hint=f"use up to {NAME_LENGTH} letters, digits, `_` and `-`")
    public_key = public_key.strip()
    key = " ".join(public_key.split()[:2])
    if len(public_key.splitlines()) != 1:
        raise fault("a public key is one line of text")
    _recipient(public_key, None)
    for admin in admins(project):
        if admin.name == name and admin.public_key != key:
            raise fault(
                f"there is another key of the name {name!r}",
                where=Where(project.keys / f"{name}.pub"),
                hint=f"choose another name, or take the old one away with `rolecall keys remove {name}`",
            )
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
    """Makes one's own identity if there is none, and one an admin of the project under this name.

    Returns:
        The identity's path (mode 0600 when it was made); the public key is ``keys/NAME.pub``.

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
    add_admin(project, name, public_key)
    return path


def sealer(project: Project) -> Sealer:
    """Encrypts to all admins.

    Raises:
        Faults: When there are none, or a key is unusable.
    """
    readers = admins(project)
    if not readers:
        raise fault(
            "no admin key, so secrets cannot be encrypted",
            where=Where(project.keys),
            hint="make yours with `rolecall keys create`",
        )
    recipients = [_recipient(admin.public_key, Where(project.keys / f"{admin.name}.pub")) for admin in readers]
    return Sealer(tuple(admin.public_key for admin in readers), lambda value: pyrage.encrypt(value, recipients))


def opener() -> Callable[[bytes, Path], bytes]:
    """A function that decrypts with one's own identity; it takes the file's name for its faults.

    Raises:
        Faults: When there is no usable identity; by the function, when the identity does not fit or the file is
            damaged.
    """
    path = identity_path()
    if not path.exists():
        raise fault(
            "no identity to read secrets with",
            where=Where(path),
            hint="make one with `rolecall keys create`, or name yours with ROLECALL_IDENTITY",
        )
    identities = _identities(path)

    def unseal(data: bytes, file: Path) -> bytes:
        try:
            return pyrage.decrypt(data, identities)
        except pyrage.DecryptError as error:
            raise fault(
                f"the identity {path} cannot read this secret ({error})",
                where=Where(file),
                hint="name the right one with ROLECALL_IDENTITY; `rolecall keys list` says whose keys count",
            ) from None

    return unseal


def _recipient(public_key: str, where: Where | None) -> pyrage.x25519.Recipient | pyrage.ssh.Recipient:
    try:
        if public_key.startswith("age1"):
            return pyrage.x25519.Recipient.from_str(public_key)
        return pyrage.ssh.Recipient.from_str(public_key)
    except pyrage.RecipientError:
        # The text itself is not repeated: it may be a private key, pasted by mistake.
        raise fault(
            "not a usable public key",
            where=where,
            hint="`age1…` or the text of an id_ed25519.pub or id_rsa.pub is expected",
        ) from None


def _identities(path: Path) -> list[pyrage.x25519.Identity | pyrage.ssh.Identity]:
    """The private keys in a file of age (one a line, `#` comments) or of OpenSSH."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise fault(f"the identity cannot be read: {error.strerror}", where=Where(path)) from None
    try:
        if data.startswith(_SSH_KEY):
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except (pyrage.IdentityError, UnicodeDecodeError) as error:
        why = str(error) if data.startswith(_SSH_KEY) else "neither an age nor an SSH private key"
        raise fault(
            f"the identity cannot be used: {why}",
            where=Where(path),
            hint="name another with ROLECALL_IDENTITY; SSH keys must be Ed25519 or RSA, without a passphrase",
        ) from None
    if not keys:
        raise fault("the identity holds no key", where=Where(path))
    return [*keys]


def _public_key(path: Path) -> str:
    """The public half of an identity."""
    identity = _identities(path)[0]
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
