"""Keys of ZeroTier: an X25519 and an Ed25519 key side by side, 32 bytes each, and signatures made with them."""

from __future__ import annotations

import hashlib

KEY_SIZE = 64
"""Bytes of a public or of a secret key."""
SIGNATURE_SIZE = 96


def public_key(secret_key: bytes) -> bytes:
    """Return the public key that belongs to a secret key: the X25519 half, then the Ed25519 half."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    agreement = X25519PrivateKey.from_private_bytes(secret_key[:32]).public_key().public_bytes_raw()
    signing = Ed25519PrivateKey.from_private_bytes(secret_key[32:]).public_key().public_bytes_raw()
    return agreement + signing


def sign(secret_key: bytes, message: bytes) -> bytes:
    """Return the signature of a message, 96 bytes: the Ed25519 signature of half its SHA-512 hash, and that half."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    digest = hashlib.sha512(message).digest()[:32]
    return Ed25519PrivateKey.from_private_bytes(secret_key[32:]).sign(digest) + digest


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether a signature of a message was made with the secret key that belongs to a public key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    digest = hashlib.sha512(message).digest()[:32]
    try:
        Ed25519PublicKey.from_public_bytes(public[32:]).verify(signature[:64], digest)
    except InvalidSignature:
        return False
    return signature[64:] == digest
