"""The options of a project: ``tool.rolecall`` in its pyproject.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, Where, fault, nearest

if TYPE_CHECKING:
    from rolecall.project import Project

SECRETS = ("age", "pass")


@dataclass(frozen=True, slots=True)
class Options:
    """The options, by their names in the file.

    Attributes:
        nix: Whether Nix itself evaluates files in Nix.
        secrets: The store of new secrets: one of `SECRETS`.
    """

    nix: bool = False
    secrets: str = SECRETS[0]


def options(project: Project) -> Options:
    """Return the options of a project, with defaults for missing ones.

    Raises:
        Faults: When the file cannot be read, or an option is invalid.
    """
    file = project.root / "pyproject.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("rolecall", {})
    except FileNotFoundError:
        return Options()
    except OSError as error:
        raise fault(f"the file cannot be read: {error.strerror}", where=Where(file)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise fault(f"TOML: {error}", where=Where(file)) from None
    known = [field.name for field in fields(Options)]
    faults = [
        Fault(f"unknown option {name!r}", Where(file, ("tool", "rolecall", name)), nearest(name, known, what="options"))
        for name in table
        if name not in known
    ]
    if not isinstance(table.get("nix", False), bool):
        faults.append(Fault("expected true or false", Where(file, ("tool", "rolecall", "nix"))))
    if table.get("secrets", SECRETS[0]) not in SECRETS:
        expected = " or ".join(map(repr, SECRETS))
        faults.append(Fault(f"expected {expected}", Where(file, ("tool", "rolecall", "secrets"))))
    if faults:
        raise Faults(faults)
    return Options(**table)
