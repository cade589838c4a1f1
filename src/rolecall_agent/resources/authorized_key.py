"""A line in a user's authorized_keys file."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Optional, Sequence, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource
from rolecall_agent.resources.obstacles import obstacle

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System

# sshd(8), AUTHORIZED_KEYS FILE FORMAT: key type and base64 data; the comment is ours to set.
_KEY = re.compile(r"(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,3}\Z")
# As above: options, in which a quoted value may contain blanks and \", may come first. A comment is not a key.
_LINE = re.compile(
    rb"""[ \t]*(?!#)(?:(?:\\"|"(?:\\"|\\(?!")|[^"\\])*"|\\(?!")|[^ \t"\\])+[ \t]+)??"""
    rb"""(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+[ \t]+([A-Za-z0-9+/]+={0,3})(?:[ \t\r\n]|\Z)"""
)
_LIMIT = 1 << 20  # bytes of the file, which is the user's


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
        checks.account(self.user, what)
        bare = " ".join(checks.single_line(self.public_key.strip(), what).split()[:2])
        object.__setattr__(self, "public_key", checks.matching(_KEY, bare, what))
        command = checks.words(self.command, what)
        object.__setattr__(self, "command", checks.elements(checks.single_line, command, what))

    @property
    def key(self) -> str:
        return f"authorized-key:{self.user}:{self.public_key.split()[1]}"

    def paths_on(self, system: System) -> Tuple[str, ...]:
        account = system.accounts.user(self.user)
        return (authorized_keys(account.home),) if account else ()

    @property
    def line(self) -> str:
        """The line as sshd reads it, without a newline."""
        if not self.command:
            return self.public_key
        quoted = shlex.join(self.command).replace("\\", "\\\\").replace('"', '\\"')
        return f'restrict,command="{quoted}" {self.public_key}'

    def obstacle(self, system: System) -> str:
        account = system.accounts.user(self.user)
        if account is None or system.stat(account.home) is None:  # they may be created before
            return ""
        try:
            self._lines(system)
            return obstacle(system, self._path(system), "file")
        except (Failure, OSError) as error:
            return str(error)

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        if system.accounts.user(self.user) is None:
            return ABSENT
        try:
            mine = [line for line in self._lines(system) if self._is_mine(line)]
        except (Failure, OSError) as error:  # whatever the user did to the file, the rest of the machine is compared
            return str(error)
        if not mine:
            return ABSENT
        return None if mine == [self._wanted] else f"other options: {mine[0].decode(errors='replace').strip()}"

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        path = self._path(system)
        lines = self._lines(system)
        at = [index for index, line in enumerate(lines) if self._is_mine(line)]
        mine = [lines[index].decode(errors="surrogateescape") for index in at]
        created = {} if system.stat(path) else {f"made:{path}": {"type": "absent"}}
        return {self.key: {"lines": mine, "at": at}, **created, **placing.missing_parents(system, path)}

    def apply(self, system: System, store: ContentStore) -> None:
        self._replace(system, [self._wanted], [0])

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        if system.accounts.user(self.user):
            lines = [line.encode(errors="surrogateescape") for line in captured["lines"]]
            at = captured.get("at") or range(len(lines))  # earlier versions recorded no places
            self._replace(system, lines, at)

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        account = system.accounts.user(self.user)
        there = account is not None and system.stat(account.home) is not None  # an undo has removed it, if it was made
        now = [line for line in self._lines(system) if self._is_mine(line)] if there else []
        before = [line.encode(errors="surrogateescape") for line in captured["lines"]]
        return "" if now == before else "other lines with this key"

    def _replace(self, system: System, wanted: Sequence[bytes], at: Sequence[int]) -> None:
        """Replace all lines with this key, and keep every byte of the others.

        The first of the wanted lines goes where the first replaced one was, or to the end; the others follow at the
        same distance as in ``at``.
        """
        before = self._lines(system)
        after = [line for line in before if not self._is_mine(line)]
        place = next((index for index, line in enumerate(before) if self._is_mine(line)), len(after))
        if after and not after[-1].endswith(b"\n"):
            place = min(place, len(after) - 1)  # what has no newline stays the last line
        for index, line in zip(at, wanted):  # noqa: B905 - not in Python 3.9
            after.insert(place + index - at[0], line)
        if after == before:
            return
        path = self._path(system)
        entry = system.stat(path)
        data = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in after[:-1]) + b"".join(after[-1:])
        if entry:
            system.write(path, data, entry.owner, entry.group, entry.mode, attributes=system.attributes(path))
            return
        account = system.accounts.user(self.user)
        group = account.group if account else self.user
        folder = path.rpartition("/")[0]
        if system.stat(folder) is None:
            system.mkdir(folder, self.user, group, 0o700)
        system.write(path, data, self.user, group)

    def _lines(self, system: System) -> List[bytes]:
        """Return the lines of the file, each with its newline; none when it does not exist."""
        path = self._path(system)
        if system.stat(path) is None:
            return []
        return [line for line in re.findall(rb"[^\n]*\n?", system.read(path, _LIMIT)) if line]

    def _path(self, system: System) -> str:
        """Return the path of the file; root may have made it a link, as Proxmox does."""
        account = system.accounts.user(self.user)
        if account is None:
            raise Failure(f"authorized key: user {self.user} does not exist")
        if system.stat(account.home) is None:
            raise Failure(f"authorized key: the home {account.home} of user {self.user} does not exist")
        return system.resolve(authorized_keys(account.home))

    @property
    def _wanted(self) -> bytes:
        return self.line.encode() + b"\n"

    def _is_mine(self, line: bytes) -> bool:
        """Return whether a line is for this key, as sshd reads it."""
        key = self.public_key.split()[1].encode()
        found = _LINE.match(line) if key in line else None
        return found is not None and found[1] == key


def authorized_keys(home: str) -> str:
    """Return the path of the authorized_keys file in a home."""
    return f"{home}/.ssh/authorized_keys"
