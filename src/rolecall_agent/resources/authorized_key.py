"""One line in a user's authorized_keys."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import ClassVar, Sequence

from rolecall_agent.resources import checks

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
        command = tuple(str(word) for word in self.command)
        object.__setattr__(self, "command", checks.each(checks.single_line, command, what))

    @property
    def key(self) -> str:
        """Names this line among all resources of a machine."""
        return f"authorized-key:{self.user}:{self.public_key.split()[1]}"

    @property
    def line(self) -> str:
        """The line as sshd reads it, without its newline."""
        if not self.command:
            return self.public_key
        quoted = shlex.join(self.command).replace("\\", "\\\\").replace('"', '\\"')
        return f'restrict,command="{quoted}" {self.public_key}'
