"""Run one command on many machines in parallel, and collect its answers, which are bounded and safe to show."""

from __future__ import annotations

import contextlib
import math
import random
import re
import shlex
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, cast

from rolecall.deploy.connection import LOGIN, SSH_FAILED, Output, is_busy, ssh_problem
from rolecall.deploy.doors import DOORS
from rolecall.deploy.fleet import allow_descriptors
from rolecall.deploy.threads import leave_ctrl_c_to_the_main_thread
from rolecall.errors import plural, printable
from rolecall_agent import archive
from rolecall_agent.relay import explained
from rolecall_agent.supervisor import BEGIN, END, GRACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from rolecall.deploy.target import Target

    Ending = Literal["ended", "unreachable", "lost", "timed out", "interrupted"]

KEPT = 1 << 20  # bytes of what a command prints on one machine
ATTEMPTS = 8  # if sshd(8) or a jump host is too busy
_NOISE = 500  # bytes of what a login prints before the command, of which an error may be the last
_STEP = 1.0  # seconds after which it is looked again whether time is up, or the command has ended
_STATUS = re.compile(re.escape(END) + rb"([0-9]{1,3})")
_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What a command answered on one machine.

    Attributes:
        machine: The machine.
        ending: ``ended``; ``unreachable`` (it did not begin); ``lost`` (the connection was), ``timed out`` or
            ``interrupted``.
        status: Its exit status, 128 and the number of a signal that ended it; None if that is unknown.
        output: What it printed on both of its streams; control characters are escaped.
        cut: Whether it printed more than that.
        problem: Why it did not end by itself, or "".
        seconds: How long that took, with the login.
    """

    machine: str
    ending: Ending
    status: int | None = None
    output: str = ""
    cut: bool = False
    problem: str = ""
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the command ended by itself with exit status 0."""
        return self.ending == "ended" and self.status == 0


class Commands:
    """One command on many machines. `run` runs it once.

    Args:
        words: The command's argument vector.
        timeout: Seconds that it may take on each machine, without the login; None for any time.
        parallel: On how many machines it runs at once.
    """

    def __init__(self, words: Sequence[str], *, timeout: int | None, parallel: int) -> None:
        self._words = list(words)
        self._timeout = timeout
        self._parallel = parallel
        self._running: set[_Execution] = set()
        self._interrupted = threading.Event()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self._interrupted.is_set()

    def run(self, targets: Mapping[str, Sequence[Target]]) -> list[CommandAnswer]:
        """Run it on each machine, by the first of its targets to which a connection can be made.

        After Ctrl-C, it is ended where it runs, and does not begin elsewhere. A second Ctrl-C does not wait for that.
        So this must be called in the main thread.

        Args:
            targets: By machine, at least one.

        Raises:
            Faults: When this process may not open enough files for so many machines at once.
        """
        if not targets:
            return []
        parallel = min(self._parallel, len(targets))
        allow_descriptors(parallel)
        # A handler of our own: a KeyboardInterrupt can be raised anywhere, and the answers would be lost.
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            with ThreadPoolExecutor(parallel, initializer=leave_ctrl_c_to_the_main_thread) as pool:
                return list(pool.map(self._answer, targets, targets.values()))
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, *_: object) -> None:
        again = self.interrupted
        self._interrupted.set()  # first, for what begins meanwhile
        for execution in tuple(self._running):
            if again:
                execution.hang_up()
            else:
                execution.end("interrupted")

    def _answer(self, machine: str, targets: Sequence[Target]) -> CommandAnswer:
        began, problems = time.monotonic(), []
        for target in targets:
            answer = self._answer_by(target)
            if answer.ending != "unreachable":
                return replace(answer, seconds=time.monotonic() - began)
            problems.append(answer.problem if len(targets) == 1 else f"{target.text}: {answer.problem}")
        return CommandAnswer(machine, "unreachable", problem="; ".join(problems), seconds=time.monotonic() - began)

    def _answer_by(self, target: Target) -> CommandAnswer:
        answer = CommandAnswer(target.machine, "interrupted", problem="interrupted before the login")
        for attempt in range(ATTEMPTS):
            if self._interrupted.is_set():
                break
            try:
                execution = _Execution(target, self._words)
            except OSError as error:
                return CommandAnswer(target.machine, "unreachable", problem=f"cannot start ssh: {error.strerror}")
            self._running.add(execution)
            if self._interrupted.is_set():
                execution.end("interrupted")
            try:
                answer = execution.answer(self._timeout)
            finally:
                execution.close()
                self._running.discard(execution)
            if not execution.busy:
                break
            DOORS.narrow(target)
            time.sleep(_random.uniform(0.2, 1) * min(2**attempt, 8))
        return answer


