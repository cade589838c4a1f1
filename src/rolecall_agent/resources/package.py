"""A package of the distribution."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Mapping, Optional

from rolecall_agent.resources import checks
from rolecall_agent.resources.placing import ABSENT

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Package:
    """A package to install.

    Attributes:
        name: Its name on Debian, and on distributions that ``names`` does not list.
        names: Other names by the ``ID`` or ``ID_LIKE`` of os-release(5), e.g. ``{"arch": "borg"}``.
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
        return f"package:{self.name}"

    def name_on(self, system: System) -> str:
        """Return its name on this machine's distribution."""
        if not self.names:
            return self.name
        release = system.os_release()
        families = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
        return next((self.names[family] for family in families if family in self.names), self.name)

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        return None if system.packages.installed(self.name_on(system)) else ABSENT

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        name = self.name_on(system)
        return {self.key: {"name": name, "installed": system.packages.installed(name)}}

    def apply(self, system: System, store: ContentStore) -> None:
        pass  # the switch installs all packages at once, before anything else

    def restore(self, system: System, store: ContentStore, original: Dict[str, Any]) -> None:
        pass  # the switch removes packages when it is settled, so that an undo needs no network
