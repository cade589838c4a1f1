"""The interface to users and groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Optional, Protocol


@dataclass(frozen=True)
class Account:
    """A user of the machine.

    Attributes:
        home: The home directory.
        shell: The login shell.
        groups: The supplementary groups.
        locked: Whether it cannot log in by any means.
        uid: The user id; None for one that the machine chooses.
        group: The primary group; "" for one of the user's own name.
        comment: The comment (GECOS).
        password: The hash of the password, as crypt(5) has it, or what stands for none.
    """

    home: str
    shell: str
    groups: FrozenSet[str]
    locked: bool = False
    uid: Optional[int] = None
    group: str = ""
    comment: str = ""
    password: str = field(default="", repr=False)


class Accounts(Protocol):
    """Users and groups. Every method raises Failure or OSError when it fails."""

    def has_group(self, name: str) -> bool:
        """Return whether a group exists."""
        ...

    def gid(self, name: str) -> Optional[int]:
        """Return the id of a group; None when it does not exist."""
        ...

    def group_of(self, gid: int) -> str:
        """Return the name of the group with an id, "" for none."""
        ...

    def add_group(self, name: str, gid: Optional[int] = None) -> None:
        """Create a system group."""
        ...

    def remove_group(self, name: str) -> None:
        """Remove a group that is nobody's primary group."""
        ...

    def change_group(self, name: str, gid: int) -> None:
        """Change the id of a group."""
        ...

    def user(self, name: str) -> Optional[Account]:
        """Return a user; None when it does not exist."""
        ...

    def user_of(self, uid: int) -> str:
        """Return the name of the user with an id, "" for none."""
        ...

    def processes(self, name: str) -> Dict[int, str]:
        """Return the processes of an existing user: each with the unit that it belongs to, "" for a login session."""
        ...

    def add_user(self, name: str, account: Account) -> None:
        """Create a system user without a home directory."""
        ...

    def remove_user(self, name: str) -> None:
        """Remove a user that has no processes, with the group of its own, and without its home."""
        ...

    def change_user(self, name: str, account: Account) -> None:
        """Change a user to match the account. No process of it may run if its id or home changes."""
        ...
