"""Which ways to machines work now: proved by a login."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall.deploy.connection import SSH_FAILED, is_busy, ssh_problem
from rolecall.deploy.doors import DOORS
from rolecall.errors import printable
from rolecall.model.plan import PARALLEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from rolecall.pipeline.ways import Way

PATIENCE = 25  # seconds for a machine to answer
ATTEMPTS = 4  # if sshd(8) or a jump host is too busy
_DENIED = re.compile(r": Permission denied \(")
_random = random.SystemRandom()


class Answer(NamedTuple):
    """Whether a machine answers by one of its ways.

    Attributes:
        way: The way.
        seconds: How long a login took, or failed to take.
        problem: Why nobody can log in without being asked for something, or "".
    """

    way: Way
    seconds: float
    problem: str

    @property
    def may_ask(self) -> bool:
        """Whether a login may work once a passphrase or password is given."""
        return bool(_DENIED.search(self.problem))

    def as_json(self) -> dict[str, Any]:
        """Return the documented form of ``rolecall network --json`` (docs/reference/json.md)."""
        target, way = self.way.target, self.way
        return {
            "network": way.network,
            "purpose": way.purpose,
            "target": target.text,
            "address": target.host,
            "names": list(way.names),
            "answers": not self.problem,
            "seconds": round(self.seconds, 3),
            "problem": self.problem,
        }


def ask(ways: Sequence[Way], parallel: int = PARALLEL) -> list[Answer]:
    """Log in by each way, and return whether it answers, in the same order."""
    if not ways:
        return []
    logins: list[_Login] = []
    with ThreadPoolExecutor(min(parallel, len(ways))) as pool:
        try:
            return list(pool.map(partial(_ask, logins), ways))
        except BaseException:  # Ctrl-C does not reach them
            pool.shutdown(wait=False, cancel_futures=True)
            for login in logins:
                login.end()
            raise


def _ask(logins: list[_Login], way: Way) -> Answer:
    with _Login(way) as login:
        logins.append(login)
        return login.answer()


def first_answering(ways: Sequence[Way]) -> Way:
    """Return the first way that answers, or may answer once it has asked; the first of all if there is none.

    All are tried at once, but none is waited for that comes after one that answers.
    """
    logins = [_Login(way) for way in ways]
    try:
        for login in logins:
            answer = login.answer()
            if not answer.problem or answer.may_ask:
                return answer.way
    finally:
        for login in logins:
            login.end()
    return ways[0]


class _Login:
    """A login that is tried: it runs the command `true`.

    Args:
        way: By which way.

    Raises:
        OSError: When ssh(1) cannot be started.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._began = time.monotonic()
        self._ended = False
        self._logged_in: Callable[[], None] = lambda: None
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stop trying."""
        self._ended = True
        if self._process:
            self._process.kill()
            self._process.communicate()
        self._logged_in()

    def answer(self) -> Answer:
        """Wait for its result."""
        problem = self._problem()
        return Answer(self._way, time.monotonic() - self._began, problem)

    def _problem(self) -> str:
        root = self._way.target.root
        if root is not None:
            return "" if root.parent.is_dir() else f"{root.parent} does not exist"
        printed = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(_random.uniform(0.2, 1) * 2**attempt)
                self._process = self._start()
            assert self._process  # noqa: S101 - of a way that is not a directory
            try:
                _, errors = self._process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                return f"no answer within {PATIENCE} seconds"
            self._logged_in()
            printed = printable(errors.decode(errors="replace").strip(), keep="\n")
            if self._process.returncode != SSH_FAILED:  # any other status is that of the command: it was logged in
                return ""
            if self._ended or not is_busy(printed):
                break
            DOORS.narrow(self._way.target)
        return ssh_problem(self._way.target.machine, printed) or "ssh(1) failed"

    def _start(self) -> subprocess.Popen[bytes] | None:
        target = self._way.target
        if target.root is not None:
            return None
        self._logged_in = DOORS.enter(target)
        # In a session of its own, no ssh can ask on the terminal; one that a ProxyCommand starts has no BatchMode.
        return subprocess.Popen(
            ["ssh", "-T", "-o", "BatchMode=yes", *target.ssh, "true"],
            env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
