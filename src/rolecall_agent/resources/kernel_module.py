"""A module of the kernel."""
# ruff: noqa: D102 - `base.Resource` and `live.Live` describe the methods

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rolecall_agent.resources import checks
from rolecall_agent.resources.file import File
from rolecall_agent.resources.live import Live

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


@dataclass(frozen=True)
class KernelModule(Live):
    """A module of the kernel, loaded now and at each boot.

    When it is undeclared, it is unloaded if it was not loaded before and nothing uses it.
    """

    kind: ClassVar[str] = "kernel-module"
    name: str

    def __post_init__(self) -> None:
        checks.matching(_NAME, self.name, "kernel module")

    @property
    def key(self) -> str:
        return f"kernel-module:{self.name}"

    @property
    def wanted(self) -> str:
        return "loaded"

    @property
    def file(self) -> File:
        return File(f"/etc/modules-load.d/rolecall-{self.name}.conf", f"{self.name}\n")
