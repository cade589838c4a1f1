"""The confirmation of a provisional switch over a second connection: the machine can still be reached and updated.

It imports little, since every update waits for it on every machine.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, Optional

from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME, read_json, sync, write_json

if TYPE_CHECKING:
    import socket

    from rolecall_agent.protocol import Confirm


def serve(
    first: Confirm,
    source: BinaryIO,  # noqa: ARG001 - as of `wire.serve`
    sink: BinaryIO,
    root: Optional[str],
    connection: Optional[socket.socket] = None,  # noqa: ARG001 - as above
) -> int:
    """Answer `protocol.Confirm`, which is the only message; return the exit status."""
    answer: Dict[str, Any] = {"type": "confirmed"}
    try:
        confirm(root or "/", first["run"], first["nonce"])
    except Exception as error:  # noqa: BLE001 - the controller must get an answer
        answer = {"type": "failed", "message": str(error), "restored": True, "detail": "", "locked": False}
        answer["damaged"] = []
    text = json.dumps(answer).encode()
    sink.write(len(text).to_bytes(4, "big") + text)
    sink.flush()
    return int(answer["type"] == "failed")


def confirm(root: str, run: str, nonce: str) -> None:
    """Record that a provisional switch was confirmed.

    Args:
        root: The root of the machine.
        run: The run that switches.
        nonce: What the controller told the agent that switches.

    Raises:
        Failure: When no such switch is provisional, or the journal is damaged.
        OSError: When it cannot be read, or the confirmation cannot be written.
    """
    files: Any = _Files(root)
    journal = read_json(files, "journal.json")
    if not isinstance(journal, dict) or not (
        journal["provisional"] and (journal["meta"]["run"], journal["nonce"]) == (run, nonce)
    ):
        raise Failure(f"no provisional switch of run {run} expects this confirmation")
    write_json(files, "confirmed", nonce)


class _Files:
    """The files of the state directory, which only root can reach; so this needs no `Tree`."""

    def __init__(self, root: str) -> None:
        self._root = root

    def read(self, path: str) -> bytes:
        with open(self._root + path, "rb") as file:
            return file.read()

    def write(self, path: str, data: bytes) -> None:
        temporary = f"{self._root}{HOME}/.rolecall-{os.urandom(8).hex()}"
        with open(temporary, "xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, self._root + path)
        sync(self._root + HOME)
