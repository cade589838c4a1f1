"""A session with the agent of one machine. Its messages are those of `rolecall_agent.protocol`."""

from __future__ import annotations

import getpass
import os
import random
import secrets
import socket
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

from rolecall.deploy.answers import decode
from rolecall.deploy.connection import AgentFailedError, Connection, LockedError
from rolecall.deploy.doors import DOORS
from rolecall.deploy.recalling import recalled
from rolecall.deploy.resuming import Resuming
from rolecall.errors import shown
from rolecall_agent import archive, frames, inquiry, protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rolecall.deploy.local import Local
    from rolecall.deploy.recalling import Recalled
    from rolecall.deploy.target import Target
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.content import Secret

Answer = TypeVar("Answer")
LOCK_PATIENCE = 5.0  # seconds to wait for another run that has locked a machine
ATTEMPTS = 8  # connections, if sshd(8) ends them before authentication (MaxStartups)
PATIENCE = 300  # seconds for an agent to undo a provisional switch when its session ends

_random = random.SystemRandom()


def user() -> str:
    """Return who runs this program, and on which computer."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"  # one without a name, as in a container
    return f"{name}@{socket.gethostname()}"


def _connect(target: Target, module: str, *, asks: bool = True) -> Connection | Local:
    if target.root is None:
        return Connection(target, asks=asks, module=module)
    from rolecall.deploy.local import Local

    return Local(target.root)


class Session:
    """One exec on one machine. Leaving the `with` block ends it, and the agent then undoes a provisional switch.

    Args:
        target: The machine.
        early: Whether it begins while something else may ask on the terminal, so that ssh(1) must not.
        confirms: Whether it is only to confirm a switch.

    Raises:
        OSError: When ssh(1) cannot be started.
    """

    def __init__(self, target: Target, *, early: bool = False, confirms: bool = False) -> None:
        self.machine = target.machine
        self._target = target
        self._module = "confirm" if confirms else "wire"
        self.connection: Connection | Local | Resuming = _connect(target, self._module, asks=not early)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and wait for the agent to end."""
        self.connection.close(PATIENCE)

    def abandon(self) -> None:
        """End a session to which nothing was sent, without waiting for anything."""
        self.connection.close(0)

    def open(
        self,
        expect: str | None,
        formerly: Sequence[str] = (),
        *,
        patience: float = LOCK_PATIENCE,
        progress: Callable[[str], None] = lambda _: None,
    ) -> protocol.State:
        """Open the session and return the machine's state, after an interrupted switch was recovered.

        If the machine is the same as expected, the session has ended. Otherwise, from here on, it survives the loss of
        its connection.

        Args:
            expect: Digest of the configuration that it should have.
            formerly: Other names under which it may be installed still.
            patience: Seconds to wait for another run that has locked the machine.
            progress: Called when it goes on over another connection.

        Raises:
            AgentFailedError: When the machine cannot be reached, or another run has locked it.
        """
        token = secrets.token_hex(16)
        message = protocol.Open(
            type="open",
            agent=archive.build()[0],
            token=token,
            user=user(),
            patience=patience,
            protocol=frames.PROTOCOL,
            machine=self.machine,
            formerly=list(formerly),
            expect=expect,
        )
        state = self._begin(message, protocol.State, "state")
        if isinstance(self.connection, Connection) and not state["same"]:
            self.connection = Resuming(self.connection, self._target, token, progress)
        return state

    def rejoin(self, run: str, nonce: str, progress: Callable[[str], None]) -> None:
        """Instead of `open`: go on with a switch after the machine has rebooted for it; it is provisional afterwards.

        This confirms the switch as well. From here on, the session survives the loss of its connection.

        Raises:
            LockedError: When it has not rebooted yet.
            AgentFailedError: When it cannot be reached, or does not work as declared; then it goes back.
        """
        token = secrets.token_hex(16)
        message = protocol.Rejoin(
            type="rejoin", agent=archive.build()[0], token=token, user=user(), run=run, nonce=nonce
        )
        self._begin(message, protocol.Provisional, "provisional", progress)
        if isinstance(self.connection, Connection):
            self.connection = Resuming(self.connection, self._target, token, progress)

    def confirm(self, run: str, nonce: str) -> None:
        """Instead of `open`: confirm that the machine can be reached after its switch.

        Raises:
            AgentFailedError: When it cannot be.
        """
        digest, _ = archive.build()
        self._begin(protocol.Confirm(type="confirm", agent=digest, run=run, nonce=nonce), protocol.Bare, "confirmed")

    def recover(self, mode: str, keys: Sequence[str] = ()) -> protocol.Recovery:
        """Instead of `open`: show or settle an interrupted switch.

        Args:
            mode: As in `protocol.Recover`.
            keys: Keys of the resources to leave as they are.

        Raises:
            AgentFailedError: When the machine cannot be reached, or the undo fails.
        """
        digest, _ = archive.build()
        message = protocol.Recover(type="recover", agent=digest, user=user(), mode=mode, keys=list(keys))
        return self._begin(message, protocol.Recovery, "recovery")

    def history(self, most: int) -> inquiry.History:
        """Instead of `open`: return what the machine remembers of its last runs, the newest first.

        Raises:
            AgentFailedError: When the machine cannot be reached.
        """
        digest, _ = archive.build()
        message = inquiry.AskHistory(type="history", agent=digest, most=most)
        return self._begin(message, inquiry.History, "history")

    def generations(self, numbers: Sequence[int]) -> list[Recalled]:
        """Instead of `open`: return what generations of the machine have, in this order; 0 is the current one.

        Raises:
            AgentFailedError: When the machine cannot be reached, or no longer has one of them.
        """
        digest, _ = archive.build()
        message = inquiry.AskGenerations(type="generations", agent=digest, numbers=list(numbers))
        pieces = self._begin(message, inquiry.Generations, "generations")["pieces"]
        try:
            return recalled(pieces, len(numbers))
        except frames.ProtocolError as error:
            raise self.connection.refuse(str(error)) from None

    def status(self) -> inquiry.Status:
        """Instead of `open`: return how the machine is now; nothing changes there.

        Raises:
            AgentFailedError: When the machine cannot be reached.
        """
        digest, _ = archive.build()
        return self._begin(inquiry.AskStatus(type="status", agent=digest), inquiry.Status, "status")

    def compare(self, configuration: Configuration) -> protocol.Comparison:
        """Return what the configuration would change."""
        message = protocol.Compare(type="compare", configuration=configuration.as_json())
        return self._ask(message, protocol.Comparison, "comparison")

    def show(self, keys: Sequence[str], *, declared: bool) -> dict[str, protocol.Shown]:
        """Return what a plan shows of the contents of these resources, after `compare`.

        Args:
            keys: Their keys.
            declared: Whether to show what they are to have, too, where the machine has it.
        """
        found: dict[str, protocol.Shown] = {}
        while left := [key for key in keys if key not in found]:
            message = protocol.Show(type="show", keys=left, declared=declared)
            answer = self._ask(message, protocol.Contents, "contents")["contents"]
            if not answer or not answer.keys() <= set(left):
                raise self.connection.refuse("it shows other contents than those that were asked for")
            found |= answer
        return found

    def stage(
        self,
        comparison: str,
        meta: protocol.Meta,
        provenance: protocol.Provenance,
        configuration: Configuration,
        reveal: Callable[[Sequence[Secret]], Mapping[str, bytes]],
        *,
        skip: Sequence[str] = (),
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Send everything that the switch needs to the machine, without changing anything yet.

        Args:
            comparison: Digest of the comparison that was shown.
            meta: Who switches, and when.
            provenance: From what service code has made the configuration.
            configuration: What was compared. A machine gets the blobs and secrets in it, and no others.
            reveal: Returns the values of secrets by version.
            skip: Names of checks that do not run.
            progress: Called for each check that fails already.

        Raises:
            AgentFailedError: Also when the machine has changed since the comparison.
        """
        message = protocol.Stage(type="stage", comparison=comparison, meta=meta, provenance=provenance, skip=list(skip))
        need = self._ask(message, protocol.Need, "need")
        blobs = {blob.sha256: blob.data for blob in configuration.blobs}
        secrets: dict[tuple[str, ...], Secret] = {
            (secret.name, secret.file, secret.version): secret for secret in configuration.secrets
        }
        needed = [tuple(entry) for entry in need["secrets"]]
        if not (set(need["blobs"]) <= blobs.keys() and set(needed) <= secrets.keys()):
            raise self.connection.refuse("it requests data that is not in its configuration")
        for digest in need["blobs"]:
            self.connection.send(protocol.BlobFrame(type="blob", sha256=digest), blobs[digest] or b"")
        values = reveal([secrets[entry] for entry in needed]) if needed else {}
        for secret in (secrets[entry] for entry in needed):
            frame = protocol.SecretFrame(type="secret", name=secret.name, file=secret.file, version=secret.version)
            self.connection.send(frame, values[secret.version])
        self._ask({"type": "verify"}, protocol.Bare, "staged", progress)

    def switch(
        self, nonce: str, *, confirm: bool, reboot: protocol.RebootMode, progress: Callable[[str], None]
    ) -> list[str]:
        """Switch the machine, which is provisional afterwards, unless it must reboot first: return why.

        Raises:
            AgentFailedError: When the switch failed; `machine_unchanged` tells whether it was undone.
        """
        message = protocol.Switch(type="switch", nonce=nonce, confirm=confirm, reboot=reboot)
        return self._ask(message, protocol.Provisional, "provisional", progress)["reboot"]

    def reboot(self, seconds: int) -> None:
        """Reboot the machine, and end the session.

        Args:
            seconds: How long this program has to `rejoin` once the machine has booted.
        """
        self._ask(protocol.Reboot(type="reboot", seconds=seconds), protocol.Bare, "rebooting")
        self.close()

    def check(self, *, peers: bool) -> list[protocol.CheckResult]:
        """Run either the checks that need peers or the others. Fails unless the machine is provisional."""
        return self._ask({"type": "check", "peers": peers}, protocol.Checks, "checks")["checks"]

    def decide(self) -> None:
        """Tell the machine that the run only goes forward from now on, whatever happens to the connection."""
        self._ask({"type": "decide"}, protocol.Bare, "decided")

    def commit(self) -> protocol.Committed:
        """Make the new generation the current one, after `decide`."""
        return self._ask({"type": "commit"}, protocol.Committed, "committed")

    def undo(self, reason: str, progress: Callable[[str], None]) -> bool:
        """Go back to the state before the switch; the machine's history says why.

        Return whether the machine reboots for that.
        """
        return self._ask(protocol.Undo(type="undo", reason=reason), protocol.Undone, "undone", progress)["reboots"]

    def purge(self, *, homes: bool) -> list[str]:
        """Delete everything that the agent stores, including secrets, and the accounts that it made; return notes.

        Nothing may be declared for the machine.
        """
        return self._ask(protocol.Purge(type="purge", homes=homes), protocol.Purged, "purged")["notes"]

    def _begin(
        self,
        message: Mapping[str, object],
        kind: type[Answer],
        answer: str,
        progress: Callable[[str], None] | None = None,
    ) -> Answer:
        """Send the first message, and the agent if the machine does not have it."""
        reply = self._first_answer(message, progress)
        if reply["type"] == "need-agent":
            self.connection.send({"type": "agent"}, archive.build()[1])
            reply = self._next(progress)
        return self._decoded(reply, kind, answer)

    def _first_answer(
        self,
        message: Mapping[str, object],
        progress: Callable[[str], None] | None,
    ) -> dict[str, Any]:
        """Send the first message, again and again while the machine or its jump host is too busy to let us in."""
        for attempt in range(ATTEMPTS):
            self.connection.send(message)
            try:
                return self._next(progress)
            except AgentFailedError:
                if attempt == ATTEMPTS - 1 or not (self.connection.refused or self.connection.would_ask):
                    raise
            if self.connection.refused:
                DOORS.narrow(self._target)
                sleep(_random.uniform(0.2, 1) * min(2**attempt, 8))
            self.connection = _connect(self._target, self._module)
        raise AssertionError

    def _ask(
        self,
        message: Mapping[str, object],
        kind: type[Answer],
        answer: str,
        progress: Callable[[str], None] | None = None,
    ) -> Answer:
        self.connection.send(message)
        return self._decoded(self._next(progress), kind, answer)

    def _next(self, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Return the next answer; raise AgentFailedError when it reports a failure."""
        message = self.connection.receive(progress)
        if message["type"] == "failed":
            failed = self._decoded(message, protocol.Failed, "failed")
            raise (LockedError if failed["locked"] else AgentFailedError)(
                failed["message"], failed["detail"], machine_unchanged=failed["restored"], damage=failed["damaged"]
            )
        return message

    def _decoded(self, message: dict[str, Any], kind: type[Answer], answer: str) -> Answer:
        try:
            if message["type"] == answer:
                return decode(kind, message)
            problem = f"invalid answer: {shown(message['type'])!r} instead of {answer!r}"
        except frames.ProtocolError as error:
            problem = str(error)
        raise self.connection.refuse(problem)
