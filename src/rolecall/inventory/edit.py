"""Writing the inventory: tools write `inventory.json`, a layer below what a person's own file says."""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.errors import fault
from rolecall.inventory.load import read
from rolecall.model.inventory import NAME_LENGTH, NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolecall.project import Project


def add_machine(project: Project, name: str, values: Mapping[str, Any]) -> Path:
    """Declares a machine in `inventory.json`; the file that was written.

    Args:
        project: The project.
        name: The machine's name.
        values: Its table, in the inventory's own form.

    Raises:
        Faults: When the name is none or declared already; nothing is written then.
    """
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > NAME_LENGTH:
        hint = "names are letters, digits, `_` and `-`, at most 63 of them, and begin with no `-`"
        raise fault(f"{name[:80]!r} is no name of a machine", hint=hint)
    with _locked(project):
        loaded, _ = read(project)
        if name in loaded.inventory.machines:
            raise fault(f"the machine {name!r} is declared already")
        path = project.root / "inventory.json"
        data = json.loads(path.read_text()) if path.is_file() else {}
        data.setdefault("machines", {})[name] = dict(values)
        _replace(path, json.dumps(data, indent=2) + "\n")
    return path


def _replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all, with the mode that it had."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def _locked(project: Project) -> Iterator[None]:
    """One writer at a time."""
    project.local.mkdir(exist_ok=True)
    with (project.local / "inventory.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
