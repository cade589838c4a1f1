"""A table of nftables."""
# ruff: noqa: D102 - `base.Resource` and `live.Live` describe the methods

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Optional

from rolecall_agent.content import plain
from rolecall_agent.resources import checks
from rolecall_agent.resources.file import File
from rolecall_agent.resources.live import Live

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_FAMILIES = ("inet", "ip", "ip6", "arp", "bridge", "netdev")


@dataclass(frozen=True)
class NftablesTable(Live):
    """A table of nftables, and a file that loads it. Other tables stay.

    Attributes:
        name: Name of the table.
        rules: What is in it: chains, sets, maps, as nft(8) writes them between the braces.
        family: Its family.
    """

    kind: ClassVar[str] = "nftables-table"
    name: str
    rules: str
    family: str = "inet"

    def __post_init__(self) -> None:
        what = f"nftables table {self.name}"
        checks.matching(_NAME, self.name, "nftables table")
        families = ", ".join(_FAMILIES)
        checks.require(
            self.family in _FAMILIES, f"{what}: {self.family!r} is not a family of nftables; use one of {families}"
        )
        checks.require(isinstance(self.rules, str), f"{what}: the rules must be a string")
        checks.require(_is_balanced(self.rules), f"{what}: the braces in its rules do not match")
        object.__setattr__(self, "rules", plain(self.rules.strip()))

    @property
    def key(self) -> str:
        return f"nftables-table:{self.family} {self.name}"

    @property
    def wanted(self) -> str:
        table = f"table {self.subject}"
        return f"{table}\ndelete {table}\n{table} {{\n{self.rules}\n}}\n"  # as one change

    @property
    def file(self) -> File:
        return File(f"/etc/rolecall/nftables/{self.family}-{self.name}.nft", self.wanted, mode=0o600)

    def shown(self, live: Optional[str]) -> str:
        return "nothing" if live is None else "the declared rules" if live == self.wanted else "other rules"


def _is_balanced(rules: str) -> bool:
    """Return whether rules cannot end the table that they are in; quoted texts and comments may hold any brace."""
    depth = 0
    for brace in re.sub(r'"[^"\n]*"|#[^\n]*', "", rules):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0
