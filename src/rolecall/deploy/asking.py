"""Ask many machines one question, each over a session of its own, in parallel."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from rolecall.deploy.connection import AgentFailedError, UnreachableError
from rolecall.deploy.session import Session
from rolecall.deploy.threads import leave_ctrl_c_to_the_main_thread
from rolecall.model.plan import PARALLEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rolecall.deploy.target import Target

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Asked(Generic[AnswerT]):
    """What one machine answered.

    Attributes:
        target: By which way it was asked, in words; the last one that was tried if it did not answer.
        answer: Its answer; None if there is none.
        problem: Why there is none, or "".
    """

    target: str
    answer: AnswerT | None
    problem: str = ""


def ask_machines(
    targets: Mapping[str, Sequence[Target]],
    question: Callable[[str, Session], AnswerT],
    connect: Callable[[Target], Session] = Session,
) -> dict[str, Asked[AnswerT]]:
    """Ask each machine by the first of its targets to which a connection can be made.

    Args:
        targets: By machine, at least one.
        question: Asks the machine of this name over a session, and returns the answer; called in several threads.
        connect: Begins a session, or returns one that has begun.
    """
    if not targets:
        return {}
    open_sessions: set[Session] = set()
    ask = partial(_ask, question, connect, open_sessions)
    with ThreadPoolExecutor(min(PARALLEL, len(targets)), initializer=leave_ctrl_c_to_the_main_thread) as pool:
        try:
            return dict(zip(targets, pool.map(ask, targets.values()), strict=True))
        except BaseException:  # Ctrl-C does not reach them
            pool.shutdown(wait=False, cancel_futures=True)
            for session in tuple(open_sessions):
                with contextlib.suppress(OSError):
                    session.abandon()
            raise


def _ask(
    question: Callable[[str, Session], AnswerT],
    connect: Callable[[Target], Session],
    open_sessions: set[Session],
    targets: Sequence[Target],
) -> Asked[AnswerT]:
    problems = []
    for target in targets:
        try:
            with connect(target) as session:
                open_sessions.add(session)
                try:
                    return Asked(target.text, question(target.machine, session))
                finally:
                    open_sessions.discard(session)
        except UnreachableError as error:
            problems.append(str(error) if len(targets) == 1 else f"{target.text}: {error}")
        except AgentFailedError as error:
            return Asked(target.text, None, str(error))
        except OSError as error:
            return Asked(target.text, None, f"unreachable: {error}")
    return Asked(targets[-1].text, None, f"unreachable: {'; '.join(problems)}")
