"""A line in a user's authorized_keys file."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Sequence

from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System

# sshd(8), AUTHORIZED_KEYS FILE FORMAT: key type and base64 data; the comment is ours to set.
_KEY = re.compile(r"(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,3}\Z")


@dataclass(frozen=True)
class AuthorizedKey(Resource):
    """A key that may log in as a user, or may only run one command.

    Attributes:
        user: Login name. The line is added to ``.ssh/authorized_keys`` in the home; other lines are kept.
        public_key: Key type and base64 data; a comment after them is removed.
        command: The only command that the key may run, or () for a login.
    """

    kind: ClassVar[str] = "authorized-key"
    user: str
    public_key: str
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        what = f"authorized key of {self.user}"
        checks.matching(checks.ACCOUNT, self.user, what)
        bare = " ".join(checks.single_line(self.public_key.strip(), what).split()[:2])
        object.__setattr__(self, "public_key", checks.matching(_KEY, bare, what))
        command = checks.words(self.command, what)
        object.__setattr__(self, "command", checks.elements(checks.single_line, command, what))

    @property
    def key(self) -> str:
        return f"authorized-key:{self.user}:{self.public_key.split()[1]}"

    def path_on(self, system: System) -> str:
        account = system.accounts.user(self.user)
        return authorized_keys(account.home) if account else ""

    @property
    def line(self) -> str:
        """The line as sshd reads it, without a newline."""
        if not self.command:
            return self.public_key
        quoted = shlex.join(self.command).replace("\\", "\\\\").replace('"', '\\"')
        return f'restrict,command="{quoted}" {self.public_key}'

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        account = system.accounts.user(self.user)
        lines = _lines(system, authorized_keys(account.home)) if account else []
        mine = [line for line in lines if self._has_key(line)]
        return None if mine == [self.line] else f"other options: {mine[0]}" if mine else ABSENT

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        path = self._path(system)
        before = [line for line in _lines(system, path) if self._has_key(line)]
        created = {} if system.stat(path) else {f"made:{path}": {"type": "absent"}}
        return {self.key: {"lines": before}, **created, **placing.missing_parents(system, path)}

    def apply(self, system: System, store: ContentStore) -> None:
        self._replace(system, [self.line])

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        if system.accounts.user(self.user):
            self._replace(system, captured["lines"])

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        path = self.path_on(system)
        now = [line for line in _lines(system, path) if self._has_key(line)] if path else []
        return "" if now == captured["lines"] else "other lines with this key"

    def _replace(self, system: System, wanted: List[str]) -> None:
        """Replace all lines with this key: the wanted lines go where its first one was, or to the end."""
        path = self._path(system)
        before = _lines(system, path)
        mine = [index for index, line in enumerate(before) if self._has_key(line)]
        others = [line for line in before if not self._has_key(line)]
        at = mine[0] if mine else len(others)
        after = [*others[:at], *wanted, *others[at:]]
        if after == before:
            return
        entry = system.stat(path)
        folder = path.rpartition("/")[0]
        if system.stat(folder) is None:
            system.mkdir(folder, self.user, self.user, 0o700)
        owner, group, mode = (entry.owner, entry.group, entry.mode) if entry else (self.user, self.user, 0o600)
        system.write(path, "".join(f"{line}\n" for line in after).encode(errors="surrogateescape"), owner, group, mode)

    def _path(self, system: System) -> str:
        account = system.accounts.user(self.user)
        if account is None:
            raise Failure(f"authorized key: user {self.user} does not exist")
        if system.stat(account.home) is None:
            raise Failure(f"authorized key: the home {account.home} of user {self.user} does not exist")
        return authorized_keys(account.home)

    def _has_key(self, line: str) -> bool:
        return not line.lstrip().startswith("#") and self.public_key.split()[1] in line.split()


def authorized_keys(home: str) -> str:
    """Return the path of the authorized_keys file in a home."""
    return f"{home}/.ssh/authorized_keys"


def _lines(system: System, path: str) -> List[str]:
    """Return the lines of a file; none when it does not exist. Writing adds a missing newline to the last one."""
    if system.stat(path) is None:
        return []
    return system.read(path).decode(errors="surrogateescape").splitlines()
