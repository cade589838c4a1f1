"""A connection to the agent of one machine: frames over the standard streams of one process, with deadlines."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from rolecall.deploy.answers import decode
from rolecall.deploy.doors import DOORS, PATIENCE
from rolecall.errors import printable, shown
from rolecall_agent import frames, protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolecall.deploy.target import Target

LOGIN = 120.0  # seconds to the first word of the agent; sshd(8) gives a login as long, so that a person can type
SILENCE = 60.0  # seconds without a sign of life, of which the agent sends one every `frames.HEARTBEAT`
ANSWER = 7200.0  # seconds to an answer, whatever is sent before it
FRAMES = 100_000  # frames before an answer
TAIL = 1 << 16  # bytes of the errors that are kept
_TAKEN_OVER = (
    "probably a start file of its login shell, such as ~/.bashrc, starts another program (`exec fish`, `screen`, "
    "`tmux`); let it do so only on a terminal: `[ -t 0 ] && exec fish`"
)
SSH_FAILED = 255  # the exit status of ssh(1) for an error of its own
_BUSY = re.compile(r"^(kex|ssh)_exchange_identification: |^Connection (closed|reset) by ", re.MULTILINE)
_NO_WAY = re.compile(r"^(ssh: (connect to host|Could not resolve)|channel 0: open failed:) ", re.MULTILINE)
# On what a jump host, or ssh(1) itself, said before.
_FOLLOWS = re.compile(rf"{_BUSY.pattern}|^stdio forwarding failed$|: terminating, \d+ bad configuration options$")
_UNUSABLE = re.compile(r"^Load key ", re.MULTILINE)  # a key file of the user's
_WOULD_ASK = re.compile(r": Permission denied \(", re.MULTILINE)
_REFUSED = re.compile(  # by an SSH server, or by ssh(1) itself: the machine, or its key, is not as expected
    r"host key|: Permission denied \(|Too many authentication failures|Bad configuration option|no matching ",
    re.IGNORECASE,
)
_NO_SHELL = "its login shell ended with status {} and did not start the agent; set one that can run commands: `chsh`"


class AgentFailedError(Exception):
    """A machine could not do what was requested.

    Attributes:
        detail: Lines that help to find the cause, or "".
        machine_unchanged: Whether the machine is as it was before; None when that is unknown.
        damage: What an undo could not put back.
    """

    def __init__(
        self,
        message: str,
        detail: str = "",
        *,
        machine_unchanged: bool | None = None,
        damage: Sequence[protocol.Damage] = (),
    ) -> None:
        super().__init__(message)
        self.detail = detail
        self.machine_unchanged = machine_unchanged
        self.damage = damage


class LostError(AgentFailedError):
    """The connection to a machine was lost."""


class UnreachableError(LostError):
    """ssh(1) could not connect to a machine, or log in there."""


class NoAnswerError(UnreachableError):
    """No SSH server answers on a machine, as if it were off or had no network."""


class LockedError(AgentFailedError):
    """A machine is locked by another run."""


def as_step(progress: protocol.Progress) -> str:
    """Return progress as a person sees it."""
    return f"{progress['step']} {progress['detail']}".strip()


def is_busy(printed: str) -> bool:
    """Return whether sshd(8) or a jump host let ssh(1) not in, as it does when it is busy, by what that printed."""
    return bool(_BUSY.search(printed)) and not found_no_way(printed)


def ssh_problem(machine: str, printed: str) -> str:
    """Return why ssh(1) did not connect to a machine, from what it printed; "" when that is nothing."""
    if "has changed and you have requested strict checking" in printed:
        return "host key mismatch: it presents another key than the pinned one (reinstalled, or a man in the middle)"
    if "Host key verification failed" in printed:
        return f"its host key is not pinned; compare and pin it: `rolecall machines pin {machine}`"
    lines = printed.splitlines()
    causes = [line for line in lines if not _FOLLOWS.search(line)] or lines
    unusable = [line for line in causes[:-1] if _UNUSABLE.search(line) and _WOULD_ASK.search(causes[-1])]
    return "; ".join([*unusable, *causes[-1:]])


def found_no_way(printed: str) -> bool:
    """Return whether ssh(1), or that of a jump host, reached no SSH server at all, by what it printed."""
    return bool(_NO_WAY.search(printed))


class Connection:
    """The process that connects to a machine's agent, and its streams.

    Args:
        target: The machine.
        asks: Whether ssh(1) may ask for a passphrase or password.
        token: That of a session to continue, as in `Target.agent`.
        module: What of the agent answers, as there.
        login: Seconds to the first word of the agent, if not `LOGIN`.

    Attributes:
        status: The exit status of its process; None while that runs.
        refused: Whether sshd(8) or a jump host ended it before authentication, as it does when it is busy.
        would_ask: Whether authentication failed, perhaps because ssh(1) was not allowed to ask.

    Raises:
        OSError: When ssh(1) cannot be started.
    """

    def __init__(
        self,
        target: Target,
        *,
        asks: bool = True,
        token: str = "",
        module: str = "wire",
        login: float | None = None,
    ) -> None:
        self._machine = target.machine
        self._asks = asks
        self._login = LOGIN if login is None else login
        self.status: int | None = None
        argv, pipe = target.agent(asks=asks, token=token, module=module), subprocess.PIPE
        self._logged_in = DOORS.enter(target)
        try:
            self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        except OSError:
            self._logged_in()
            raise
        self._output = Output(*(cast("BinaryIO", each) for each in (self.process.stdout, self.process.stderr)))
        self._stream = io.BufferedReader(self._output)
        self._input = cast("BinaryIO", self.process.stdin)
        os.set_blocking(self._input.fileno(), False)
        self._began = False
        self.refused = self.would_ask = False
        self._over: AgentFailedError | None = None
        self._writing = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._show_life, daemon=True).start()

    def close(self, patience: float) -> None:
        """End the connection, and wait so many seconds for the agent to end."""
        self._end(patience)
        self._over = self._over or AgentFailedError("the session has ended")

    def send(self, message: Any, payload: bytes = b"") -> None:  # noqa: ANN401 - any of the protocol's
        """Send a frame.

        Raises:
            AgentFailedError: When the connection is lost, or the agent does not read.
        """
        if self._over:
            raise self._over
        try:
            with self._writing:
                self._write(memoryview(frames.frame(message, payload)))
        except TimeoutError:
            raise self.refuse(f"it has read nothing for {SILENCE:.0f} seconds") from None
        except OSError:
            if self._began:  # otherwise, what `receive` finds says why
                raise self.ended("the connection was lost") from None
        except frames.ProtocolError as error:
            raise AgentFailedError(str(error), machine_unchanged=True) from None

    def receive(self, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Return the next message that is more than a sign of life or of progress.

        Args:
            progress: Called with each step.

        Raises:
            AgentFailedError: When it does not come in time, the connection is lost, or a message is invalid.
        """
        if self._over:
            raise self._over
        try:
            if not self._began:
                self._output.until = time.monotonic() + self._login
                frames.skip_banner(cast("BinaryIO", self._stream))
                self._began = True
            return self._read(progress)
        except TimeoutError:
            if self._began:
                raise self.refuse(f"no sign of life for {SILENCE:.0f} seconds") from None
            raise self.refuse(f"the agent did not start within {self._login:.0f} seconds; {_TAKEN_OVER}") from None
        except frames.ProtocolError as error:
            cut = isinstance(error, frames.CutError) or not self._began
            raise (self.ended if cut else self.refuse)(shown(str(error))) from None
        except OSError as error:
            raise self.ended(shown(str(error))) from None

    def refuse(self, problem: str) -> AgentFailedError:
        """End the connection because of what the machine does, and return the error to raise."""
        _, lines = self._finish(0.5)
        self._over = AgentFailedError(problem, lines)
        return self._over

    def _read(self, progress: Callable[[str], None] | None) -> dict[str, Any]:
        """Do what `receive` does, once the agent has started."""
        until = time.monotonic() + ANSWER
        for _ in range(FRAMES):
            self._output.until = min(until, time.monotonic() + SILENCE)
            frame = frames.read_frame(cast("BinaryIO", self._stream), frames.MAX_ANSWER, 0)
            if frame is None:
                raise self.ended()
            message, _ = frame
            if message["type"] == "progress":
                step = decode(protocol.Progress, message)
                if progress:
                    progress(as_step(step))
            elif message["type"] != "alive":
                return message
            if time.monotonic() > until:
                raise self.refuse(f"no answer within {ANSWER / 60:.0f} minutes")
        raise self.refuse("it reports progress without end")

    def _write(self, data: memoryview) -> None:
        """Write all data while the other side takes it; the caller holds the lock."""
        if self._input.closed:
            raise BrokenPipeError
        poll = select.poll()
        poll.register(self._input, select.POLLOUT)
        until = time.monotonic() + ANSWER
        while data:
            if not poll.poll(SILENCE * 1000) or time.monotonic() > until:
                raise TimeoutError
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._input.fileno(), data) :]

    def _show_life(self) -> None:
        """Send ``alive`` until the connection ends, unless so much is unread that this would block.

        Nobody reads that before the login, which ends with the first byte from the machine.
        """
        with contextlib.suppress(ValueError):  # the stream is closed
            poll = select.poll()
            poll.register(cast("BinaryIO", self.process.stdout), select.POLLIN)
            poll.poll(PATIENCE * 1000)
        self._logged_in()
        alive = frames.frame({"type": "alive"})
        while not self._ended.wait(frames.HEARTBEAT):
            with self._writing, contextlib.suppress(OSError):
                if not self._ended.is_set():
                    os.write(self._input.fileno(), alive)  # as a whole or not at all, see pipe(7)

    def breaks_within(self, seconds: float) -> bool:
        """Return whether the process ends within so many seconds, or has ended."""
        try:
            poll = select.poll()
            poll.register(cast("BinaryIO", self.process.stdout), 0)
            return bool(poll.poll(seconds * 1000))
        except ValueError:  # the stream is closed
            return True

    def ended(self, problem: str = "") -> AgentFailedError:
        """Return the error for a connection that has ended, from what ssh(1) printed."""
        status, lines = self._finish(5)
        self.status = status
        failed = not self._began and status == SSH_FAILED
        self.refused = failed and is_busy(lines)
        self.would_ask = failed and not self._asks and _WOULD_ASK.search(lines) is not None
        unreachable = UnreachableError if _REFUSED.search(lines) else NoAnswerError
        lost = unreachable if failed else LostError
        if known := ssh_problem(self._machine, lines):
            self._over = lost(known, f"{problem}\n{lines}".strip())
        elif problem == frames.NOT_STARTED and 0 <= status < SSH_FAILED:
            self._over = LostError(_NO_SHELL.format(status))
        else:
            self._over = lost(problem or f"the connection ended with status {status}")
        return self._over

    def _finish(self, patience: float) -> tuple[int, str]:
        """End the connection within so many seconds; return the exit status of its process, and its errors."""
        self._output.finish(patience / 2)
        status = self._end(patience / 2)
        printed = self._output.printed.decode(errors="replace").replace("\r", "").strip()
        return status, printable(printed, keep="\n")

    def _end(self, patience: float) -> int:
        """Close the streams, kill the process after `patience` seconds, and return its exit status."""
        self._ended.set()
        self._logged_in()
        with self._writing:
            pass  # from here on, nothing is written
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):  # unsent bytes on a lost connection
                cast("BinaryIO", stream).close()
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Output(io.RawIOBase):
    """What a process prints, until a deadline; its errors are kept, too, so that it never waits to print them.

    Attributes:
        until: The time (`time.monotonic`) at which a read fails with TimeoutError.
        printed: The end of the errors.
    """

    def __init__(self, output: BinaryIO, errors: BinaryIO) -> None:
        self.until = 0.0
        self.printed = b""
        self._output = output.fileno()
        self._errors = errors.fileno()
        self._ended = False  # the errors
        self._poll = select.poll()
        for each in (output, errors):
            self._poll.register(each, select.POLLIN)

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Fill the buffer as far as bytes are there; return their number, 0 at the end."""
        while True:
            if self._output in self._wait():
                data = os.read(self._output, len(buffer))
                buffer[: len(data)] = data
                return len(data)

    def finish(self, seconds: float) -> None:
        """Read the errors to their end, but no longer than this."""
        self.until = time.monotonic() + seconds
        with contextlib.suppress(OSError, KeyError):
            self._poll.unregister(self._output)
            while not self._ended:
                self._wait()

    def _wait(self) -> list[int]:
        """Return which streams have more, after the errors were read."""
        left = self.until - time.monotonic()
        ready = [descriptor for descriptor, _ in self._poll.poll(max(left, 0) * 1000)]
        if self._errors in ready:
            data = os.read(self._errors, TAIL)
            self.printed = (self.printed + data)[-TAIL:]
            if not data:
                self._ended = True
                self._poll.unregister(self._errors)
        if not ready or (left <= 0 and self._output not in ready):
            raise TimeoutError
        return ready
