"""Identities of ZeroTier nodes: the text in `identity.secret` and `identity.public`, and what makes it valid."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rolecall_services.zerotier import keys
from rolecall_services.zerotier.derivation import memory_hard_hash

_TEXT = re.compile(r"([0-9a-fA-F]{10}):0:([0-9a-fA-F]{128})(?::([0-9a-fA-F]{128}))?")
_SPACE = " \t\r\n"
"""What the daemon accepts around an identity."""
_FIRST_BYTE_LIMIT = 17
"""A public key has an address only if the first byte of its hash is below; about one in 15 is."""
_ADDRESS_SIZE = 5
_RESERVED_FIRST_BYTE = 0xFF


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's address and keys.

    Attributes:
        address: Five bytes.
        public_key: 64 bytes, as `keys.public_key` returns them.
        secret_key: 64 bytes; None if only the public half is known.
    """

    address: bytes
    public_key: bytes
    secret_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Return the identity that a text describes, without validating the keys.

        The form is strict, also where the daemon ignores what follows a key. It accepts capital letters, and white
        space around the text, and so do we.

        Raises:
            ValueError: When the text is not an identity, or its address is reserved.
        """
        if not (found := _TEXT.fullmatch(text.strip(_SPACE))):
            raise ValueError("not a ZeroTier identity (ADDRESS:0:PUBLIC or ADDRESS:0:PUBLIC:SECRET, in hexadecimal)")
        address, public, secret = (bytes.fromhex(part or "") for part in found.groups())
        if is_reserved(address):
            raise ValueError(f"the address {address.hex()} is reserved")
        return cls(address, public, secret or None)

    @property
    def public(self) -> str:
        """The text of `identity.public`; the daemon would remove a newline."""
        return f"{self.address.hex()}:0:{self.public_key.hex()}"

    @property
    def secret(self) -> str:
        """The text of `identity.secret`.

        Raises:
            ValueError: When the secret key is not known.
        """
        if self.secret_key is None:
            raise ValueError(f"the identity {self.address.hex()} has no secret key")
        return f"{self.public}:{self.secret_key.hex()}"

    def validate(self) -> None:
        """Verify that the keys belong together, and that the address belongs to them; it takes about 0.2 s.

        ZeroTier itself does not verify that a secret key belongs to its public key: with a foreign one, the daemon
        starts and never reaches any other node.

        Raises:
            ValueError: When that is not so.
        """
        if self.secret_key is not None and keys.public_key(self.secret_key) != self.public_key:
            raise ValueError("the secret key does not match the public key")
        if address_of(self.public_key) != self.address:
            raise ValueError(f"the address {self.address.hex()} does not match the public key")


def is_reserved(address: bytes) -> bool:
    """Return whether no node can have this address."""
    return address[0] == _RESERVED_FIRST_BYTE or not any(address)


def address_of(public_key: bytes) -> bytes | None:
    """Return the address of the node with this public key; None if no node can have that key."""
    digest = memory_hard_hash(public_key)
    address = digest[-_ADDRESS_SIZE:]
    return None if digest[0] >= _FIRST_BYTE_LIMIT or is_reserved(address) else address
