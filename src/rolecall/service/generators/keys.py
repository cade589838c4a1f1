"""Key pairs: the private half is secret, the public half is text that peers may read in advance."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.model.vars import VarFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from rolecall.model.generators import Context
    from rolecall.model.vars import Values
    from rolecall_agent.content import Secret

_HALVES = (VarFile("private"), VarFile("public", secret=False))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair as service code sees it: the private half by reference, the public half as one line of text."""

    private: Secret
    public: str


def _view(files: Mapping[str, str | Secret]) -> KeyPair:
    private, public = files["private"], str(files["public"])
    assert not isinstance(private, str)  # noqa: S101 - `files` says so
    return KeyPair(private, public.strip())


_NO_PAIR = "its public key does not match its private key"
_NO_KEY = "one of its halves is not a key"


@dataclass(frozen=True, slots=True)
class SSHKeyPair:
    """An Ed25519 key pair in OpenSSH's formats."""

    files: tuple[VarFile, ...] = _HALVES

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Generate both halves; the public one carries the var's name as comment."""
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
        public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
        return {"private": private, "public": public + f" {context.key}\n".encode()}

    def view(self, files: Mapping[str, str | Secret]) -> KeyPair:
        """Return the private half by reference, the public half as text."""
        return _view(files)

    def verify(self, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:  # noqa: ARG002 - the contract's form
        """Check that both halves are of one key, which can be of any kind that OpenSSH supports."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_ssh_public_key

        try:
            public = load_ssh_public_key(values["public"].strip())
            private = _private(values["private"]) if "private" in values else None
        except UnsupportedAlgorithm:  # such as that of a hardware key
            return ""
        except TypeError:
            return "its private key is protected by a passphrase, which no machine can type"
        except ValueError:
            return _NO_KEY
        return "" if private is None or private.public_key() == public else _NO_PAIR


@dataclass(frozen=True, slots=True)
class WireGuardKeyPair:
    """A Curve25519 key pair as wg(8) writes it: 32 bytes each, in base64."""

    files: tuple[VarFile, ...] = _HALVES

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002 - the contract's form
        """Generate both halves."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        key = X25519PrivateKey.generate()
        private = bytearray(key.private_bytes_raw())
        # The bits that every use of the key fixes (RFC 7748, section 5) stand as `wg genkey` and the kernel have them.
        private[0] &= 248
        private[31] = private[31] & 127 | 64
        return {"private": b64encode(private), "public": b64encode(key.public_key().public_bytes_raw())}

    def view(self, files: Mapping[str, str | Secret]) -> KeyPair:
        """Return the private half by reference, the public half as text."""
        return _view(files)

    def verify(self, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:  # noqa: ARG002 - the contract's form
        """Check that both halves are of one key."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

        try:
            public = X25519PublicKey.from_public_bytes(b64decode(values["public"].strip(), validate=True))
            private = b64decode(values["private"].strip(), validate=True) if "private" in values else b""
            own = X25519PrivateKey.from_private_bytes(private).public_key() if private else public
        except ValueError:
            return _NO_KEY
        return "" if own == public else _NO_PAIR


@dataclass(frozen=True, slots=True)
class AgeKeyPair:
    """An X25519 identity of age (age-encryption.org/v1) and its recipient."""

    files: tuple[VarFile, ...] = _HALVES

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002 - the contract's form
        """Generate both halves."""
        from pyrage import x25519

        identity = x25519.Identity.generate()
        return {"private": f"{identity}\n".encode(), "public": f"{identity.to_public()}\n".encode()}

    def view(self, files: Mapping[str, str | Secret]) -> KeyPair:
        """Return the private half by reference, the public half as text."""
        return _view(files)

    def verify(self, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:  # noqa: ARG002 - the contract's form
        """Check that the recipient is that of the identity."""
        from pyrage import IdentityError, RecipientError, x25519

        try:
            public = str(x25519.Recipient.from_str(values["public"].decode().strip()))
            private = values["private"].decode(errors="replace").strip() if "private" in values else ""
            own = str(x25519.Identity.from_str(private).to_public()) if private else public
        except (IdentityError, RecipientError):
            return _NO_KEY
        return "" if own == public else _NO_PAIR


def _private(data: bytes) -> PrivateKeyTypes:
    """Read a private key in OpenSSH's own format, or in PEM.

    Raises:
        ValueError: When it is not a key.
        TypeError: When it is protected by a passphrase.
        UnsupportedAlgorithm: When its kind is not supported.
    """
    from cryptography.hazmat.primitives import serialization as form

    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        return form.load_ssh_private_key(data, None)
    return form.load_pem_private_key(data, None)
