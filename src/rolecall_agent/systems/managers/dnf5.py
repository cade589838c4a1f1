"""dnf 5, of Fedora since 41, where it is also called dnf: its marks have other names."""
# ruff: noqa: D103 - `managers.Manager` describes the functions

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from rolecall_agent.systems.managers import dnf

FILES: Tuple[str, ...] = dnf.FILES
BESIDE: Tuple[str, ...] = dnf.BESIDE
PURGED: Tuple[str, ...] = dnf.PURGED

query = dnf.query
states = dnf.states
query_manual = dnf.query_manual
manual = dnf.manual
preview = dnf.preview
preview_removal = dnf.preview_removal
changes = dnf.changes
exact = dnf.exact
refresh = dnf.refresh
download = dnf.download
download_again = dnf.download_again
query_lists = dnf.query_lists
lists = dnf.lists
file_name = dnf.file_name
install = dnf.install
remove = dnf.remove
query_conffiles = dnf.query_conffiles
conffiles = dnf.conffiles
data = dnf.data
purge = dnf.purge
force_removal = dnf.force_removal
install_files = dnf.install_files
configure = dnf.configure
repair = dnf.repair
succeeded = dnf.succeeded
error = dnf.error
is_locked = dnf.is_locked


def mark(names: Sequence[str], *, manual: bool) -> Optional[List[str]]:
    return ["dnf", "--assumeyes", "mark", "user" if manual else "dependency", *names]
