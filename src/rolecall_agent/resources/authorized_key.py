"""A line in a user's authorized_keys file."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterable, List, Optional, Sequence, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks, placing, shared_file
from rolecall_agent.resources.base import ABSENT, Captured, Resource
from rolecall_agent.resources.obstacles import obstacle

if TYPE_CHECKING:
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.seam.accounts import Account
    from rolecall_agent.system import System

# sshd(8), AUTHORIZED_KEYS FILE FORMAT: key type and base64 data, and a comment.
_KEY = re.compile(r"(?:ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,3}\Z")
# As above: options, in which a quoted value may contain blanks and \", may come first. A comment is not a key.
_LINE = re.compile(
    rb"""[ \t]*(?!#)(?:(?:\\"|"(?:\\"|\\(?!")|[^"\\])*"|\\(?!")|[^ \t"\\])+[ \t]+)??"""
    rb"""(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+[ \t]+([A-Za-z0-9+/]+={0,3})(?:[ \t\r\n]|\Z)"""
)
_OPTION = re.compile(r"""[A-Za-z0-9-]+(?:="(?:\\"|\\(?!")|[^"\\])*")?\Z""")
_LIMIT = 1 << 20  # bytes of the file, which is the user's


@dataclass(frozen=True)
class AuthorizedKey(Resource):
    """A key that may log in as a user, or may only run one command.

    The line is added to the file in which sshd looks for the user's keys; every byte of other lines is kept.

    Attributes:
        user: Login name.
        public_key: Key type and base64 data, and perhaps a comment.
        command: The only command that the key may run, or () for a login.
        options: Further options of sshd(8), each as it is in the file: ``no-pty``, ``from="10.0.0.*"``.
        comment: Comment of the line; by default that of the public key. "" for none.
    """

    kind: ClassVar[str] = "authorized-key"
    user: str
    public_key: str
    command: Sequence[str] = ()
    options: Optional[Sequence[str]] = None
    comment: Optional[str] = None

    def __post_init__(self) -> None:
        what = f"authorized key of {self.user}"
        checks.account(self.user, what)
        key_type, data, comment = [*checks.single_line(self.public_key.strip(), what).split(None, 2), "", "", ""][:3]
        object.__setattr__(self, "public_key", checks.matching(_KEY, f"{key_type} {data}", what))
        if self.comment is None and comment:
            object.__setattr__(self, "comment", comment)
        if self.comment is not None:
            checks.single_line(self.comment, f"{what}: comment")
        command = checks.words(self.command, what)
        object.__setattr__(self, "command", checks.elements(checks.single_line, command, what))
        if self.options is not None:
            options = checks.elements(_option, self.options, f"{what}: option")
            object.__setattr__(self, "options", options)

    @property
    def key(self) -> str:
        return f"authorized-key:{self.user}:{self.public_key.split()[1]}"

    def paths_on(self, system: System) -> Tuple[str, ...]:
        account = system.accounts.user(self.user)
        try:
            return (keys_file(system, self.user, account),) if account else ()
        except Failure:
            return ()  # `obstacle` says why

    @property
    def line(self) -> str:
        """The line as sshd reads it, without a newline."""
        options = list(self.options or ())
        if self.command:
            quoted = shlex.join(self.command).replace('"', '\\"')  # the only escape that sshd knows
            options[:0] = ["restrict", f'command="{quoted}"']
        return " ".join(filter(None, [",".join(options), self.public_key, self.comment]))

    def obstacle(self, system: System) -> str:
        account = system.accounts.user(self.user)
        if account is None or system.stat(account.home) is None:  # they may be created before
            return ""
        try:
            path = self._path(system)
            self._lines(system, path)
            return obstacle(system, path, "file")
        except (Failure, OSError) as error:
            return str(error)

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        if system.accounts.user(self.user) is None:
            return ABSENT
        try:
            mine = self._mine(system, self._path(system))
        except (Failure, OSError) as error:  # whatever the user did to the file, the rest of the machine is compared
            return str(error)
        if not mine:
            return ABSENT
        return None if mine == [self._wanted] else f"another line: {mine[0].decode(errors='replace').strip()}"

    def in_place(self, system: System, store: ContentStore) -> bool:
        return False  # the group of the user may change in the same switch, so what is captured says that of the file

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        path = self._path(system)
        entry = system.stat(path)
        lines = self._lines(system, path)
        at = [index for index, line in enumerate(lines) if self._is_mine(line)]
        mine = [lines[index].decode(errors="surrogateescape") for index in at]
        captured = {**shared_file.capture(system, path, b"".join(lines)), "lines": mine, "at": at}
        if entry:
            captured["group"] = entry.group
        return {self.key: captured, **shared_file.missing(system, path)}

    def apply(self, system: System, store: ContentStore) -> None:
        self._replace(system, self._path(system), [self._wanted], [0])

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        path = self._captured_path(system, captured)
        if path and (captured["lines"] or system.stat(path)):
            lines = [line.encode(errors="surrogateescape") for line in captured["lines"]]
            at = captured.get("at") or range(len(lines))  # earlier versions recorded no places
            known = (captured, *store.originals.values())
            self._replace(system, path, lines, at, known, group=captured.get("group", ""))
        for now in self.paths_on(system):  # sshd may have looked elsewhere when it was captured
            if path and system.resolve(now) != path and system.stat(now):
                self._replace(system, system.resolve(now), [], [], store.originals.values())

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        path = self._captured_path(system, captured)
        now = self._mine(system, path) if path else []
        before = [line.encode(errors="surrogateescape") for line in captured["lines"]]
        return "" if now == before else "other lines with this key"

    def _replace(
        self,
        system: System,
        path: str,
        wanted: Sequence[bytes],
        at: Sequence[int],
        known: Iterable[Captured] = (),
        group: str = "",
    ) -> None:
        """Replace all lines with this key, and keep every byte of the others.

        The first of the wanted lines goes where the first replaced one was, or to the end; the others follow at the
        same distance as in ``at``. What was captured is ``known``. A file that does not exist gets the group, or that
        of the user.
        """
        before = self._lines(system, path)
        after = [line for line in before if not self._is_mine(line)]
        place = next((index for index, line in enumerate(before) if self._is_mine(line)), len(after))
        if after and not after[-1].endswith(b"\n"):
            place = min(place, len(after) - 1)  # what has no newline stays the last line
        for index, line in zip(at, wanted):  # noqa: B905 - not in Python 3.9
            after.insert(place + index - at[0], line)
        if after == before:
            return
        after[:-1] = [line if line.endswith(b"\n") else line + b"\n" for line in after[:-1]]
        if system.stat(path):
            shared_file.rewrite(system, path, b"".join(after), known)
        else:
            self._create(system, path, b"".join(after), group)

    def _create(self, system: System, path: str, data: bytes, group: str) -> None:
        account = system.accounts.user(self.user)
        if account is None or not path.startswith(f"{account.home}/"):  # sshd reads it as the user
            placing.make_parents(system, path)
            system.write(path, data, mode=0o644)
            return
        group = group or account.group
        folder = path.rpartition("/")[0]
        placing.make_parents(system, folder)
        if system.stat(folder) is None:
            system.mkdir(folder, self.user, group, 0o700)
        system.write(path, data, self.user, group)

    def _mine(self, system: System, path: str) -> List[bytes]:
        return [line for line in self._lines(system, path) if self._is_mine(line)]

    def _lines(self, system: System, path: str) -> List[bytes]:
        """Return the lines of the file, each with its newline; none when it does not exist."""
        if system.stat(path) is None:
            return []
        return [line for line in re.findall(rb"[^\n]*\n?", system.read(path, _LIMIT)) if line]

    def _path(self, system: System) -> str:
        """Return the path of the file; root may have made it a link, as Proxmox does."""
        account = system.accounts.user(self.user)
        if account is None:
            raise Failure(f"authorized key: user {self.user} does not exist")
        path = keys_file(system, self.user, account)
        if path.startswith(f"{account.home}/") and system.stat(account.home) is None:
            raise Failure(f"authorized key: the home {account.home} of user {self.user} does not exist")
        return system.resolve(path)

    def _captured_path(self, system: System, captured: Captured) -> str:
        """Return where the lines were when they were captured, "" if that is unknown and the user does not exist."""
        if "path" in captured:  # the user's home may be another one now
            return str(captured["path"])
        return self._path(system) if system.accounts.user(self.user) else ""

    @property
    def _wanted(self) -> bytes:
        return self.line.encode() + b"\n"

    def _is_mine(self, line: bytes) -> bool:
        """Return whether a line is for this key, as sshd reads it."""
        key = self.public_key.split()[1].encode()
        found = _LINE.match(line) if key in line else None
        return found is not None and found[1] == key


def keys_file(system: System, user: str, account: Account) -> str:
    """Return the path of the file in which sshd looks for a user's keys, as sshd_config(5) says.

    Raises:
        Failure: When there is none.
    """
    pattern = system.keys_file(user)
    if pattern == "none":
        raise Failure(f"sshd accepts no keys of user {user}: AuthorizedKeysFile is none")
    tokens = {"%%": "%", "%h": account.home, "%u": user, "%U": str(account.uid)}
    path = re.sub("%.", lambda match: tokens.get(match[0], match[0]), pattern)
    return path if path.startswith("/") else f"{account.home}/{path}"


def _option(text: str, what: str) -> str:
    return checks.matching(_OPTION, checks.single_line(text, what), what)
