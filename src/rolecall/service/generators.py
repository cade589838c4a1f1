"""Ready-made generators."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resource_files
from typing import TYPE_CHECKING

from rolecall.model.vars import VarFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecall.model.vars import Context
    from rolecall_agent.content import Secret


@dataclass(frozen=True, slots=True)
class SSHKey:
    """A key pair as service code sees it."""

    private: Secret
    public: str


@dataclass(frozen=True, slots=True)
class SSHKeyPair:
    """An Ed25519 key pair in OpenSSH's formats."""

    files: tuple[VarFile, ...] = (VarFile("private"), VarFile("public", secret=False))

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Makes both halves; the public one carries the var's name as comment."""
        from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - only when a key is made
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above

        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
        public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
        return {"private": private, "public": public + f" {context.key}\n".encode()}

    def view(self, files: Mapping[str, str | Secret]) -> SSHKey:
        """The private half by reference, the public half as text."""
        private, public = files["private"], str(files["public"])
        assert not isinstance(private, str)  # noqa: S101 - `files` says so
        return SSHKey(private, public.strip())


@dataclass(frozen=True, slots=True)
class SecretText:
    """A secret text as service code sees it."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Random words joined by ``-``, easy to type in an emergency.

    Attributes:
        words: How many; each adds 12.9 bits (EFF's long list has 7,776 words).
    """

    words: int = 6
    files: tuple[VarFile, ...] = (VarFile("passphrase"),)

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002 - the contract's form
        """Makes the passphrase."""
        return {"passphrase": "-".join(secrets.choice(_words()) for _ in range(self.words)).encode()}

    def view(self, files: Mapping[str, str | Secret]) -> SecretText:
        """The passphrase by reference."""
        passphrase = files["passphrase"]
        assert not isinstance(passphrase, str)  # noqa: S101 - `files` says so
        return SecretText(passphrase)


@cache
def _words() -> tuple[str, ...]:
    """EFF's long word list, as the `diceware` distribution ships it."""
    lines = (resource_files("diceware") / "wordlists" / "wordlist_en_eff.txt").read_text().splitlines()
    return tuple(line.split()[-1] for line in lines if line[:5].isdigit())
