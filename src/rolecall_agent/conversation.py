"""One conversation with the controller: the agent's side of `protocol`."""

from __future__ import annotations

import contextlib
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from rolecall_agent import bytecode, comparison, damage, fingerprint, frames, looking, rebooting, showing, undo
from rolecall_agent import journal as journals
from rolecall_agent.checking import PEERS_SETTLE, run_gate
from rolecall_agent.configuration import Configuration
from rolecall_agent.confirm import confirm
from rolecall_agent.errors import Failure
from rolecall_agent.health import require_settled
from rolecall_agent.lock import PATIENCE, LockedError, locked, note_holder
from rolecall_agent.machine import Machine
from rolecall_agent.purge import purge
from rolecall_agent.questions import QUESTIONS
from rolecall_agent.rebooting import RebootingError
from rolecall_agent.recovery import recover, recover_earlier
from rolecall_agent.staging import Staged
from rolecall_agent.state import HOME
from rolecall_agent.store import Store
from rolecall_agent.switch import CHANGED, commit, decide, go_on, switch
from rolecall_agent.systems import commands
from rolecall_agent.work import Work

if TYPE_CHECKING:
    from rolecall_agent.system import System

Message = Dict[str, Any]
_MESSAGE = 10_000  # characters of a message for a person
_DETAIL = 100_000  # characters of a failure's detail
_DAMAGE = 1_000  # resources that an undo could not put back
_SETTLE_FIRST = "a provisional switch must be committed or undone first"
_NOT_COMPARED = "no configuration was compared"
_NOT_PROVISIONAL = "no switch is provisional"


class _State(Enum):
    """How far a conversation has come; from `STAGING` on, it holds the machine's lock."""

    LOOKING = "open, compare"  # also after a commit, an undo or a failure
    STAGING = "stage"
    STAGED = "verify"
    PROVISIONAL = "switch"


