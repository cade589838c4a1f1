"""What every thread of a run does first."""

from __future__ import annotations

import signal


def leave_ctrl_c_to_the_main_thread() -> None:
    """Block SIGINT in this thread, and in what it starts, so that this program alone decides how a switch ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
