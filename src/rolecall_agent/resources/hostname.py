"""The name of the machine."""
# ruff: noqa: D102 - `base.Resource` and `live.Live` describe the methods

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rolecall_agent.resources import checks
from rolecall_agent.resources.file import File
from rolecall_agent.resources.live import Live

# hostname(7); the kernel allows 64 characters.
_PART = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,64}}\Z){_PART}(?:\.{_PART})*\Z")


@dataclass(frozen=True)
class Hostname(Live):
    """The name of the machine: /etc/hostname, and what the kernel says. It has nothing to do with Rolecall's name."""

    kind: ClassVar[str] = "hostname"
    name: str

    def __post_init__(self) -> None:
        checks.matching(_NAME, self.name, "hostname")

    @property
    def key(self) -> str:
        return "hostname:/etc/hostname"

    @property
    def wanted(self) -> str:
        return self.name

    @property
    def file(self) -> File:
        return File("/etc/hostname", f"{self.name}\n")
