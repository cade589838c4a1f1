"""Single files of vars that change in place, each by a rename(2). The caller holds the lock of `store`."""

# Paths are strings here: in a project with ten thousand vars, pathlib would cost more than the disk.
# ruff: noqa: PTH104, PTH108, PTH110, PTH123

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from rolecall.files import sync
from rolecall.vars.layout import has_conflict, known_to, read_bytes, recipients
from rolecall.vars.soundness import made_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal


def note_known(folder: str, whom: Literal["machines", "formerly"], names: Iterable[str]) -> None:
    """Replace the list that `known_to` reads; the caller holds the lock."""
    replace_file(folder, whom, as_lines(names), 0o644)


def replace_secret(folder: str, data: bytes, new_recipients: Iterable[str]) -> None:
    """Replace a secret by the same one, encrypted to other recipients; the caller holds the lock.

    Keys that lose access are listed in ``formerly`` first. If interrupted after the secret, ``recipients`` lists too
    many keys; the next `vars check` reports it. Until the end, ``.made`` lists both.
    """
    new_recipients = set(new_recipients)
    if lost := (recipients(folder) or frozenset()) - new_recipients:
        note_known(folder, "formerly", known_to(folder, "formerly") | lost)
    together, file = os.path.split(folder)
    made = read_bytes(f"{together}/.made").decode() if os.path.exists(f"{together}/.made") else ""
    others = "".join(line for line in made.splitlines(keepends=True) if not line.startswith(f"{file} "))
    if made:
        replace_file(together, ".made", (made + made_line(folder, data)).encode(), 0o644)
    replace_file(folder, "secret", data, 0o600)
    replace_file(folder, "recipients", as_lines(new_recipients), 0o644)
    if made:
        replace_file(together, ".made", (others + made_line(folder, data)).encode(), 0o644)


def keep_both_sides(folder: str) -> bool:
    """Resolve merge conflicts in the lists beside a secret by keeping both sides: both may have seen the secret.

    The caller holds the lock.

    Returns:
        Whether there was a conflict.
    """
    lists: tuple[Literal["machines", "formerly"], ...] = ("machines", "formerly")
    conflicts = [name for name in lists if has_conflict(f"{folder}/{name}")]
    for name in conflicts:
        note_known(folder, name, known_to(folder, name))
    return bool(conflicts)


def replace_file(folder: str, name: str, content: bytes, mode: int) -> None:
    """Replace one file; durable before it has its name."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/.{name}")  # left by a killed writer
    write_new(f"{folder}/.{name}", content, mode)
    sync(f"{folder}/.{name}")
    os.rename(f"{folder}/.{name}", f"{folder}/{name}")


def as_lines(names: Iterable[str]) -> bytes:
    """Return a list as its file has it: one name or key a line, sorted."""
    return "".join(f"{name}\n" for name in sorted(names)).encode()


def write_new(path: str, data: bytes, mode: int) -> None:
    """Write a file that does not exist yet."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
