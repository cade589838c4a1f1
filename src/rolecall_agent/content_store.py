"""The part of the agent's store that resources use; `store` shows the layout on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall_agent.contents import Contents
from rolecall_agent.originals import Originals

if TYPE_CHECKING:
    from rolecall_agent.system import System


class ContentStore(Contents, Originals):
    """Contents of files, and what was in their place before.

    Args:
        system: The machine.
    """

    def __init__(self, system: System) -> None:
        Contents.__init__(self, system)
        Originals.__init__(self, system)
