"""A package of the distribution."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Container, Dict, Mapping, Optional, Sequence

from rolecall_agent.resources import checks
from rolecall_agent.resources.base import ABSENT, Captured, Report, Resource

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


@dataclass(frozen=True)
class Package(Resource):
    """A package to install.

    Attributes:
        name: Its name on Debian, and on distributions that ``names`` does not list.
        names: Other names by the ``ID`` or ``ID_LIKE`` of os-release(5), e.g. ``{"arch": "borg"}``.
        purge: Whether its configuration files are removed with it; by default, they stay.
    """

    kind: ClassVar[str] = "package"
    name: str
    names: Mapping[str, str] = field(default_factory=dict)
    purge: Optional[bool] = None

    def __post_init__(self) -> None:
        checks.matching(checks.PACKAGE, self.name, "package")
        for name in self.names.values():
            checks.matching(checks.PACKAGE, name, f"package {self.name}")
        known = self.purge is None or type(self.purge) is bool
        checks.require(known, f"package {self.name}: purge must be True or False, not {self.purge!r}")

    @property
    def key(self) -> str:
        return f"package:{self.name}"

    @property
    def interrupts(self) -> bool:
        return False

    def announce(self, system: System) -> None:
        system.packages.prefetch([self.name_on(system)])

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:
        if original.get("installed"):
            return "was installed before; it is kept"
        return "with its configuration files" if self.purge else "its configuration files are kept"

    def name_on(self, system: System) -> str:
        """Return its name on this machine's distribution."""
        if not self.names:
            return self.name
        release = system.os_release()
        families = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
        return next((self.names[family] for family in families if family in self.names), self.name)

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        state = system.packages.state(self.name_on(system))
        return None if state.status == "installed" else state.status if state.present else ABSENT

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        name = self.name_on(system)
        state = system.packages.state(name)
        return {self.key: {"name": name, "installed": state.present, "status": state.status}}

    def apply(self, system: System, store: ContentStore) -> None:
        name = self.name_on(system)
        system.packages.install([name], system.packages.preview([name], sources_change=False))

    @classmethod
    def apply_all(cls, resources: Sequence[Package], system: System, store: ContentStore, report: Report) -> None:
        pass  # `transaction.install` installs all of them together

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        pass  # `transaction` puts all packages back together, and removes none before the switch is committed

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        return ""  # as above
