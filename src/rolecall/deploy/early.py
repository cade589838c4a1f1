"""Sessions that begin while the inventory is still evaluated, since neither needs the other, and both take time."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from rolecall.deploy.session import Session
from rolecall.deploy.threads import leave_ctrl_c_to_the_main_thread

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from rolecall.deploy.target import Target


class EarlySessions:
    """Sessions to which nothing was sent yet. Leaving the `with` block ends those that nobody has taken.

    Args:
        targets: The machines, of which those that are reached over SSH count.
    """

    def __init__(self, targets: Iterable[Target]) -> None:
        self._pool = ThreadPoolExecutor(1, initializer=leave_ctrl_c_to_the_main_thread)
        begin = partial(Session, early=True)
        self._sessions = {target: self._pool.submit(begin, target) for target in targets if target.root is None}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)  # the next one may wait until an earlier one ends
        for session in self._sessions.values():
            if not session.cancelled():
                with contextlib.suppress(OSError):
                    session.result().abandon()

    def take(self, target: Target) -> Session:
        """Return the session with a machine if there is one, else a new one; safe in threads.

        Raises:
            OSError: When ssh(1) cannot be started.
        """
        session = self._sessions.pop(target, None)
        return session.result() if session else Session(target)
