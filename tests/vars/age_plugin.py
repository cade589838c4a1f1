"""An age plugin for tests, like that of a YubiKey: it masks the file key with the data of its identity.

Source: https://c2sp.org/age-plugin. ``make(folder)`` puts ``age-plugin-masked`` there.
"""

from __future__ import annotations

import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = '''
import base64, hashlib, sys

MASK = hashlib.sha256(b"held by the key").digest()[:16]

def masked(data):
    return bytes(a ^ b for a, b in zip(data, MASK))

def read():
    """Return the words and the body of the next stanza."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    body = ""
    while True:
        part = sys.stdin.readline().rstrip("\\n")
        body += part
        if len(part) < 64:
            return line.split()[1:], base64.b64decode(body + "=" * (-len(body) % 4))

def write(words, body=b""):
    text = base64.b64encode(body).decode().rstrip("=")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)] or [""]
    if len(lines[-1]) == 64:
        lines.append("")
    sys.stdout.write("-> " + " ".join(words) + "\\n" + "\\n".join(lines) + "\\n")
    sys.stdout.flush()

received = []
while True:
    words, body = read()
    if words[0] == "done":
        break
    received.append((words, body))
if sys.argv[1] == "--age-plugin=recipient-v1":
    recipients = [words for words, _ in received if words[0] in ("add-recipient", "add-identity")]
    keys = [body for words, body in received if words[0] == "wrap-file-key"]
    for number, key in enumerate(keys):
        for _ in recipients:
            write(["recipient-stanza", str(number), "masked"], masked(key))
            read()
else:
    write(["msg"], b"touch the key")
    read()
    done = set()
    for words, body in received:
        if words[0] == "recipient-stanza" and words[2] == "masked" and words[1] not in done:
            done.add(words[1])
            write(["file-key", words[1]], masked(body))
            read()
write(["done"])
'''
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
RECIPIENT: str
IDENTITY: str


def make(folder: Path) -> None:
    program = folder / "age-plugin-masked"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def _bech32(prefix: str) -> str:
    """Return the Bech32 text of a prefix without data; source: BIP 173."""

    def polymod(values: list[int]) -> int:
        found = 1
        for value in values:
            top = found >> 25
            found = (found & 0x1FFFFFF) << 5 ^ value
            for bit, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                found ^= factor if top >> bit & 1 else 0
        return found

    data = [0] * 8
    spread = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    check = polymod([*spread, *data, *[0] * 6]) ^ 1
    return prefix + "1" + "".join(_LETTERS[each] for each in [*data, *(check >> 5 * (5 - at) & 31 for at in range(6))])


RECIPIENT = _bech32("age1masked")
IDENTITY = _bech32("age-plugin-masked-").upper()
