"""What the kinds share that the kernel has now, and that a file brings back at each boot."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Container, Dict, Optional, Sequence, Set, Tuple

from rolecall_agent.resources import placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource, difference

if TYPE_CHECKING:
    from rolecall_agent.content import Part
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.resources.file import File
    from rolecall_agent.system import System


class Live(Resource):
    """A value that the kernel has now, and a file that gives it to it at each boot. Undeclaring brings back both."""

    can_be_made: ClassVar[bool] = True
    """Whether giving the kernel a value makes it have one, even if it had none before."""

    @property
    @abstractmethod
    def file(self) -> File:
        """What is read at a boot."""

    @property
    @abstractmethod
    def wanted(self) -> str:
        """What the kernel must have now."""

    @property
    def subject(self) -> str:
        """Of what: the name in `seam.kernel.Kernel`."""
        return self.key.partition(":")[2]

    def shown(self, live: Optional[str]) -> str:
        """Return a value for a person."""
        return live or "nothing"

    def is_wanted(self, live: Optional[str]) -> bool:
        """Return whether a value is the wanted one; the kernel may show it in another way."""
        return live == self.wanted

    def _is_gone(self, live: Optional[str]) -> bool:
        """Return whether the kernel no longer has what a value could be given to."""
        return live is None and not self.can_be_made

    @property
    def parts(self) -> Tuple[Part, ...]:
        return self.file.parts

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.file.path,)

    def content_on(self, system: System) -> Optional[bytes]:
        return self.file.content_on(system)

    def announce(self, system: System) -> None:
        system.kernel.prefetch(self.kind, [self.subject])

    def obstacle(self, system: System) -> str:
        return self.file.obstacle(system)

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:
        live = original.get("live")
        return f"it is {self.shown(live)} again" if live and live != self.wanted else ""

    @classmethod
    def verify(cls, resources: Sequence[Any], changed: Set[str], system: System, store: ContentStore) -> None:
        for item in resources:
            if item.key in changed:
                system.validate(item.file.path, store.content(item.parts))

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        live = system.kernel.value(self.kind, self.subject)
        in_file = self.file.reason_to_change(system, store)
        if in_file == ABSENT and live is None:
            return ABSENT
        reasons = [f"{self.file.path}: {in_file}"] if in_file else []
        if not self.is_wanted(live):
            reasons.append(f"{self.shown(live)}, not {self.shown(self.wanted)}")
        return ", ".join(reasons) or None

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        path = self.file.path
        captured = {"file": store.capture(path), "live": system.kernel.value(self.kind, self.subject)}
        return {self.key: captured, **placing.missing_parents(system, path)}

    def apply(self, system: System, store: ContentStore) -> None:
        if self.file.reason_to_change(system, store):
            self.file.apply(system, store)
        if not self.is_wanted(system.kernel.value(self.kind, self.subject)):
            system.kernel.change(self.kind, self.subject, self.wanted)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        now = system.kernel.value(self.kind, self.subject)
        if now != captured["live"] and not self._is_gone(now):
            system.kernel.change(self.kind, self.subject, captured["live"])
        store.restore(self.file.path, captured["file"])  # last, since `difference_from` cannot demand an absent value

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        live = system.kernel.value(self.kind, self.subject)
        if captured["live"] not in {None, live} and not self._is_gone(live):
            return f"{self.shown(live)}, not {self.shown(captured['live'])} as before"
        return difference(captured["file"], store.look(self.file.path), system)
