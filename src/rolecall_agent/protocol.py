"""The wire between controller and agent.

One exec holds one conversation, over the standard streams of ``archive.command()`` run on the machine (`bootstrap`
is the first part of it). What comes before the line `MARKER` on its standard output is a login banner and skipped;
the controller need not wait for it before it writes. From there on both sides write **frames**: four bytes, the
big-endian length of a JSON object; the object, with its ``type``; and, when the object has a ``payload`` (a length
in bytes), as many raw bytes. `read_frame` and `write_frame` do this.

C is the controller, A the agent; the names are the classes below. Whatever goes wrong is answered by `Failed`.

========================  ==============================================  ==========================================
C sends                   A answers                                       meaning
========================  ==============================================  ==========================================
`Open`                    ``need-agent`` when the machine lacks it; C     always first. The agent takes the machine's
                          then sends ``agent`` with `archive.build`'s     lock, waiting five seconds for another's,
                          bytes as payload. Then `State`                  and recovers an interrupted switch
`Compare`                 `Comparison`                                    what this configuration would change
`Stage`                   `Need`; C then sends each `BlobFrame` and       refused when the machine does not compare
                          `SecretFrame` with its payload, and             as it was shown. What fails after `Need`
                          ``{"type": "verify"}``. Then ``staged``         is answered to ``verify``, once
`Switch`                  `Progress`…, `Provisional`                      undone by the agent itself when it fails
``check`` (peers: bool)   `Checks`                                        while provisional; true: those with peers
``commit``                `Committed`                                     refused while an asked `Confirm` is missing
``undo``                  `Progress`…, ``undone``                         while provisional: back to what was
``purge``                 ``purged``                                      right after `Open`, where nothing is declared
                                                                          any more: removes what the agent keeps
`Confirm`                 ``confirmed``                                   in place of `Open`, alone, on a second
                                                                          connection while the first is provisional
========================  ==============================================  ==========================================

The end of C's stream ends the conversation; a switch that is still provisional is undone then. So the no-op is one
exec with one frame each way: `Open` with ``expect``, and `State` with ``same``.

Before the first ``commit`` of a run C sends ``check`` with ``peers: true`` to every machine of it, also to one without
such checks: `Checks` (then empty) says that it is still there and still provisional. After the first, none goes back.

What a machine sends for people (messages, details, reasons, outputs, notes) may hold anything, whoever wrote it there:
C escapes control characters before it shows them.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Dict, List, Optional, Tuple, TypedDict

PROTOCOL = 1
MARKER = b"ROLECALL-FRAMES-1\n"
MAX_MESSAGE = 64 << 20  # bytes of one JSON object
MAX_PAYLOAD = 1 << 30  # bytes after it


class ProtocolError(Exception):
    """The other side broke the protocol; the message says how."""


class Open(TypedDict):
    """``open``.

    ``agent``: digest by `archive.build`; ``formerly``: other names under which the machine may be installed still;
    ``expect``: digest of the configuration that it should have.
    """

    type: str
    agent: str
    protocol: int
    machine: str
    formerly: List[str]
    expect: Optional[str]


class Meta(TypedDict):
    """Who made a generation: run id, user, commit of the project (or ""), time (RFC 3339)."""

    run: str
    user: str
    commit: str
    at: str


class Generation(Meta):
    """A generation: its number, counted from 1, and its configuration's digest."""

    number: int
    digest: str


class Difference(TypedDict):
    """A resource that is not as the current generation says, and in what."""

    key: str
    reason: str


class State(TypedDict):
    """``state``.

    ``machine``: the name under which it is installed, or that of ``open``. ``same``: the current generation is the
    expected one, without drift. ``recovered``: None, or ``"undone"`` or ``"committed"``: how this open ended a switch
    that had been interrupted. ``agent_python``: e.g. ``"3.11.2"``; ``os``: os-release(5).
    """

    type: str
    machine: str
    same: bool
    current: Optional[Generation]
    drift: List[Difference]
    recovered: Optional[str]
    agent_python: str
    os: Dict[str, str]


class Compare(TypedDict):
    """``compare``. ``configuration``: `Configuration.as_json`."""

    type: str
    configuration: Dict[str, Any]


class Change(TypedDict):
    """One resource that would change, and in what.

    ``action``: ``create``; ``change`` (ours, declared anew); ``adopt`` (already so, but not yet ours, or declared in
    another way: nothing is done); ``overwrite`` (something else stands there, not ours); ``remove``; ``repair`` (ours,
    drifted). A check of the configuration is here too, as ``check:NAME``: ``create``, ``change`` or ``remove``.
    """

    key: str
    action: str
    detail: str


