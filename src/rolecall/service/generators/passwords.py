"""Passwords and other random secrets."""

from __future__ import annotations

import secrets
import string
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resource_files
from typing import TYPE_CHECKING, Literal

from rolecall.model.vars import VarFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.model.generators import Context
    from rolecall.model.vars import Values
    from rolecall_agent.content import Secret

_SIGNS = string.ascii_letters + string.digits  # without a special meaning in any shell, URL or configuration


@dataclass(frozen=True, slots=True)
class SecretText:
    """A secret as service code sees it."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class PasswordWithHash:
    """A password as service code sees it, with the hash for the program that checks it."""

    password: Secret
    hash: Secret


def _secret(files: Mapping[str, str | Secret], name: str) -> Secret:
    found = files[name]
    assert not isinstance(found, str)  # noqa: S101 - the generator's `files` say so
    return found


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Random words joined by ``-``, easy to type in an emergency.

    Attributes:
        words: How many; each adds 12.9 bits (EFF's long list has 7,776 words).
    """

    words: int = 6
    files: tuple[VarFile, ...] = (VarFile("passphrase"),)

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002 - the contract's form
        """Generate the passphrase."""
        return {"passphrase": "-".join(secrets.choice(_words()) for _ in range(self.words)).encode()}

    def view(self, files: Mapping[str, str | Secret]) -> SecretText:
        """Return the passphrase by reference."""
        return SecretText(_secret(files, "passphrase"))


@dataclass(frozen=True, slots=True)
class Password:
    """Random letters and digits, and their hash as crypt(5) has it, for /etc/shadow and the like.

    Attributes:
        length: How many, 8 to 72 (the limit of bcrypt); each adds 5.95 bits.
    """

    length: int = 24
    files: tuple[VarFile, ...] = (VarFile("password"), VarFile("hash"))

    def __post_init__(self) -> None:
        if not 8 <= self.length <= 72:  # noqa: PLR2004 - as the docstring says
            raise ValueError(f"a password must have 8 to 72 characters, not {self.length}")

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002 - the contract's form
        """Generate the password and its bcrypt hash, which every libxcrypt can check."""
        import bcrypt

        password = "".join(secrets.choice(_SIGNS) for _ in range(self.length)).encode()
        return {"password": password, "hash": bcrypt.hashpw(password, bcrypt.gensalt(_ROUNDS))}

    def view(self, files: Mapping[str, str | Secret]) -> PasswordWithHash:
        """Return both by reference: with a hash, passwords can be guessed offline."""
        return PasswordWithHash(_secret(files, "password"), _secret(files, "hash"))

    def verify(self, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:  # noqa: ARG002 - the contract's form
        """Check that a bcrypt hash is that of the password; hashes of other kinds are accepted."""
        import bcrypt

        if not values.get("hash", b"").startswith(b"$2"):
            return ""
        try:
            fits = bcrypt.checkpw(values["password"], values["hash"].strip())
        except ValueError:
            fits = False
        return "" if fits else "its hash does not match its password"


_ROUNDS = 10  # of bcrypt, as a power of two: 60 ms; a random password needs no more


@dataclass(frozen=True, slots=True)
class RandomBytes:
    """Random bytes.

    Attributes:
        length: How many, before encoding.
        form: How they are encoded.
    """

    length: int = 32
    form: Literal["raw", "hex", "base64"] = "base64"
    files: tuple[VarFile, ...] = (VarFile("secret"),)

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002 - the contract's form
        """Generate the bytes."""
        data = secrets.token_bytes(self.length)
        written = {"raw": data, "hex": data.hex().encode(), "base64": b64encode(data)}
        return {"secret": written[self.form]}

    def view(self, files: Mapping[str, str | Secret]) -> SecretText:
        """Return the bytes by reference."""
        return SecretText(_secret(files, "secret"))


@cache
def _words() -> tuple[str, ...]:
    """Return EFF's long word list, as the `diceware` distribution ships it."""
    lines = (resource_files("diceware") / "wordlists" / "wordlist_en_eff.txt").read_text().splitlines()
    return tuple(line.split()[-1] for line in lines if line[:5].isdigit())
