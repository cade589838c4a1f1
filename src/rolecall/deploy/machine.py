"""One machine during a run: the steps that `fleet` takes on many machines at once."""

from __future__ import annotations

import itertools
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from rolecall.deploy.connection import AgentFailedError, LockedError, LostError, NoAnswerError, UnreachableError
from rolecall.deploy.session import Session
from rolecall.errors import Faults
from rolecall.model.inventory import REBOOT_SECONDS
from rolecall.model.plan import Change, Compared, Damage, MachinePlan, Outcome, UnitChange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rolecall.deploy.target import Target
    from rolecall_agent import protocol
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.content import Secret

    Reveal = Callable[[str, Sequence[Secret]], Mapping[str, bytes]]


UNDO = 40.0  # seconds for an agent whose link is lost to notice that, and to undo its switch
_AGAIN = 1.0  # seconds between two attempts to reach a machine that reboots


@dataclass(frozen=True, slots=True)
class MachineUpdate:
    """What one machine is to become.

    Attributes:
        targets: How it is reached: the first one to which a connection can be made counts for the whole run.
        wave: Place in the order of switching.
        configuration: What it must have.
        origins: The ``INSTANCE.ROLE`` that declare each resource, by its key.
        formerly: Names under which it may still be installed.
        back: The number of the earlier generation that the configuration comes from, 0 for none installed; None if it
            comes from the inventory.
        provenance: Returns from what service code has made the configuration.
        skipped_checks: Names of its checks that do not run.
        addresses_used: Returns which addresses of other machines the service behind a check has read, in words.
        reboot_seconds: How long it may take to reboot.
    """

    targets: Sequence[Target]
    wave: int
    configuration: Configuration
    origins: Mapping[str, tuple[str, ...]]
    formerly: Sequence[str] = ()
    back: int | None = None
    provenance: Callable[[], protocol.Provenance] = lambda: {"inputs": {}, "origins": {}}
    skipped_checks: Sequence[str] = ()
    addresses_used: Callable[[str], str] = lambda _check: ""
    reboot_seconds: int = REBOOT_SECONDS