class Restart(TypedDict):
    """What happens to a unit: ``stop``, ``restart``, ``reload``, ``start``; or ``run`` of ``action:NAME``."""

    name: str
    verb: str


class Comparison(TypedDict):
    """``comparison``. ``digest`` names all of it with the current generation: the permission to stage just that."""

    type: str
    changes: List[Change]
    restarts: List[Restart]
    digest: str


class Stage(TypedDict):
    """``stage``. ``comparison``: digest of the `Comparison` that was shown, here or in an earlier conversation."""

    type: str
    comparison: str
    meta: Meta


class Need(TypedDict):
    """``need``. What the machine lacks: digests of blobs, and secrets as [name, file, version].

    It names only what the compared configuration itself holds; C refuses a machine that asks for anything else.
    """

    type: str
    blobs: List[str]
    secrets: List[List[str]]


class BlobFrame(TypedDict):
    """``blob``, with its bytes as payload."""

    type: str
    sha256: str


class SecretFrame(TypedDict):
    """``secret``, with its value as payload."""

    type: str
    name: str
    file: str
    version: str


class Switch(TypedDict):
    """``switch``. ``nonce``: what `Confirm` must give; ``confirm``: whether commit waits for it."""

    type: str
    nonce: str
    confirm: bool


class Progress(TypedDict):
    """``progress``, for a person."""

    type: str
    step: str
    detail: str


class Provisional(TypedDict):
    """``provisional``: switched, local checks passed, not yet committed. ``changed``: keys of `Change`."""

    type: str
    changed: List[str]


class CheckResult(TypedDict):
    """One check; ``output``: the end of what it printed."""

    name: str
    ok: bool
    output: str


class Checks(TypedDict):
    """``checks``."""

    type: str
    checks: List[CheckResult]


class Committed(TypedDict):
    """``committed``. ``notes``: what could not be tidied, for a person; the generation stands nevertheless.

    What is left to tidy is settled at the next open.
    """

    type: str
    number: int
    notes: List[str]


class Confirm(TypedDict):
    """``confirm``, with `Open`'s ``agent``: the machine can still be reached after the switch."""

    type: str
    agent: str
    run: str
    nonce: str


class Failed(TypedDict):
    """``failed``.

    ``restored``: true when the machine is as it was before this conversation's switch (also when that had not
    begun); false when it could not be brought back, which the next open tries again. ``detail``: e.g. the unit's
    last log lines. The conversation goes on: while provisional, ``undo`` is still possible, and a refused
    ``commit`` may be asked again. Only a failed opening, or a frame that cannot be read, ends it.
    """

    type: str
    message: str
    restored: bool
    detail: str


def write_frame(stream: BinaryIO, message: Any, payload: bytes = b"") -> None:  # noqa: ANN401 - any of the above
    """Writes and flushes one frame.

    Args:
        stream: Where to.
        message: One of the classes above, or a plain object with its ``type``; ``payload`` is filled in.
        payload: Raw bytes that follow it.

    Raises:
        OSError: When the other side is gone.
    """
    if payload:
        message = {**message, "payload": len(payload)}
    text = json.dumps(message, separators=(",", ":")).encode()
    stream.write(len(text).to_bytes(4, "big") + text + payload)
    stream.flush()


def read_frame(stream: BinaryIO) -> Optional[Tuple[Dict[str, Any], bytes]]:
    """The next frame: its message and its payload; None at the end of the stream.

    Raises:
        ProtocolError: When it is too large, cut short, or no JSON object with a type.
    """
    head = stream.read(4)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if len(head) < 4 or size > MAX_MESSAGE:  # noqa: PLR2004
        raise ProtocolError(f"a frame that starts with {head!r}")
    try:
        message = json.loads(_exactly(stream, size))
    except ValueError:
        raise ProtocolError("a frame that is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a frame without a type")
    length = message.pop("payload", 0)
    if not isinstance(length, int) or not 0 <= length <= MAX_PAYLOAD:
        raise ProtocolError(f"a payload of {length!r} bytes")
    return message, _exactly(stream, length)


def skip_banner(stream: BinaryIO, limit: int = 1 << 20) -> bytes:
    """Reads up to and with the line `MARKER`; what came before it.

    Raises:
        ProtocolError: When the stream ends, or the limit in bytes is reached, before the marker.
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
            last = b"".join(seen)[-2000:].decode(errors="replace").strip()
            raise ProtocolError("the agent did not start: " + last)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) != size:
        raise ProtocolError("the stream ended in the middle of a frame")
    return data
