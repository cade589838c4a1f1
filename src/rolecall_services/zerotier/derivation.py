"""The hash that derives the address of a ZeroTier node from its public key, slow and memory-hard on purpose.

It fills 2 MiB with a chain of Salsa20 encryptions, and then exchanges words between this memory and a digest of eight
words, encrypting the digest after each exchange. One cipher does all of it, so each encryption is an XOR with the next
block of its key stream. Several encryptions in a row are one XOR with all their blocks. So the running XOR of the key
stream is computed in bulk, and the digest is never encrypted: a word is decrypted when it enters, and encrypted when
it leaves.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from Crypto.Cipher.Salsa20 import Salsa20Cipher

_BLOCK = 64
"""Bytes of a block, which has as many words as the digest."""
_WORDS = 2**18
"""Words in memory, of eight bytes each."""
_CHUNK = 1024
"""Blocks of the key stream that are computed at once: the fastest of the powers of two."""


def memory_hard_hash(public_key: bytes) -> bytes:
    """Return the 64 bytes whose last five are the address of the node with this public key.

    It takes about 0.2 s, and 2 MiB of memory.
    """
    from Crypto.Cipher import Salsa20

    seed = hashlib.sha512(public_key).digest()
    cipher = Salsa20.new(key=seed[:32], nonce=seed[32:40])
    memory, last = array("Q"), bytes(_BLOCK)
    while len(memory) < _WORDS:
        blocks = _running_xor(cipher, last)
        last = blocks[-_BLOCK:]
        memory += _words(blocks)
    # Each word of the digest is kept as it was before all encryptions since the memory was filled.
    digest, last = _words(seed), bytes(_BLOCK)
    for start in range(0, _WORDS, 2 * _CHUNK):  # a round reads two words, and encrypts one block
        blocks = _running_xor(cipher, last)
        _exchange(memory, digest, start, _words(last + blocks))
        last = blocks[-_BLOCK:]
    return bytes(a ^ b for a, b in zip(_bytes(digest), last, strict=True))


def _exchange(memory: array[int], digest: array[int], start: int, encryption: array[int]) -> None:
    """Exchange words for as many rounds as a chunk has blocks.

    Args:
        memory: The words of the memory.
        digest: The words of the digest, without what encrypted them.
        start: The word in memory that the first round reads.
        encryption: What encrypts the digest in each of these rounds, one block a round.
    """
    block = 0
    for position in range(start, start + 2 * _CHUNK, 2):
        word = memory[position] % 8
        other = memory[position + 1] % _WORDS
        mask = encryption[block + word]
        memory[other], digest[word] = digest[word] ^ mask, memory[other] ^ mask
        block += 8


def _running_xor(cipher: Salsa20Cipher, last: bytes) -> bytes:
    """Return the next blocks of the key stream, each XORed with all blocks before it and with `last`."""
    stream = cipher.encrypt(last + bytes(_BLOCK * (_CHUNK - 1)))
    blocks, bits = int.from_bytes(stream, "big"), 8 * _BLOCK
    while bits < 8 * len(stream):  # after n turns, each has been XORed with the 2**n - 1 before it
        blocks ^= blocks >> bits
        bits *= 2
    return blocks.to_bytes(len(stream), "big")


def _words(data: bytes) -> array[int]:
    """Return data as big-endian numbers of eight bytes."""
    words = array("Q", data)
    if sys.byteorder == "little":
        words.byteswap()
    return words


def _bytes(words: array[int]) -> bytes:
    """Return the data that `_words` has read."""
    return _words(words.tobytes()).tobytes()
