"""The form of messages on a stream.

Output before the line `MARKER` is a login banner, and is skipped; the controller may write before it has read that
line. From there on both sides write **frames**: four bytes with the big-endian length of a JSON object; the object,
with its ``type``; and if the object has a ``payload`` (a length in bytes), as many raw bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, BinaryIO, Dict, List, Optional, Tuple

PROTOCOL = 1
HEARTBEAT = 5.0  # seconds between two ``alive``
MARKER = b"ROLECALL-FRAMES-1\n"
MAX_MESSAGE = 64 << 20  # bytes of one JSON object
MAX_PAYLOAD = 1 << 30  # bytes after it
MAX_ANSWER = 1 << 20  # bytes of one JSON object from the agent
NOT_STARTED = "the agent did not start"


class ProtocolError(Exception):
    """The other side violated the protocol; the message says how."""


class CutError(ProtocolError):
    """The stream ended in the middle of a frame."""


def meeting_point(token: str) -> str:
    """Return the name of the abstract Unix socket at which an agent waits for a relay that joins."""
    return "rolecall-agent-" + hashlib.sha256(token.encode()).hexdigest()[:32]


def write_frame(stream: BinaryIO, message: Any, payload: bytes = b"") -> None:  # noqa: ANN401 - any of `protocol`
    """Write and flush one frame; see `frame`.

    Raises:
        OSError: When the other side has closed the stream.
        ProtocolError: When the message is too large; nothing is written then.
    """
    stream.write(frame(message, payload))
    stream.flush()


def frame(message: Any, payload: bytes = b"", limit: int = MAX_MESSAGE) -> bytes:  # noqa: ANN401 - as above
    """Return one frame.

    Args:
        message: One of the classes of `protocol`, or a plain object with its ``type``; ``payload`` is filled in.
        payload: Raw bytes that follow it.
        limit: The most bytes that the message may have.

    Raises:
        ProtocolError: When the message is too large.
    """
    if payload:
        message = {**message, "payload": len(payload)}
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) > limit:
        raise ProtocolError(f"a message of {len(text):,} bytes is too large: the limit is {limit:,}")
    return len(text).to_bytes(4, "big") + text + payload


def read_frame(
    stream: BinaryIO, limit: int = MAX_MESSAGE, payload_limit: int = MAX_PAYLOAD
) -> Optional[Tuple[Dict[str, Any], bytes]]:
    """Return message and payload of the next frame; None at the end of the stream.

    Args:
        stream: The stream.
        limit: The most bytes that the message may have.
        payload_limit: The most bytes that the payload may have.

    Raises:
        ProtocolError: When it is too large, incomplete, or not a JSON object with a type.
    """
    head = stream.read(4)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if len(head) < 4:  # noqa: PLR2004
        raise CutError(f"invalid frame: it starts with {head!r}")
    if size > limit:
        raise ProtocolError(f"a message of {size:,} bytes is too large: the limit is {limit:,}")
    try:
        message = json.loads(_read_exactly(stream, size))
    except (ValueError, RecursionError):
        raise ProtocolError("invalid frame: not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("invalid frame: no type")
    length = message.pop("payload", 0)
    if type(length) is not int or not 0 <= length <= payload_limit:
        raise ProtocolError(f"invalid frame: a payload of {str(length)[:20]} bytes")
    return message, _read_exactly(stream, length)


def skip_banner(stream: BinaryIO, limit: int = 1 << 20) -> bytes:
    """Read up to the line `MARKER`, and return what came before it.

    Raises:
        ProtocolError: When the stream ends, or `limit` bytes are read, before the marker.
    """
    seen: List[bytes] = []
    left = limit
    while True:
        line = stream.readline(left + 1)
        if line.endswith(MARKER):  # a banner may lack its last newline
            return b"".join(seen) + line[: -len(MARKER)]
        seen.append(line)
        left -= len(line)
        if not line or left < 0:
            last = b"".join(seen)[-500:].decode(errors="replace").strip()
            raise ProtocolError(f"{NOT_STARTED}: {last}" if last else NOT_STARTED)


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) != size:
        raise CutError("the stream ended in the middle of a frame")
    return data
