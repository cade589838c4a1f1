"""A conversation with the agent of one machine. The messages are those of `rolecall_agent.protocol`."""

from __future__ import annotations

import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, cast

from rolecall_agent import archive, protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import BinaryIO, Self

    from rolecall.deploy.target import Target
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.content import Blob


class AgentFailedError(Exception):
    """The machine could not do what was asked.

    Attributes:
        detail: Lines that help to find the cause.
        restored: Whether the machine is as it was before; None when it cannot be known.
    """

    def __init__(self, message: str, detail: str = "", *, restored: bool | None = None) -> None:
        super().__init__(message)
        self.detail = detail
        self.restored = restored


class Session:
    """One exec on one machine. Leaving the `with` block ends it; a provisional switch is then undone by the agent."""

    def __init__(self, target: Target) -> None:
        self.machine = target.machine
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            target.agent(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        self._banner_skipped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the conversation and waits for the agent to end."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    continue  # unsent bytes to a connection that is gone
        self._process.wait()
        self._errors.close()

    def open(self, expect: str | None) -> protocol.State:
        """Begins; the machine's state, after the recovery of a switch that had been interrupted.

        Args:
            expect: Digest of the configuration that it should have.

        Raises:
            AgentFailedError: When it cannot be reached, or another run holds it.
        """
        digest, _ = archive.build()
        message = protocol.Open(
            type="open", agent=digest, protocol=protocol.PROTOCOL, machine=self.machine, expect=expect
        )
        return cast("protocol.State", self._begin(message, "state"))

    def confirm(self, run: str, nonce: str) -> None:
        """In place of `open`: tells that the machine can be reached after its switch.

        Raises:
            AgentFailedError: When it cannot be.
        """
        digest, _ = archive.build()
        self._begin(protocol.Confirm(type="confirm", agent=digest, run=run, nonce=nonce), "confirmed")

    def compare(self, configuration: Configuration) -> protocol.Comparison:
        """What the configuration would change."""
        self._send(protocol.Compare(type="compare", configuration=configuration.as_json()))
        return cast("protocol.Comparison", self._receive("comparison"))

    def stage(
        self,
        comparison: str,
        meta: protocol.Meta,
        blobs: Mapping[str, Blob],
        reveal: Callable[[list[list[str]]], Mapping[str, bytes]],
    ) -> None:
        """Brings everything the switch needs to the machine, and changes nothing yet.

        Args:
            comparison: Digest of the comparison that was shown.
            meta: Who does this.
            blobs: By digest.
            reveal: Gives secret values by version, for the secrets ([name, file, version]) that the machine lacks.

        Raises:
            AgentFailedError: Also when the machine is no longer as it was compared.
        """
        self._send(protocol.Stage(type="stage", comparison=comparison, meta=meta))
        need = self._receive("need")
        for digest in need["blobs"]:
            self._send(protocol.BlobFrame(type="blob", sha256=digest), blobs[digest].data or b"")
        values = reveal(need["secrets"]) if need["secrets"] else {}
        for name, file, version in need["secrets"]:
            self._send(protocol.SecretFrame(type="secret", name=name, file=file, version=version), values[version])
        self._send({"type": "verify"})
        self._receive("staged")

    def switch(self, nonce: str, *, confirm: bool, progress: Callable[[str], None]) -> None:
        """Switches; the machine is provisional afterwards.

        Raises:
            AgentFailedError: When it went back by itself, or could not.
        """
        self._send(protocol.Switch(type="switch", nonce=nonce, confirm=confirm))
        self._receive("provisional", progress)

    def check(self, *, peers: bool) -> list[protocol.CheckResult]:
        """Runs the checks that need peers, or the others."""
        self._send({"type": "check", "peers": peers})
        return cast("list[protocol.CheckResult]", self._receive("checks")["checks"])

    def commit(self) -> protocol.Committed:
        """Makes the new generation the current one."""
        self._send({"type": "commit"})
        return cast("protocol.Committed", self._receive("committed"))

    def undo(self, progress: Callable[[str], None]) -> None:
        """Back to what was before the switch."""
        self._send({"type": "undo"})
        self._receive("undone", progress)

    def _begin(self, message: Any, answer: str) -> dict[str, Any]:  # noqa: ANN401 - any of the protocol's
        self._send(message)
        got = self._receive(answer, also="need-agent")
        if got["type"] == "need-agent":
            self._send({"type": "agent"}, archive.build()[1])
            got = self._receive(answer)
        return got

    def _send(self, message: Any, payload: bytes = b"") -> None:  # noqa: ANN401 - any of the protocol's
        try:
            protocol.write_frame(cast("BinaryIO", self._process.stdin), message, payload)
        except OSError:
            raise self._gone() from None

    def _receive(self, wanted: str, progress: Callable[[str], None] | None = None, *, also: str = "") -> dict[str, Any]:
        stream = cast("BinaryIO", self._process.stdout)
        try:
            if not self._banner_skipped:
                protocol.skip_banner(stream)
                self._banner_skipped = True
            while frame := protocol.read_frame(stream):
                message, _ = frame
                if message["type"] == "failed":
                    raise AgentFailedError(message["message"], message["detail"], restored=message["restored"])
                if message["type"] in {wanted, also}:
                    return message
                if progress and message["type"] == "progress":
                    progress(f"{message['step']} {message['detail']}".strip())
        except (OSError, protocol.ProtocolError) as error:
            raise self._gone(str(error)) from None
        raise self._gone()

    def _gone(self, said: str = "") -> AgentFailedError:
        """What is known when the other side is no longer there."""
        if self._process.stdin and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except OSError:
                said = said or "the connection is gone"
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip()
        if "Host key verification failed" in lines:
            hint = f"look at its key and pin it: `rolecall machines pin {self.machine}`"
            return AgentFailedError("its host key is not the pinned one, or none is pinned", hint)
        last = lines.splitlines()[-1] if lines else said or f"the connection ended with status {status}"
        return AgentFailedError(last, lines)
