"""Writing the inventory: tools write `inventory.json`, a layer below what a person's own file says."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rolecall import files
from rolecall.errors import Faults, Where, fault
from rolecall.inventory.files import TOOLS
from rolecall.inventory.load import join, read
from rolecall.inventory.notations import json_text
from rolecall.model.inventory import NAME_LENGTH, NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rolecall.errors import Fault
    from rolecall.project import Project


def add_machine(project: Project, name: str, values: Mapping[str, Any]) -> Path:
    """Declares a machine in `inventory.json`; the file that was written.

    Args:
        project: The project.
        name: The machine's name.
        values: Its table, in the inventory's own form.

    Raises:
        Faults: When the name is none or declared already, or the inventory would have faults that it has not now;
            nothing is written then.
    """
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > NAME_LENGTH:
        hint = "names are letters, digits, `_` and `-`, at most 63 of them, and begin with no `-`"
        raise fault(f"{name[:80]!r} is no name of a machine", hint=hint)
    with files.locked(project.local / "inventory.lock"):
        loaded, before = read(project)
        if name in loaded.inventory.machines:
            raise fault(f"the machine {name!r} is declared already")
        path = project.root / TOOLS
        data = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
        data.setdefault("machines", {})[name] = dict(values)
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        others = [source for source in loaded.sources if source.file != path]
        folders = sum(source.file == project.machines for source in others)  # more general than what tools write
        _, after = join([*others[:folders], json_text.read(text, path), *others[folders:]])
        known = {_essence(each) for each in before}
        if new := [each for each in after if _essence(each) not in known]:
            raise Faults(each.at(Where(keys=each.where.keys if each.where else ())) for each in new)  # in no file yet
        files.replace(path, text)
    return path


def _essence(fault: Fault) -> tuple[object, ...]:
    """What makes a fault the same, whatever line it has moved to."""
    return fault.message, fault.where and fault.where.keys
