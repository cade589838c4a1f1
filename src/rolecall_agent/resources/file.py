"""A regular file."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional, Tuple

from rolecall_agent.content import Content, Part, Secret, as_parts
from rolecall_agent.resources import checks, placing

_SECRETS = "/run/rolecall/secrets/"  # a tmpfs
_GROUP, _WORLD, _SPECIAL = 0o070, 0o007, 0o7000

if TYPE_CHECKING:
    from rolecall_agent.store import Store
    from rolecall_agent.system import System


@dataclass(frozen=True)
class File:
    """A regular file with this very content. Missing folders above it are made.

    Attributes:
        path: Absolute path.
        content: Text, bytes, or `parts(…)` of them and secrets. A file with a secret is for its owner alone, unless
            ``readable_by`` names a group, or it stands below /run/rolecall/secrets: there ``group`` does.
        owner: User name.
        group: Group name.
        mode: Permission bits; where there is a secret 0600 by default, or 0640 for a group; else 0644.
        needed_for: ``"services"``, or ``"packages"``: then it is there before packages are installed and accounts made.
        restarts: Names of units that are restarted when it changes, if they run: also of units that nobody declares.
        readable_by: A group whose members can read the secret in it too; it becomes the file's group. None: whoever
            can is no concern, as on the machine itself.
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
        object.__setattr__(self, "path", checks.absolute_path(str(self.path), "file"))
        what = f"file {self.path}"
        if readable_by:
            checks.require(
                self.group in {"root", readable_by}, f"{what}: is readable by {readable_by}, not {self.group}"
            )
            object.__setattr__(self, "group", readable_by)
        checks.matching(checks.ACCOUNT, self.owner, what)
        checks.matching(checks.ACCOUNT, self.group, what)
        object.__setattr__(self, "content", as_parts(self.content))
        secret = bool(self.secrets)
        if self.mode == -1:
            object.__setattr__(self, "mode", (0o640 if readable_by else 0o600) if secret else 0o644)
        checks.mode(self.mode, what)
        if secret and readable_by is not None:
            self._require_secrecy(what, group=bool(readable_by) or self.path.startswith(_SECRETS))
        if self.needed_for != "services":
            checks.require(self.needed_for == "packages", f"{what}: needed for {self.needed_for!r}")
            early = self.owner == self.group == "root"
            checks.require(early, f"{what}: is there before accounts are made, so it must be root's")
        if self.restarts:
            names = checks.each(lambda name, where: checks.matching(checks.UNIT, name, where), self.restarts, what)
            object.__setattr__(self, "restarts", tuple(sorted(set(names))))

    def _require_secrecy(self, what: str, *, group: bool) -> None:
        """Only its owner can read a secret, or a group that was named for it; nobody else can change it."""
        checks.require(
            not self.mode & _WORLD,
            f"{what}: holds a secret, and with mode {self.mode:04o} every user could read or change it",
        )
        checks.require(
            group or not self.mode & _GROUP,
            f"{what}: holds a secret, and with mode {self.mode:04o} the group {self.group} could read or change it; "
            "if its members should read it, write readable_by=GROUP",
        )
        checks.require(not self.mode & (_SPECIAL | 0o020), f"{what}: holds a secret, and has mode {self.mode:04o}")

    @property
    def shared_with(self) -> str:
        """The group whose members can read a secret in it; "" for none."""
        return self.group if self.secrets and self.mode & _GROUP else ""

    @property
    def parts(self) -> Tuple[Part, ...]:
        """The content as parts."""
        return self.content  # type: ignore[return-value]  # __post_init__ made it so

    @property
    def secrets(self) -> Tuple[Secret, ...]:
        """The secrets that the content needs."""
        return tuple(part for part in self.parts if isinstance(part, Secret))

    @property
    def key(self) -> str:
        """Names this file among all resources of a machine."""
        return f"file:{self.path}"

    def difference(self, system: System, store: Store) -> Optional[str]:
        """In what the machine differs from this; None for nothing."""
        entry = system.stat(self.path)
        found = placing.placed_wrongly(entry, "file", self.owner, self.group, self.mode)
        if entry and entry.type == "file" and not store.matches(self.parts, system.read(self.path)):
            found.insert(0, "content")
        return ", ".join(found) or None

    def capture(self, system: System, store: Store) -> Dict[str, Any]:
        """What stands there now, for `restore`."""
        return {self.key: store.keep(self.path), **placing.missing_parents(system, self.path)}

    def apply(self, system: System, store: Store) -> None:
        """Makes it so."""
        placing.make_parents(system, self.path)
        entry = system.stat(self.path)
        if entry and entry.type == "file" and store.matches(self.parts, system.read(self.path)):
            system.own(self.path, self.owner, self.group, self.mode)  # its time of change stays
        else:
            system.write(self.path, store.content(self.parts), self.owner, self.group, self.mode)

    def restore(self, system: System, store: Store, original: Dict[str, Any]) -> None:  # noqa: ARG002 - as every kind
        """Makes it what `capture` found."""
        store.put_back(self.path, original)


def secret_file(secret: Secret, owner: str = "root", group: str = "root", mode: int = 0o400) -> File:
    """The secret alone in a file at ``secret.path``, on a tmpfs."""
    return File(secret.path, secret, owner, group, mode)
