"""The text of an inventory file, bounded in size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where
from rolecall.inventory.data import BYTES

if TYPE_CHECKING:
    from pathlib import Path


def text(file: Path) -> str:
    """Return a file's content.

    Raises:
        Faults: When it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(BYTES + 1)
    except OSError as error:
        raise Faults([Fault(f"the file cannot be read: {error.strerror}", Where(file))]) from None
    if len(content) > BYTES:
        raise Faults([Fault(f"the file is larger than {BYTES // 1024**2} MiB", Where(file))])
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
        raise Faults(
            [Fault("the file is not valid UTF-8", Where(file, (), line, column), "save the file as UTF-8")]
        ) from None
