"""A parameter of the kernel."""
# ruff: noqa: D102 - `base.Resource` and `live.Live` describe the methods

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, List, Optional, Set, Union

from rolecall_agent.resources import checks
from rolecall_agent.resources.file import File
from rolecall_agent.resources.live import Live

if TYPE_CHECKING:
    from rolecall_agent.system import System

# sysctl.d(5): dots and slashes change places if the first of them is a slash; here, a dot is the first.
_NAME = re.compile(r"[a-z0-9_]+(?:\.[A-Za-z0-9_/:@-]+)+\Z")
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})\Z")
_LARGEST_RANGE = 1 << 16  # as many ports


@dataclass(frozen=True)
class Sysctl(Live):
    """A parameter of the kernel (sysctl(8)), now and at each boot.

    Attributes:
        name: Its name with dots, such as ``net.ipv4.ip_forward``. A dot inside of a part is written as a slash.
        value: Its value, a number or a text; several values are separated by blanks.
    """

    kind: ClassVar[str] = "sysctl"
    can_be_made: ClassVar[bool] = False
    name: str
    value: Union[str, int]

    def __post_init__(self) -> None:
        checks.matching(_NAME, self.name, "sysctl")
        checks.require(type(self.value) in {str, int}, f"sysctl {self.name}: {self.value!r} is not a number or text")
        value = " ".join(checks.single_line(str(self.value).replace("\t", " "), f"sysctl {self.name}").split())
        checks.require(value, f"sysctl {self.name}: the value is empty")
        object.__setattr__(self, "value", value)

    @property
    def key(self) -> str:
        return f"sysctl:{self.name}"

    @property
    def wanted(self) -> str:
        return str(self.value)

    def is_wanted(self, live: Optional[str]) -> bool:
        return live is not None and _meaning(live) == _meaning(self.wanted)

    def lacks(self, system: System) -> str:
        known = system.kernel.value(self.kind, self.name) is not None
        hint = "check its name, or declare the KernelModule that brings it"
        return "" if known else f"the kernel of this machine does not have it; {hint}"

    @property
    def file(self) -> File:
        # After /etc/sysctl.conf, which is read as 99-sysctl.conf.
        path = f"/etc/sysctl.d/99-z-rolecall-{self.name.replace('/', '-')}.conf"
        return File(path, f"{self.name} = {self.value}\n")


def _meaning(value: str) -> List[Set[str]]:
    """Return a value so that two ways to write a list are equal: of `1,2,3`, the kernel makes `1-3`."""
    return [{number for item in word.split(",") for number in _numbers(item)} for word in value.split()]


def _numbers(item: str) -> List[str]:
    limits = _RANGE.match(item)
    if limits and int(limits[2]) - int(limits[1]) < _LARGEST_RANGE:
        return [str(number) for number in range(int(limits[1]), int(limits[2]) + 1)]
    return [item]
