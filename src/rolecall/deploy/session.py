"""A session with the agent of one machine. Its messages are those of `rolecall_agent.protocol`."""

from __future__ import annotations

import contextlib
import select
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from rolecall.errors import printable
from rolecall.files import make_local
from rolecall_agent import archive, protocol
from rolecall_agent.content import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rolecall.deploy.target import Target
    from rolecall_agent.configuration import Configuration

PATIENCE = 300  # seconds for an agent to undo a provisional switch when its session ends


class AgentFailedError(Exception):
    """A machine could not do what was requested.

    Attributes:
        detail: Lines that help to find the cause, or "".
        machine_unchanged: Whether the machine is as it was before; None when that is unknown.
    """

    def __init__(self, message: str, detail: str = "", *, machine_unchanged: bool | None = None) -> None:
        super().__init__(message)
        self.detail = detail
        self.machine_unchanged = machine_unchanged


class Session:
    """One exec on one machine. Leaving the `with` block ends it, and the agent then undoes a provisional switch.

    Raises:
        OSError: When ssh(1) or the local agent cannot be started.
    """

    def __init__(self, target: Target) -> None:
        self.machine = target.machine
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        pipe = subprocess.PIPE
        if target.root is not None:
            with contextlib.suppress(OSError):  # the agent says what is wrong there
                make_local(target.root)  # it holds secrets, and may stand in the project
        try:
            self._process = subprocess.Popen(target.agent(), stdin=pipe, stdout=pipe, stderr=self._errors)
        except BaseException:
            self._errors.close()
            raise
        self._banner_skipped = False
        self._over: AgentFailedError | None = None
        self._writing = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._show_life, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and wait for the agent to end."""
        self._end(PATIENCE)
        self._over = self._over or AgentFailedError("the session has ended")
        self._errors.close()

    def open(self, expect: str | None, formerly: Sequence[str] = ()) -> protocol.State:
        """Open the session and return the machine's state, after an interrupted switch was recovered.

        Args:
            expect: Digest of the configuration that it should have.
            formerly: Other names under which it may be installed still.

        Raises:
            AgentFailedError: When the machine cannot be reached, or another run has locked it.
        """
        digest, _ = archive.build()
        message = protocol.Open(
            type="open",
            agent=digest,
            protocol=protocol.PROTOCOL,
            machine=self.machine,
            formerly=list(formerly),
            expect=expect,
        )
        return cast("protocol.State", self._begin(message, "state"))

    def confirm(self, run: str, nonce: str) -> None:
        """Instead of `open`: confirm that the machine can be reached after its switch.

        Raises:
            AgentFailedError: When it cannot be.
        """
        digest, _ = archive.build()
        self._begin(protocol.Confirm(type="confirm", agent=digest, run=run, nonce=nonce), "confirmed")

    def recover(self, mode: str, keys: Sequence[str] = ()) -> protocol.Recovery:
        """Instead of `open`: show or settle an interrupted switch.

        Args:
            mode: As in `protocol.Recover`.
            keys: Keys of the resources to leave as they are.

        Raises:
            AgentFailedError: When the machine cannot be reached, or the undo fails.
        """
        digest, _ = archive.build()
        message = protocol.Recover(type="recover", agent=digest, mode=mode, keys=list(keys))
        return cast("protocol.Recovery", self._begin(message, "recovery"))

    def compare(self, configuration: Configuration) -> protocol.Comparison:
        """Return what the configuration would change."""
        self._send(protocol.Compare(type="compare", configuration=configuration.as_json()))
        return cast("protocol.Comparison", self._receive("comparison"))

    def stage(
        self,
        comparison: str,
        meta: protocol.Meta,
        configuration: Configuration,
        reveal: Callable[[Sequence[Secret]], Mapping[str, bytes]],
    ) -> None:
        """Send everything that the switch needs to the machine, without changing anything yet.

        Args:
            comparison: Digest of the comparison that was shown.
            meta: Who switches, and when.
            configuration: What was compared. A machine gets the blobs and secrets in it, and no others.
            reveal: Returns the values of secrets by version.

        Raises:
            AgentFailedError: Also when the machine has changed since the comparison.
        """
        self._send(protocol.Stage(type="stage", comparison=comparison, meta=meta))
        need = self._receive("need")
        blobs = {blob.sha256: blob.data for blob in configuration.blobs}
        secrets = [Secret(*entry) for entry in need["secrets"]]
        if not (set(need["blobs"]) <= blobs.keys() and set(secrets) <= set(configuration.secrets)):
            raise AgentFailedError("it requests data that is not in its configuration", machine_unchanged=True)
        for digest in need["blobs"]:
            self._send(protocol.BlobFrame(type="blob", sha256=digest), blobs[digest] or b"")
        values = reveal(secrets) if secrets else {}
        for secret in secrets:
            frame = protocol.SecretFrame(type="secret", name=secret.name, file=secret.file, version=secret.version)
            self._send(frame, values[secret.version])
        self._send({"type": "verify"})
        self._receive("staged")

    def switch(self, nonce: str, *, confirm: bool, progress: Callable[[str], None]) -> None:
        """Switch the machine, which is provisional afterwards.

        Raises:
            AgentFailedError: When the switch failed; `machine_unchanged` tells whether it was undone.
        """
        self._send(protocol.Switch(type="switch", nonce=nonce, confirm=confirm))
        self._receive("provisional", progress)

    def check(self, *, peers: bool) -> list[protocol.CheckResult]:
        """Run the checks that need peers, or the others. Fails when the machine is no longer provisional."""
        self._send({"type": "check", "peers": peers})
        return cast("list[protocol.CheckResult]", self._receive("checks")["checks"])

    def commit(self) -> protocol.Committed:
        """Make the new generation the current one."""
        self._send({"type": "commit"})
        return cast("protocol.Committed", self._receive("committed"))

    def undo(self, progress: Callable[[str], None]) -> None:
        """Go back to the state before the switch."""
        self._send({"type": "undo"})
        self._receive("undone", progress)

    def purge(self) -> None:
        """Delete everything that the agent stores, including secrets; nothing may be declared for the machine."""
        self._send({"type": "purge"})
        self._receive("purged")

    def _begin(self, message: Any, answer: str) -> dict[str, Any]:  # noqa: ANN401 - any of the protocol's
        self._send(message)
        reply = self._receive(answer, also="need-agent")
        if reply["type"] == "need-agent":
            self._send({"type": "agent"}, archive.build()[1])
            reply = self._receive(answer)
        return reply

    def _send(self, message: Any, payload: bytes = b"") -> None:  # noqa: ANN401 - any of the protocol's
        if self._over:
            raise self._over
        try:
            with self._writing:
                protocol.write_frame(cast("BinaryIO", self._process.stdin), message, payload)
        except OSError:
            raise self._connection_error("the connection was lost") from None

    def _show_life(self) -> None:
        """Send ``alive`` until the session ends, unless so much is unread that this would block."""
        stream = cast("BinaryIO", self._process.stdin)
        poll = select.poll()
        poll.register(stream, select.POLLOUT)
        while not self._ended.wait(protocol.HEARTBEAT):
            with self._writing, contextlib.suppress(OSError):
                if not self._ended.is_set() and poll.poll(0):
                    protocol.write_frame(stream, {"type": "alive"})

    def _receive(self, wanted: str, progress: Callable[[str], None] | None = None, *, also: str = "") -> dict[str, Any]:
        """Return the next frame of a kind, with texts that a terminal can show safely."""
        if self._over:
            raise self._over
        stream = cast("BinaryIO", self._process.stdout)
        try:
            if not self._banner_skipped:
                protocol.skip_banner(stream)
                self._banner_skipped = True
            while frame := protocol.read_frame(stream):
                message: dict[str, Any] = _safe(frame[0])
                if message["type"] == "failed":
                    raise AgentFailedError(message["message"], message["detail"], machine_unchanged=message["restored"])
                if message["type"] in {wanted, also}:
                    return message
                if progress and message["type"] == "progress":
                    progress(f"{message['step']} {message['detail']}".strip())
        except (OSError, protocol.ProtocolError) as error:
            raise self._connection_error(printable(str(error))) from None
        raise self._connection_error("")

    def _connection_error(self, problem: str) -> AgentFailedError:
        """Return the error for a connection that has ended, from what ssh(1) printed."""
        status = self._end(5)
        self._errors.seek(0)
        lines = printable(self._errors.read().decode(errors="replace").replace("\r", "").strip(), keep="\n")
        if "has changed and you have requested strict checking" in lines:  # how ssh(1) reports a different key
            problem = (
                "host key mismatch: it presents another key than the pinned one (reinstalled, or a man in the middle)"
            )
            self._over = AgentFailedError(problem, lines)
        elif "Host key verification failed" in lines:
            problem = f"its host key is not pinned; compare and pin it: `rolecall machines pin {self.machine}`"
            self._over = AgentFailedError(problem, lines)
        else:
            last = lines.splitlines()[-1] if lines else problem or f"the connection ended with status {status}"
            self._over = AgentFailedError(last, "\n".join(filter(None, (problem, lines))))
        return self._over

    def _end(self, patience: float) -> int:
        """Close the streams, kill the process after `patience` seconds, and return its exit status."""
        self._ended.set()
        with self._writing:
            pass  # from here on, nothing is written
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # unsent bytes on a lost connection
                cast("BinaryIO", stream).close()
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _safe(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON data with control characters in its texts escaped, since a machine may send anything."""
    if isinstance(value, str):
        return printable(value, keep="\n\t")
    if isinstance(value, list):
        return [_safe(item) for item in value]
    return {key: _safe(item) for key, item in value.items()} if isinstance(value, dict) else value