class _Execution:
    """The command on one machine, over one connection.

    Args:
        target: The machine.
        words: The command's argument vector.

    Attributes:
        busy: Whether the machine or a jump host was too busy to let it in.

    Raises:
        OSError: When ssh(1) cannot be started.
    """

    def __init__(self, target: Target, words: Sequence[str]) -> None:
        self.busy = False
        self._machine = target.machine
        self._ending: Ending = "ended"
        self._begun = False
        self._logged_in = DOORS.enter(target)
        argv = ["ssh", "-T", *target.ssh, shlex.join(archive.supervise_command(list(words)))]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        except OSError:
            self._logged_in()
            raise
        self._input = cast("BinaryIO", self._process.stdin)
        self._streams = [cast("BinaryIO", each) for each in (self._process.stdout, self._process.stderr)]
        self._output = Output(*self._streams)
        self._timer = threading.Timer(2 * GRACE + 2, self.hang_up)
        self._timer.daemon = True

    def end(self, ending: Ending) -> None:
        """Let the machine end the command, but wait no longer than that takes; nor for a login."""
        self._ending = ending
        if not self._begun:
            self.hang_up()
        with contextlib.suppress(OSError):
            self._input.close()
        with contextlib.suppress(RuntimeError):  # it has been started before
            self._timer.start()

    def hang_up(self) -> None:
        """End the connection at once."""
        self._process.kill()

    def close(self) -> None:
        """End the connection, and forget it."""
        self._logged_in()
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        for stream in (self._input, *self._streams):
            with contextlib.suppress(OSError):
                stream.close()

    def answer(self, timeout: int | None) -> CommandAnswer:
        """Wait for the command's end, and return its answer.

        Args:
            timeout: Seconds that it may take from its beginning; None for any time.
        """
        kept, cut = bytearray(), False
        self._begin(kept)
        until = time.monotonic() + (math.inf if timeout is None else timeout)
        while self._begun and (data := self._read(until)):
            cut = cut or len(kept) + len(data) > KEPT
            kept += data[: KEPT - len(kept)]
        self._output.finish(1)
        try:
            ssh_status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            ssh_status = None
        errors = self._output.printed
        printed = _text(_STATUS.sub(b"", errors)).strip()
        if not self._begun:
            self.busy = ssh_status == SSH_FAILED and is_busy(printed)
            return self._unreachable(ssh_status, printed or _text(kept).strip())
        found = _STATUS.search(errors)
        status = int(found[1]) if found else None
        ending = "lost" if self._ending == "ended" and status is None else self._ending
        problem = {
            "lost": f"connection lost: {ssh_problem(self._machine, printed) or 'ssh(1) failed'}",
            "timed out": "" if timeout is None else f"not done within {plural(timeout, 'second')}",
            "interrupted": "interrupted",
        }.get(ending, "")
        if problem:
            problem += " (the command may still run)" if status is None else " (the command was ended)"
        return CommandAnswer(self._machine, ending, status, _text(kept), cut, problem)

    def _begin(self, kept: bytearray) -> None:
        """Read up to the beginning of the command's output; put what follows, or the end of what came, into `kept`."""
        until = time.monotonic() + LOGIN
        while not self._begun and (data := self._read(until)):
            self._logged_in()
            kept += data
            _, begin, rest = kept.partition(BEGIN)
            kept[:] = rest if begin else kept[-_NOISE:]
            self._begun = bool(begin)

    def _read(self, until: float) -> bytes:
        """Return more of what the machine sends; b"" at the end. When time is up, the command is ended.

        Programs that the command leaves in the background may keep its output open. Nothing waits for them.
        """
        while True:
            step = time.monotonic() + _STEP
            self._output.until = min(until, step) if self._ending == "ended" else step
            try:
                return self._output.read(1 << 16) or b""
            except TimeoutError:
                if END in self._output.printed or self._process.poll() is not None:
                    return b""
                if time.monotonic() >= until and self._ending == "ended":
                    self.end("timed out")

    def _unreachable(self, ssh_status: int | None, printed: str) -> CommandAnswer:
        if self._ending == "interrupted":
            return CommandAnswer(self._machine, "interrupted", problem="interrupted during the login")
        if self._ending == "timed out":
            problem = f"the command did not begin within {LOGIN:.0f} seconds"
        elif ssh_status == SSH_FAILED:
            problem = ssh_problem(self._machine, printed) or "ssh(1) failed"
        else:
            problem = f"the command did not begin: {explained(printed.rpartition(chr(10))[2])}"
        return CommandAnswer(self._machine, "unreachable", problem=problem)


def _text(data: bytes | bytearray) -> str:
    return printable(data.decode(errors="replace").replace("\r\n", "\n"), keep="\n\t")