@dataclass(slots=True)
class MachineRun:
    """One machine during a run. All steps raise AgentFailedError when they fail.

    Attributes:
        wanted: What it is to become.
        report_progress: Called with what happens on it.
        connect: Begins a session with it, or returns one that has begun.
        target: How it is reached.
        compared: What would change.
        session: Its session, while it is connected.
        state: One of ``unseen``; ``unchanged``; ``untouched`` (something would change, nothing has);
            ``staged``; ``provisional``; ``decided``; ``updated``; ``restored``; ``damaged``; ``unknown``.
        generation: Number of its current generation; 0 for none.
        run: The run that made this generation, or "".
        problems: What went wrong, each with its details.
        locked: Whether the last of them is that another run has locked it.
        unreachable: Whether the last of them is that no SSH server answers.
        damage: What could not be put back.
        execs: How many commands were started on it.
        rebooted: Whether it has rebooted in this run, so that its undo reboots it, too.
        left: Set once nobody waits for it any more.
    """

    wanted: MachineUpdate
    report_progress: Callable[[str], None]
    connect: Callable[[Target], Session]
    target: Target = field(init=False)
    compared: Compared = field(init=False)
    session: Session | None = None
    state: str = "unseen"
    generation: int = 0
    run: str = ""
    problems: list[tuple[str, str]] = field(default_factory=list)
    locked: bool = False
    unreachable: bool = False
    damage: tuple[Damage, ...] = ()
    execs: int = 0
    rebooted: bool = False
    left: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.target = target = self.wanted.targets[0]
        digest = self.wanted.configuration.digest
        self.compared = Compared(
            MachinePlan(target.machine, target.text, self.wanted.wave, digest, back=self.wanted.back)
        )

    @property
    def plan(self) -> MachinePlan:
        """What would change, without contents and reasons."""
        return self.compared.plan

    def _note(self, **changes: Any) -> None:  # noqa: ANN401 - attributes of MachinePlan
        self.compared = replace(self.compared, plan=replace(self.plan, **changes))

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.target.machine

    @property
    def live_session(self) -> Session:
        """Its session.

        Raises:
            AgentFailedError: When it is not connected.
        """
        if self.session is None:
            raise AgentFailedError("not connected")
        return self.session

    def has(self, run: str) -> bool:
        """Return whether it has what a run gave it, or what is declared by now."""
        return self.run == run or self.plan.same

    def look(self, *, stay: bool = True, full: bool = False) -> None:
        """Connect to it, and compare it with its configuration.

        Args:
            stay: Whether it stays connected if something would change.
            full: Whether it shows the contents of what is removed, too.
        """
        configuration = self.wanted.configuration
        state = self._find()
        if state["current"]:
            self.generation, self.run = state["current"]["number"], state["current"]["run"]
            self.compared = replace(self.compared, current=state["current"])
        self._note(generation=self.generation, recovered=state["recovered"] or "")
        if state["machine"] != self.name:
            self._note(formerly=state["machine"])
        if state["same"] or not (state["current"] or configuration.resources):
            self.state = "unchanged"
            self.hang_up()
        else:
            self._compare(self.live_session, full=full)
            self.state = "untouched"
            if not stay:
                self.hang_up()

    def _compare(self, session: Session, *, full: bool) -> None:
        answer = session.compare(self.wanted.configuration)
        changes = answer["changes"]
        recalled = self.wanted.back is not None
        hidden = {"adopt"} | ({"create"} if not recalled or not full else set()) | ({"remove"} if not full else set())
        keys = [change["key"] for change in changes if change["action"] not in hidden]
        contents = session.show(keys, declared=recalled)
        self.compared = replace(self.compared, contents=contents, provenance=answer["provenance"])
        origins = self.wanted.origins
        self._note(
            changes=tuple(
                Change(change["key"], change["action"], change["detail"], origins.get(change["key"], ()))
                for change in changes
            ),
            units=tuple(UnitChange(unit["name"], unit["verb"], tuple(unit["also"])) for unit in answer["restarts"]),
            comparison=answer["digest"],
        )

    def _find(self) -> protocol.State:
        """Open a session by the first target to which a connection can be made, and stay with that one."""
        tried = []
        kind: type[UnreachableError] = NoAnswerError
        for target in self.wanted.targets:
            self.target = target
            self._note(target=target.text)
            try:
                return self._open(self.plan.digest)
            except UnreachableError as error:
                if len(self.wanted.targets) == 1:
                    raise
                kind = kind if isinstance(error, NoAnswerError) else UnreachableError
                tried.append(f"{target.text}: {error}")
                self.report_progress(f"unreachable by {tried[-1]}")
        raise kind(f"unreachable by any of {len(tried)} ways", "\n".join(tried))

    def _open(self, expect: str | None) -> protocol.State:
        self.execs += 1
        self.session = self.connect(self.target)
        return self.session.open(expect, self.wanted.formerly, progress=self.report_progress)

    def give_up(self) -> None:
        """Note that it could not be compared, because of its last problem."""
        self._note(failure=self.problems[-1][0], unreachable=self.unreachable, damage=self.damage)
        self.hang_up()

    def record(self, error: Exception) -> None:
        """Note what went wrong in a step."""
        self.locked, self.unreachable = isinstance(error, LockedError), isinstance(error, NoAnswerError)
        if isinstance(error, AgentFailedError):
            problem = (str(error), error.detail)
            if error.damage:
                self.state = "damaged"
                self.damage = tuple(Damage(**each) for each in error.damage)
        elif isinstance(error, Faults):
            problem = ("; ".join(fault.message for fault in error.faults), str(error))
        elif isinstance(error, OSError):
            problem = (f"unreachable: {error}", "")
        else:
            problem = (f"{type(error).__name__}: {error}", "")
        if problem not in self.problems:
            self.problems.append(problem)

    def stage(self, meta: protocol.Meta, reveal: Reveal) -> None:
        """Send everything that its switch needs."""
        self.report_progress("stage")
        if self.session is None:
            self._open(None)
            self.live_session.compare(self.wanted.configuration)
        wanted = self.wanted
        origin: protocol.Meta = {**meta, "back": wanted.back}
        self.live_session.stage(
            *(self.plan.comparison, origin, wanted.provenance(), wanted.configuration, partial(reveal, self.name)),
            skip=wanted.skipped_checks,
            progress=self.report_progress,
        )
        self.state = "staged"

    def switch(self, meta: protocol.Meta, reboot: protocol.RebootMode) -> None:
        """Switch it, and reboot it if it must; confirm over another connection that it can still be reached."""
        nonce = secrets.token_hex(16)
        over_network = self.target.root is None
        self.state = "unknown"  # until it answers
        try:
            reasons = self.live_session.switch(
                nonce, confirm=over_network, reboot=reboot, progress=self.report_progress
            )
        except AgentFailedError as error:
            self.state = "restored" if error.machine_unchanged else "unknown"
            raise
        if reasons:
            self._reboot(meta["run"], nonce, reasons)
        self.state = "provisional"
        if over_network and not reasons:
            try:
                with self._start_session(confirms=True) as second:
                    second.confirm(meta["run"], nonce)
            except AgentFailedError as error:
                message = f"unreachable after its switch: {error}"
                raise AgentFailedError(message, error.detail) from None

    def _reboot(self, run: str, nonce: str, reasons: Sequence[str]) -> None:
        """Reboot it, and go on with its switch once it is back."""
        self.report_progress(f"reboot: {', '.join(reasons)}")
        seconds, began = self.wanted.reboot_seconds, time.monotonic()
        with suppress(LostError):  # it may be too late for its answer
            self.live_session.reboot(seconds)
        try:
            self.session = self._once_back(lambda session: session.rejoin(run, nonce, self.report_progress), seconds)
        except (LockedError, LostError) as error:
            if self.left.is_set():
                raise
            message = f"not back within {seconds} s after its reboot: {error}"
            raise AgentFailedError(message, error.detail) from None
        except AgentFailedError:
            self.rebooted = True
            raise
        self.rebooted = True
        self.report_progress(f"back after {time.monotonic() - began:.0f} s")

    def _once_back(self, begin: Callable[[Session], object], seconds: float) -> Session:
        """Begin a session with it as soon as it can be reached by one of its ways, and it is not locked.

        Raises:
            AgentFailedError: When it refuses; or the last problem, after these seconds or when nobody waits any more.
        """
        until = time.monotonic() + seconds
        for target in itertools.cycle([self.target, *(each for each in self.wanted.targets if each != self.target)]):
            self.target = target
            session = self._start_session()
            try:
                begin(session)
            except AgentFailedError as error:
                session.close()
                over = self.left.is_set() or time.monotonic() > until
                if over or not isinstance(error, (LockedError, LostError)):
                    raise
                self.left.wait(_AGAIN)
            else:
                self._note(target=target.text)
                return session
        raise AssertionError

    def check(self) -> None:
        """Run its checks that need peers, and record those that fail."""
        if any(check.peers for check in self.wanted.configuration.checks):
            self.report_progress("check with peers")
        failed = [result for result in self.live_session.check(peers=True) if not result["ok"]]
        for result in failed:
            detail = filter(None, (result["output"].rstrip(), self.wanted.addresses_used(result["name"])))
            self.problems.append((f"the check {result['name']!r} failed", "\n".join(detail)))

    def decide(self) -> None:
        """Let it go forward only."""
        self.state = "unknown"  # until it answers
        self.live_session.decide()
        self.state = "decided"

    def commit(self) -> None:
        """Make its new generation the current one."""
        self.state = "unknown"  # until it answers
        committed = self.live_session.commit()
        self.state, self.generation = "updated", committed["number"]
        self.problems += [(note, "") for note in committed["notes"]]
        self.report_progress(f"generation {committed['number']} committed")

    def undo(self, reason: str) -> None:
        """Undo its switch, and let its history say why."""
        self.report_progress("undo")
        self.state = "unknown"  # until it answers
        if not self.live_session.undo(reason, self.report_progress):  # else, it is asked once it has rebooted
            self.state = "restored"

    def ask(self) -> None:
        """Ask for its state over a new connection; its agent recovers it if needed."""
        self.report_progress("checking its state")
        self.hang_up()
        found: list[protocol.State] = []
        seconds = self.wanted.reboot_seconds if self.rebooted else 0
        with self._once_back(
            lambda session: found.append(session.open(self.plan.digest, self.wanted.formerly, patience=UNDO)), seconds
        ):
            current = found[0]["current"]
        if current and current["digest"] == self.plan.digest:
            self.state, self.generation = "updated", current["number"]
        elif (current["number"] if current else 0) == self.plan.generation:
            self.state = "restored"

    def start_over(self) -> None:
        """Unlock it, and forget that another run had locked it."""
        self.hang_up()
        self.state, self.locked = "untouched", False
        for message, _ in self.problems:
            self.report_progress(f"{message}; trying again")
        self.problems.clear()

    def look_again(self, **options: bool) -> None:
        """Forget that it was unreachable, and do what `look` does."""
        self.hang_up()
        self.problems.clear()
        self.unreachable = False
        self.look(**options)

    def hang_up(self) -> None:
        """End its session, if it is connected."""
        if self.session:
            self.session.close()
            self.session = None

    def outcome(self, *, failed: bool) -> Outcome:
        """Return its result.

        Args:
            failed: Whether any machine of the run had a problem.
        """
        final = {"unseen": "untouched", "staged": "untouched", "provisional": "unknown", "decided": "unknown"}
        state = final.get(self.state, self.state)
        message = "; ".join(message for message, _ in self.problems)
        if not message and state in {"untouched", "restored"}:
            message = "another machine failed" if failed else "interrupted"
        detail = "\n".join(detail for _, detail in self.problems if detail)
        return Outcome(self.name, state, message, detail, self.generation, self.damage, self.target.text)

    def _start_session(self, *, confirms: bool = False) -> Session:
        self.execs += 1
        return Session(self.target, confirms=confirms)
