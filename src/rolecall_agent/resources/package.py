"""A package of the distribution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Mapping

from rolecall_agent.resources import checks


@dataclass(frozen=True)
class Package:
    """A package that is installed.

    Attributes:
        name: Its name on Debian and wherever ``names`` says nothing else.
        names: Other names, by the ``ID`` or an ``ID_LIKE`` of os-release(5), e.g. ``{"arch": "borg"}``.
    """

    kind: ClassVar[str] = "package"
    name: str
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.matching(checks.PACKAGE, self.name, "package")
        for name in self.names.values():
            checks.matching(checks.PACKAGE, name, f"package {self.name}")

    @property
    def key(self) -> str:
        """Names this package among all resources of a machine."""
        return f"package:{self.name}"
