"""A package of the distribution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Mapping, Optional

from rolecall_agent.resources import checks
from rolecall_agent.resources.placing import ABSENT

if TYPE_CHECKING:
    from rolecall_agent.store import Store
    from rolecall_agent.system import System


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

    def name_on(self, system: System) -> str:
        """Its name on this machine's distribution."""
        if not self.names:
            return self.name
        release = system.os_release()
        families = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
        return next((self.names[family] for family in families if family in self.names), self.name)

    def difference(self, system: System, store: Store) -> Optional[str]:  # noqa: ARG002 - as every kind
        """In what the machine differs from this; None for nothing."""
        return None if system.installed(self.name_on(system)) else ABSENT

    def capture(self, system: System, store: Store) -> Dict[str, Any]:  # noqa: ARG002 - as every kind
        """What stands there now, for `restore`."""
        name = self.name_on(system)
        return {self.key: {"name": name, "installed": system.installed(name)}}

    def apply(self, system: System, store: Store) -> None:
        """Makes it so."""
        # The switch installs all packages at once, before anything else.

    def restore(self, system: System, store: Store, original: Dict[str, Any]) -> None:
        """Makes it what `capture` found."""
        # When the switch is settled, so that going back needs no network.
