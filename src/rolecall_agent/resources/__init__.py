"""Every kind of thing a machine can have: one file each, one definition for controller and agent."""

from __future__ import annotations

from typing import Dict, Type

from rolecall_agent.resources.action import Action
from rolecall_agent.resources.authorized_key import AuthorizedKey
from rolecall_agent.resources.base import Resource
from rolecall_agent.resources.block import Block
from rolecall_agent.resources.directory import Directory
from rolecall_agent.resources.file import File
from rolecall_agent.resources.group import Group
from rolecall_agent.resources.hostname import Hostname
from rolecall_agent.resources.kernel_module import KernelModule
from rolecall_agent.resources.nftables_table import NftablesTable
from rolecall_agent.resources.package import Package
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
    "Resource",
    "Symlink",
    "Sysctl",
    "Unit",
    "User",
]

KINDS: Dict[str, Type[Resource]] = {
    kind.kind: kind
    for kind in (
        Package,
        Group,
        User,
        Directory,
        File,
        Symlink,
        Block,
        AuthorizedKey,
        KernelModule,
        Sysctl,
        Hostname,
        NftablesTable,
        Unit,
        Action,
    )
}
"""Every kind by its name, in the order in which they are applied; also the canonical order of a configuration."""
