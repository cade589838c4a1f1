"""Files of the state directory of a machine, whose content is verified when it is read; `store` shows what is in it."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Dict

from rolecall_agent.errors import Failure

if TYPE_CHECKING:
    from rolecall_agent.system import System

HOME = "/var/lib/rolecall"

Json = Dict[str, Any]

_DIGEST = "sha256"


class DamagedError(Failure):
    """A file of the state directory is damaged or lost."""


def read_json(system: System, name: str) -> Any:  # noqa: ANN401 - JSON is any of its types
    """Return the data in a file below `HOME`; None when it does not exist.

    Raises:
        DamagedError: When it is damaged.
    """
    try:
        return checked(system.read(f"{HOME}/{name}"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise damaged(name, f"its content {error}") from None


def write_json(system: System, name: str, data: Any) -> None:  # noqa: ANN401 - as above
    """Replace a file below `HOME`; an object gets a digest of its other members."""
    system.write(f"{HOME}/{name}", with_digest(data))


def with_digest(data: Any) -> bytes:  # noqa: ANN401 - as above
    """Return data as JSON in one line; an object gets a digest of its other members."""
    return _encode({**data, _DIGEST: _digest(data)} if isinstance(data, dict) else data)


def checked(text: bytes, *, required: bool = False) -> Any:  # noqa: ANN401 - as above
    """Return the data that `with_digest` has encoded.

    Args:
        text: The JSON.
        required: Whether it must be an object with a digest, which files of earlier versions do not have.

    Raises:
        ValueError: When it is damaged; the message is a predicate.
    """
    try:
        data = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON") from None
    found = data.pop(_DIGEST, None) if isinstance(data, dict) else None
    if (required or found is not None) and found != _digest(data):
        raise ValueError("does not match its digest")
    return data


def damaged(name: str, problem: str) -> DamagedError:
    """Return the error that a file below `HOME` is damaged, with what to do about it."""
    return DamagedError(
        f"{HOME}/{name} is damaged: {problem}; restore it from a backup of the machine, or give it up: "
        "`rolecall machines recover MACHINE --accept`"
    )


def is_intact(system: System, name: str, sha256: str) -> bool:
    """Return whether a file below `HOME` has this digest; False when it does not exist."""
    try:
        return system.digest(f"{HOME}/{name}") == sha256
    except (Failure, OSError):
        return False


def sync(folder: str) -> None:
    """Wait until the names in a folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_all(system: System, path: str) -> None:
    """Remove a file, or a folder with everything in it, if it exists."""
    entry = system.stat(path)
    if entry and entry.type == "directory":
        for name in system.names(path):
            remove_all(system, f"{path}/{name}")
    system.remove(path)


def _digest(data: Json) -> str:
    return hashlib.sha256(_encode(data)).hexdigest()


def _encode(data: Any) -> bytes:  # noqa: ANN401 - as above
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
