"""A parameter of the kernel."""
# ruff: noqa: D102 - `base.Resource` and `live.Live` describe the methods

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from rolecall_agent.resources import checks
from rolecall_agent.resources.file import File
from rolecall_agent.resources.live import Live

# sysctl.d(5): dots and slashes change places if the first of them is a slash; here, a dot is the first.
_NAME = re.compile(r"[a-z0-9_]+(?:\.[A-Za-z0-9_/:@-]+)+\Z")


@dataclass(frozen=True)
class Sysctl(Live):
    """A parameter of the kernel (sysctl(8)), now and at each boot.

    Attributes:
        name: Its name with dots, such as ``net.ipv4.ip_forward``. A dot inside of a part is written as a slash.
        value: Its value; several values are separated by blanks.
    """

    kind: ClassVar[str] = "sysctl"
    name: str
    value: str

    def __post_init__(self) -> None:
        checks.matching(_NAME, self.name, "sysctl")
        value = " ".join(checks.single_line(str(self.value), f"sysctl {self.name}").split())
        checks.require(value, f"sysctl {self.name}: the value is empty")
        object.__setattr__(self, "value", value)

    @property
    def key(self) -> str:
        return f"sysctl:{self.name}"

    @property
    def wanted(self) -> str:
        return self.value

    @property
    def file(self) -> File:
        # After /etc/sysctl.conf, which is read as 99-sysctl.conf.
        path = f"/etc/sysctl.d/99-z-rolecall-{self.name.replace('/', '-')}.conf"
        return File(path, f"{self.name} = {self.value}\n")