class Conversation:
    """One conversation and its state.

    Args:
        send: Sends a message to the controller.
        root: Root directory of a recorded system; None for this machine.
    """

    def __init__(self, send: Callable[[Message], None], root: Optional[str]) -> None:
        self._send = send
        self._recorded = root is not None
        self._root = root or "/"
        self._lock = contextlib.ExitStack()
        self._held = False  # the lock
        self._acted = False  # it has been held
        self._agent = ""
        self._holder = ""
        self._state = _State.LOOKING
        self._compared: Optional[Configuration] = None
        self._staged: Optional[Staged] = None
        self._failed = False
        self._system: Optional[System] = None
        self._found: Message = {}  # by the first look
        self._notes: Optional[fingerprint.Notes] = None  # of that
        self._committed: Optional[Configuration] = None

    def begin(self, first: Message) -> bool:
        """Answer the first message; return whether others may follow."""
        self._agent, self._holder = first["agent"], first.get("user", "")
        try:
            if first["type"] == "confirm":  # the conversation that switches holds the lock
                confirm(self._root, first["run"], first["nonce"])
                self._send({"type": "confirmed"})
                return False
            if question := QUESTIONS.get(first["type"]):
                self._prepare()
                self._send(question(self._machine, first))
                return False
            recover_earlier(self._root if self._recorded else None, first)
            self._hold(first.get("patience", PATIENCE))
            if first["type"] == "recover":
                self._recover(first)
                return False
            if first["type"] == "rejoin":
                self._rejoin(first)
            else:
                self._open(first)
            self._release()
        except Exception as error:  # noqa: BLE001 - the controller must get an answer
            self._fail(error)
        return not self._failed

    def end(self) -> int:
        """Undo what is still provisional; return the exit status: 0, or 1 when the last answer was a failure."""
        try:
            if self._state is _State.PROVISIONAL:
                with contextlib.suppress(RebootingError):
                    recover(self._machine, "the session ended before the run was decided")
            self._state = _State.LOOKING
            self._release()
            if self._acted:
                with contextlib.suppress(Failure, OSError):  # the next open tries again
                    rebooting.complete_undo(self._machine)
        finally:
            self._lock.close()
            if self._system and self._recorded:  # this process may have many of them
                self._system.close()
        return int(self._failed)

    def _hold(self, patience: float) -> None:
        """Lock the machine, and look at it afresh, unless it is locked already."""
        if not self._held:
            self._lock.enter_context(locked(self._root, self._holder, patience))
            self._held = self._acted = True
            self._prepare()

    def _release(self) -> None:
        """Unlock the machine, unless a switch is being staged, or is staged or provisional."""
        if not self._held or self._state is not _State.LOOKING:
            return
        if self._staged:
            self._staged = None
            with contextlib.suppress(Failure, OSError):  # the next commit does this, too
                self._machine.store.prune()  # removes what was staged and not used
        self._held = False
        self._lock.close()

    def answer(self, message: Message, payload: bytes = b"") -> None:
        """Answer a message; blobs and secrets have no answer.

        Raises:
            ProtocolError: When the conversation cannot go on.
        """
        if message["type"] in {"blob", "secret"}:
            self._take(message, payload)
            return
        answers: Dict[str, Callable[[Message], None]] = {
            "compare": self._compare,
            "show": self._show,
            "stage": self._stage,
            "verify": self._verify,
            "switch": self._switch,
            "reboot": self._reboot,
            "check": self._check,
            "decide": self._decide,
            "commit": self._commit,
            "undo": self._undo,
            "purge": self._purge,
        }
        try:
            answer = answers.get(message["type"])
            self._require(answer is not None, f"unexpected message {message['type']!r}")
            assert answer is not None  # noqa: S101 - as required
            self._hold(PATIENCE)
            answer(message)
            self._failed = False
        except frames.ProtocolError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
        self._release()

    def _prepare(self) -> None:
        """Look at the machine again from now on."""
        if self._system:
            self._system.renew()
        elif self._recorded:
            from rolecall_agent.systems.recorded import RecordedSystem

            self._system = RecordedSystem(self._root)
        else:
            from rolecall_agent.systems.real import RealSystem

            self._system = RealSystem()
        self._machine = Machine(self._system, Store(self._system, self._agent), self._report)

    def _open(self, message: Message) -> None:
        supported = message["type"] == "open" and message["protocol"] == frames.PROTOCOL
        self._require(supported, f"unsupported protocol: this agent supports {frames.PROTOCOL}")
        store = self._machine.store
        store.prepare()
        damage.require_whole(store)
        recovered = recover(self._machine)
        name = looking.installed_name(store, message["machine"], message["formerly"])
        current = store.generation(store.current)
        found = message.get("found")
        self._found = found if found and found["current"] == current else self._look(name, message["expect"])
        self._send({**self._found, "recovered": recovered})

    def _look(self, machine: str, expect: Optional[str]) -> Message:
        """Return `protocol.State` of a machine with this name."""
        state = looking.state(self._machine, machine, expect)
        self._notes = self._machine.system.notes
        return state

    def remember(self) -> None:
        """After the last answer, prepare the next run: compile this agent, and take the fingerprint of the machine."""
        with contextlib.suppress(Failure, OSError):  # without that, the next run takes longer
            if self._committed:
                time.sleep(fingerprint.MARGIN / 1e9)  # so that later changes show
                self._prepare()
                damage.require_whole(self._machine.store)  # so that damage shows in the fingerprint, too
                self._found = self._look(self._committed.machine, self._committed.digest)
            taken = fingerprint.take(self._notes) if self._notes and self._found.get("same") else None
            if taken:
                known = {"agent": self._agent, "protocol": frames.PROTOCOL, "environment": commands.ENVIRONMENT}
                self._machine.store.write_fingerprint({**taken, **known, "state": self._found})
        with contextlib.suppress(OSError):
            if self._system:
                bytecode.write(f"{self._system.root or ''}{HOME}/agent/{self._agent}", self._system.flush)

    def _compare(self, message: Message) -> None:
        self._require(self._state is not _State.PROVISIONAL, _SETTLE_FIRST)
        self._state = _State.LOOKING
        self._compared = Configuration.decode_json(message["configuration"])
        _, work, digest = self._work()
        store = self._machine.store
        comparison = {"changes": work.changes, "restarts": work.restarts, "digest": digest}
        self._send({"type": "comparison", **comparison, "provenance": store.provenance(store.current, work.listed)})

    def _show(self, message: Message) -> None:
        if self._compared is None:
            raise Failure(_NOT_COMPARED)
        machine = self._machine
        old, new = machine.configuration(machine.store.current), machine.with_boot_unit(self._compared)
        shown = showing.contents(machine.system, machine.store, old, new, message["keys"], declared=message["declared"])
        self._send({"type": "contents", "contents": shown})

    def _work(self) -> tuple[Configuration, Work, str]:
        """Return what was compared, what it makes necessary by now, and the digest of that."""
        machine, target = self._machine, self._compared
        recover(machine)  # an earlier switch of this conversation may have failed
        if target is None:
            raise Failure(_NOT_COMPARED)
        old, new = machine.configuration(machine.store.current), machine.with_boot_unit(target)
        work = comparison.compare(machine.system, machine.store, old, new)
        return target, work, work.digest(old.digest, new.digest)

    def _stage(self, message: Message) -> None:
        self._require(self._state is not _State.PROVISIONAL, _SETTLE_FIRST)
        self._state = _State.LOOKING
        target, work, digest = self._work()
        self._require(digest == message["comparison"], CHANGED)
        self._staged = staged = Staged(target, work, message["meta"], message["provenance"], message["skip"])
        note_holder(self._root, f"run {staged.meta['run']} of {staged.meta['user']}")
        self._state = _State.STAGING
        self._send({**staged.need(self._machine.store)})

    def _take(self, message: Message, payload: bytes) -> None:
        staged = self._staged
        if self._state is not _State.STAGING or staged is None:
            return  # it follows a failure
        staged.take(self._machine.store, message, payload)

    def _verify(self, _: Message) -> None:
        staged = self._leave(_State.STAGING, "no switch is being staged")
        staged.verify(self._machine)
        self._state = _State.STAGED
        self._send({"type": "staged"})

    def _switch(self, message: Message) -> None:
        staged = self._leave(_State.STAGED, "no switch is staged")
        self._prepare()  # the machine may have changed since
        changed, staged.watched = switch(
            self._machine,
            staged.target,
            staged.meta,
            nonce=message["nonce"],
            confirm=message["confirm"],
            reboot=message["reboot"],
            shown=staged.shown,
            provenance=staged.provenance,
            skipped_checks=staged.skipped,
            failing_checks=staged.failing,
        )
        self._state = _State.PROVISIONAL
        journal = journals.load(self._machine.store)
        self._send({"type": "provisional", "changed": changed, "reboot": journal.reboot if journal else []})

    def _reboot(self, message: Message) -> None:
        self._leave(_State.PROVISIONAL, _NOT_PROVISIONAL)
        machine, journal = self._machine, journals.load(self._machine.store)
        if journal is None or not journal.reboot or journal.provisional:
            raise Failure("the switch needs no reboot", machine_unchanged=False)
        try:
            rebooting.leave(machine, journal, message["seconds"])
            self._send({"type": "rebooting"})  # first, since the reboot ends this agent
            machine.system.reboot()
        except (Failure, OSError) as error:
            journal.awaits = False
            journal.save(machine.store)
            recover(machine, str(error))
            raise
        self._held = False  # until this agent ends, nobody can recover the machine

    def _rejoin(self, message: Message) -> None:
        machine = self._machine
        machine.store.prepare()
        damage.require_whole(machine.store)
        journal, watched = go_on(machine, message["run"], message["nonce"])
        if journal.confirm:  # this connection was opened after the switch
            confirm(self._root, message["run"], message["nonce"])
        target = machine.store.configuration(journal.target)
        self._staged = Staged(target, Work(), journal.meta, {"inputs": {}, "origins": {}}, [], watched=watched)
        self._state = _State.PROVISIONAL
        self._send({"type": "provisional", "changed": [], "reboot": []})

    def _check(self, message: Message) -> None:
        journal = journals.load(self._machine.store)
        staged = self._staged if self._state is _State.PROVISIONAL and journal and journal.provisional else None
        if journal is None or staged is None:
            raise Failure(_NOT_PROVISIONAL)
        if message["peers"] and staged.watched:
            require_settled(self._machine.system.units, staged.watched)
        machine, peers = self._machine, message["peers"]
        until = time.monotonic() + PEERS_SETTLE if peers and machine.system.boots else 0.0
        results, notes = run_gate(machine.system, staged.target.checks, journal, peers=peers, until=until)
        if notes:
            journal.notes += notes
            journal.save(machine.store)
        self._send({"type": "checks", "checks": results})

    def _decide(self, _: Message) -> None:
        decide(self._machine)
        self._send({"type": "decided"})

    def _commit(self, _: Message) -> None:
        number, notes = commit(self._machine)
        self._committed = self._staged.target if self._staged else None
        self._state, self._staged = _State.LOOKING, None
        self._send({"type": "committed", "number": number, "notes": notes})

    def _undo(self, message: Message) -> None:
        journal = journals.load(self._machine.store)
        self._require(journal is None or not journal.decided, "the switch is decided, so it can only be committed")
        self._leave(_State.PROVISIONAL, _NOT_PROVISIONAL)
        reboots = False
        try:
            if recover(self._machine, message.get("reason") or undo.INTERRUPTED) != "undone":
                raise Failure("the switch is no longer provisional", machine_unchanged=False)
        except RebootingError:
            reboots = True
        self._send({"type": "undone", "reboots": reboots})

    def _purge(self, message: Message) -> None:
        self._require(self._state is _State.LOOKING, "a run is in progress")
        self._send({"type": "purged", "notes": purge(self._machine, homes=message["homes"])})

    def _recover(self, message: Message) -> None:
        accepts = message["mode"] == "accept"
        settled = "accepted" if accepts and damage.give_up(self._machine.store) else None
        journal = journals.load(self._machine.store)
        if journal and accepts:
            undo.accept(self._machine)
            settled = "accepted"
        elif journal and message["mode"] != "show":
            undo.abandon(self._machine, message["keys"])
            settled = recover(self._machine)
        interrupted = journal.described() if journal else None
        self._send({"type": "recovery", "interrupted": interrupted, "settled": settled or ""})

    def _leave(self, state: _State, otherwise: str) -> Staged:
        """Require a state, leave it, and return what was staged: what fails from here on must be staged again."""
        if self._state is not state or self._staged is None:
            raise Failure(otherwise)
        self._state = _State.LOOKING
        return self._staged

    def _require(self, condition: object, message: str) -> None:
        if not condition:
            raise Failure(message)

    def _report(self, step: str, detail: str) -> None:
        self._send({"type": "progress", "step": step, "detail": detail[:_MESSAGE]})

    def _fail(self, error: Exception) -> None:
        """Send what went wrong. An unexpected exception is marked as the agent's own failure, with its type."""
        known = isinstance(error, (Failure, OSError, ValueError))
        message = str(error) if known else f"internal error of the agent: {type(error).__name__} {error}"
        unchanged = error.machine_unchanged if isinstance(error, Failure) else True
        detail, damaged = (error.detail, error.damage) if isinstance(error, Failure) else ("", [])
        unchanged = unchanged and self._state is not _State.PROVISIONAL
        failed = {"message": message[:_MESSAGE], "restored": unchanged, "detail": detail[-_DETAIL:]}
        failed["locked"] = isinstance(error, LockedError)
        self._send({"type": "failed", **failed, "damaged": damaged[:_DAMAGE]})
        self._failed = True
