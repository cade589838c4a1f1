"""A regular file."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import re
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Container, Dict, Optional, Sequence, Set, Tuple

from rolecall_agent.content import Content, Part, Secret, as_parts
from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource, difference
from rolecall_agent.resources.obstacles import obstacle
from rolecall_agent.tree import ACL

_SECRETS = "/run/rolecall/secrets/"  # a tmpfs
_DROP_IN = re.compile(r"/(?:etc|run)/systemd/system/([^/@]+(?:@[^/]*)?\.[a-z]+)\.d/[^/]+\.conf\Z")
_GROUP, _WORLD, _SPECIAL = 0o070, 0o007, 0o7000

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System


@dataclass(frozen=True)
class File(Resource):
    """A regular file with exactly this content. Missing parent folders are created.

    Attributes:
        path: Absolute path.
        content: Text, bytes, or `parts(…)` of them and secrets. Only the owner may read a file with a secret, unless
            ``readable_by`` names a group; below /run/rolecall/secrets ``group`` and ``mode`` can allow a group.
        owner: Name of a user, or a user id.
        group: Name of a group, or a group id.
        mode: Permission bits; by default 0644, or with a secret 0600, or 0640 if ``readable_by`` names a group.
        needed_for: ``"services"``, or ``"packages"``: written before packages are installed and accounts created.
        restarts: Names of units to restart when it changes, if they are running. They need not be declared. A drop-in
            of a unit always restarts that unit.
        readable_by: A group whose members may read the secret too; it becomes the file's group. None disables the
            check, as on the machine itself.
    """

    kind: ClassVar[str] = "file"
    path: str
    content: Content
    owner: str = "root"
    group: str = "root"
    mode: int = -1
    needed_for: str = "services"
    restarts: Tuple[str, ...] = ()
    readable_by: InitVar[Optional[str]] = ""

    def __post_init__(self, readable_by: Optional[str]) -> None:
        object.__setattr__(self, "path", checks.declarable_path(str(self.path), "file"))
        what = f"file {self.path}"
        if readable_by:
            checks.require(
                self.group in {"root", readable_by},
                f"{what}: readable_by={readable_by!r} contradicts group={self.group!r}",
            )
            object.__setattr__(self, "group", readable_by)
        object.__setattr__(self, "owner", checks.owner(self.owner, what))
        object.__setattr__(self, "group", checks.owner(self.group, what))
        object.__setattr__(self, "content", as_parts(self.content))
        secret = bool(self.secrets)
        if self.mode == -1:
            object.__setattr__(self, "mode", (0o640 if readable_by else 0o600) if secret else 0o644)
        checks.mode(self.mode, what)
        if secret and readable_by is not None:
            self._require_secrecy(what, group=bool(readable_by) or self.path.startswith(_SECRETS))
        if self.needed_for != "services":
            checks.require(
                self.needed_for == "packages",
                f"{what}: needed_for must be 'services' or 'packages', not {self.needed_for!r}",
            )
            early = self.owner == self.group == "root"
            checks.require(
                early, f"{what}: must be owned by root, because it is needed for packages, before accounts are created"
            )
        if self.restarts:
            names = checks.elements(lambda name, where: checks.matching(checks.UNIT, name, where), self.restarts, what)
            object.__setattr__(self, "restarts", tuple(sorted(set(names))))

    def _require_secrecy(self, what: str, *, group: bool) -> None:
        """Require a mode with which only the owner, or a group named for this, can read the secret."""
        checks.require(
            not self.mode & _WORLD,
            f"{what}: contains a secret, but mode {self.mode:04o} lets every user read or change it",
        )
        checks.require(
            group or not self.mode & _GROUP,
            f"{what}: contains a secret, but mode {self.mode:04o} lets the group {self.group} read or change it; "
            "to let its members read it, use readable_by=GROUP",
        )
        forbidden = self.mode & (_SPECIAL | 0o020)
        checks.require(not forbidden, f"{what}: contains a secret, so mode {self.mode:04o} is not allowed")

    @property
    def shared_with(self) -> str:
        """The group whose members can read a secret in the file; "" for none."""
        return self.group if self.secrets and self.mode & _GROUP else ""

    @property
    def parts(self) -> Tuple[Part, ...]:
        return self.content  # type: ignore[return-value]  # __post_init__ made it so

    @property
    def key(self) -> str:
        return f"file:{self.path}"

    @property
    def needed_early(self) -> bool:
        return self.needed_for == "packages"

    @property
    def interrupts(self) -> bool:
        return not self.needed_early

    @property
    def volatile(self) -> bool:
        return self.path.startswith("/run/")

    @property
    def units(self) -> Tuple[str, ...]:
        drop_in = _DROP_IN.match(self.path)
        return (*self.restarts, drop_in[1]) if drop_in and drop_in[1] not in self.restarts else self.restarts

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.path,)

    def content_on(self, system: System) -> Optional[bytes]:
        entry = system.stat(self.path)
        return system.read(self.path) if entry and entry.type == "file" else None

    def removal_note(self, original: Captured, ending: Container[str], system: System) -> str:
        return "the original is restored" if original.get("type", ABSENT) != ABSENT else ""

    @classmethod
    def verify(cls, resources: Sequence[File], changed: Set[str], system: System, store: ContentStore) -> None:
        for file in resources:
            if file.key in changed and not file.secrets:
                system.validate(file.path, store.content(file.parts))

    def obstacle(self, system: System) -> str:
        return obstacle(system, self.path, "file")

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        entry = system.stat(self.path)
        differences = placing.differences(entry, "file", self.owner, self.group, self.mode)
        if entry and entry.type == "file" and not store.matches(self.parts, system.read(self.path)):
            differences.insert(0, "content")
        if entry and entry.type == "file" and self._has_other_readers(system):
            differences.append("an access control list")
        return ", ".join(differences) or None

    def _has_other_readers(self, system: System) -> bool:
        """Return whether an access control list lets others read a secret; the mode of the group limits it, acl(5)."""
        return bool(self.secrets and self.mode & _GROUP) and ACL in system.attributes(self.path)

    def note(self, system: System) -> str:
        who = placing.replaceable_by(system, self.path) if self.owner == "root" else ""
        replaceable = f"it can be replaced by {who}" if who else ""
        return "; ".join(filter(None, [replaceable, placing.without_effect(system, self.path, self.mode)]))

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        return {self.key: store.capture(self.path), **placing.missing_parents(system, self.path)}

    def apply(self, system: System, store: ContentStore) -> None:
        placing.make_parents(system, self.path)
        entry = system.stat(self.path)
        # A user may have linked any file here, or may have shared their own.
        own = entry and entry.type == "file" and entry.links == 1 and entry.owner in {"root", self.owner}
        if own and not self._has_other_readers(system) and store.matches(self.parts, system.read(self.path)):
            system.set_access(self.path, "file", self.owner, self.group, self.mode)  # keeps its modification time
        else:
            access = (self.owner, self.group, self.mode)
            system.write(self.path, store.content(self.parts), *access, private=bool(self.secrets))

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        store.restore(self.path, captured)

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        now = store.look(self.path)  # without storing its content, which may be secret
        return difference(captured, now, system)


def secret_file(secret: Secret, owner: str = "root", group: str = "root", mode: int = 0o400) -> File:
    """Return a file at ``secret.path``, on a tmpfs, that contains only the secret."""
    return File(secret.path, secret, owner, group, mode)
