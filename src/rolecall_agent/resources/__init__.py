"""Every kind of thing a machine can have: one file each, one definition for controller and agent.

The file of a kind is imported when its class is first used: most machines need few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Dict, Type

from rolecall_agent.resources.base import Resource

if TYPE_CHECKING:
    from rolecall_agent.resources.action import Action
    from rolecall_agent.resources.authorized_key import AuthorizedKey
    from rolecall_agent.resources.block import Block
    from rolecall_agent.resources.directory import Directory
    from rolecall_agent.resources.file import File
    from rolecall_agent.resources.group import Group
    from rolecall_agent.resources.hostname import Hostname
    from rolecall_agent.resources.kernel_module import KernelModule
    from rolecall_agent.resources.nftables_table import NftablesTable
    from rolecall_agent.resources.package import Package
    from rolecall_agent.resources.reboot import Reboot
    from rolecall_agent.resources.symlink import Symlink
    from rolecall_agent.resources.sysctl import Sysctl
    from rolecall_agent.resources.unit import Unit
    from rolecall_agent.resources.user import User

__all__ = [
    "KINDS",
    "Action",
    "AuthorizedKey",
    "Block",
    "Directory",
    "File",
    "Group",
    "Hostname",
    "KernelModule",
    "NftablesTable",
    "Package",
    "Reboot",
    "Resource",
    "Symlink",
    "Sysctl",
    "Unit",
    "User",
    "class_of",
]

KINDS: Dict[str, str] = {
    "package": "Package",
    "group": "Group",
    "user": "User",
    "directory": "Directory",
    "file": "File",
    "symlink": "Symlink",
    "block": "Block",
    "authorized-key": "AuthorizedKey",
    "kernel-module": "KernelModule",
    "sysctl": "Sysctl",
    "hostname": "Hostname",
    "nftables-table": "NftablesTable",
    "unit": "Unit",
    "action": "Action",
    "reboot": "Reboot",
}
"""The class of every kind by its name, in the order in which they are applied, which is also the canonical order of a
configuration. Its module has the name of the kind, with underscores."""


def class_of(kind: str) -> Type[Resource]:
    """Return the class of a kind.

    Raises:
        KeyError: When there is no such kind.
    """
    name = KINDS[kind]
    found: Type[Resource] = getattr(import_module(f"{__name__}.{kind.replace('-', '_')}"), name)
    return found


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562; the imports above give type checkers the types
    for kind, of_kind in KINDS.items():
        if of_kind == name:
            return class_of(kind)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
