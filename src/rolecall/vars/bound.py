"""The vars with which data would be lost, which no general command removes."""

# Paths are strings here, as in `store`.
# ruff: noqa: PTH112

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.vars.layout import binds, keys_of, var_folder

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from rolecall.model.vars import VarKey
    from rolecall.project import Project


@dataclass(frozen=True, slots=True)
class Bound:
    """A var that no general command removes.

    Attributes:
        key: The var.
        binds: What would be lost with it; "" if unknown.
    """

    key: VarKey
    binds: str

    @property
    def why(self) -> str:
        """What would be lost, in words."""
        return self.binds or "Rolecall cannot tell whether anything depends on it"


def bound_in(project: Project, base: Path, wanted: Container[VarKey] = ()) -> list[Bound]:
    """Return the vars below ``base`` with which something would, or may, be lost; without those that are wanted.

    A pending var whose stored value would remain is not among them.
    """
    bound = [Bound(key, text or "") for key in keys_of(base) if key not in wanted and (text := binds(base, key)) != ""]
    return [var for var in bound if base == project.vars or not os.path.isdir(var_folder(project.vars, var.key))]


def bound_to(project: Project, key: VarKey) -> str:
    """Return what is known to be lost with a stored var; "" for nothing."""
    return binds(project.vars, key) or ""
