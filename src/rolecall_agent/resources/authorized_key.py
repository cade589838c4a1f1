"""One line in a user's authorized_keys."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Sequence

from rolecall_agent.resources import checks, placing
from rolecall_agent.tree import Failure

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System

# sshd(8), AUTHORIZED_KEYS FILE FORMAT: key type and base64 data; the comment is ours to set.
_KEY = re.compile(r"(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,3}\Z")


@dataclass(frozen=True)
class AuthorizedKey:
    """A key that may log in as a user; with a command it may do that alone.

    Attributes:
        user: Login name; the line goes to ``.ssh/authorized_keys`` of its home, other lines there are kept.
        public_key: Key type and base64 data; a comment after them is dropped.
        command: Argument vector to which the key is restricted, or () for a login.
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

    @property
    def line(self) -> str:
        """The line as sshd reads it, without its newline."""
        if not self.command:
            return self.public_key
        quoted = shlex.join(self.command).replace("\\", "\\\\").replace('"', '\\"')
        return f'restrict,command="{quoted}" {self.public_key}'

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        account = system.user(self.user)
        lines = _lines(system, _path(account.home)) if account else []
        mine = [line for line in lines if self._is_of_key(line)]
        return None if mine == [self.line] else f"other options: {mine[0]}" if mine else placing.ABSENT

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        path = self._place(system)
        before = [line for line in _lines(system, path) if self._is_of_key(line)]
        made = {} if system.stat(path) else {f"made:{path}": {"type": "absent"}}
        return {self.key: {"lines": before}, **made, **placing.missing_parents(system, path)}

    def apply(self, system: System, store: ContentStore) -> None:
        self._replace(system, [self.line])

    def restore(self, system: System, store: ContentStore, original: Dict[str, Any]) -> None:
        if system.user(self.user):
            self._replace(system, original["lines"])

    def _replace(self, system: System, wanted: List[str]) -> None:
        """Puts these lines where the key's first line is, or at the end; no other line of the key stays."""
        path = self._place(system)
        before = _lines(system, path)
        mine = [index for index, line in enumerate(before) if self._is_of_key(line)]
        others = [line for line in before if not self._is_of_key(line)]
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

    def _place(self, system: System) -> str:
        account = system.user(self.user)
        if account is None:
            raise Failure(f"authorized key: there is no user {self.user}")
        if system.stat(account.home) is None:
            raise Failure(f"authorized key: {self.user} has no home {account.home}")
        return _path(account.home)

    def _is_of_key(self, line: str) -> bool:
        return not line.lstrip().startswith("#") and self.public_key.split()[1] in line.split()


def _path(home: str) -> str:
    return f"{home}/.ssh/authorized_keys"


def _lines(system: System, path: str) -> List[str]:
    """The lines there, [] for no file. The last one gets the newline that it may lack when the file is written."""
    if system.stat(path) is None:
        return []
    return system.read(path).decode(errors="surrogateescape").splitlines()
