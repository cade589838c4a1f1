"""A package of the distribution."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterable, List, Mapping, Optional, Sequence

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

    @property
    def interrupts(self) -> bool:
        return False

    def announce(self, system: System) -> None:
        system.packages.prefetch([self.name_on(system)])

    def removal_note(self, original: Captured) -> str:
        return "was installed before; it is kept" if original.get("installed") else ""

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
        system.packages.install([self.name_on(system)])

    @classmethod
    def apply_all(cls, resources: Sequence[Package], system: System, store: ContentStore, report: Report) -> None:
        missing = [item.name_on(system) for item in resources if item.reason_to_change(system, store)]
        if missing:  # all at once, as the packages may depend on each other
            report("install", " ".join(missing))
            system.packages.install(missing)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        pass  # `settle` removes it, so that an undo needs no network

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        return ""  # as above

    @classmethod
    def settle(cls, ended: Mapping[str, Captured], declared: Iterable[Captured], system: System) -> List[str]:
        needed = {original["name"] for original in declared}  # two resources may name the same package
        ours = [original["name"] for original in ended.values() if not original["installed"]]
        return system.packages.uninstall(
            [name for name in ours if name not in needed and system.packages.installed(name)]
        )
