"""One run over many machines: look, stage, switch in waves, confirm, check, then commit on all or undo on all.

Each machine costs one exec, held open until the run is over. A machine that switches costs a second, short exec over a
connection of its own, which proves that it can still be reached.
"""

from __future__ import annotations

import contextlib
import resource
import secrets
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from rolecall.deploy.session import AgentFailedError, Session
from rolecall.errors import Faults, fault
from rolecall.model.plan import Change, MachinePlan, Outcome, Report, UnitChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rolecall.deploy.target import Target
    from rolecall_agent import protocol
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.content import Secret

    Reveal = Callable[[Sequence[Secret]], Mapping[str, bytes]]

WIDTH = 64  # machines at once
DESCRIPTORS = 4  # file descriptors per connected machine, with one to spare
RESERVE = 200  # descriptors for everything else


@dataclass(frozen=True, slots=True)
class MachineUpdate:
    """What one machine is to become.

    Attributes:
        target: How it is reached.
        wave: Place in the order of switching.
        configuration: What it must have.
        origins: The ``INSTANCE.ROLE`` that declare each resource, by its key.
        formerly: Names under which it may still be installed.
    """

    target: Target
    wave: int
    configuration: Configuration
    origins: Mapping[str, tuple[str, ...]]
    formerly: Sequence[str] = ()


@dataclass(slots=True)
class _Machine:
    """One machine during a run.

    Attributes:
        wanted: What it is to become.
        plan: What would change.
        session: Its session, while it is connected.
        state: One of ``unseen``; ``unchanged``; ``untouched`` (something would change, nothing has);
            ``staged``; ``provisional``; ``updated``; ``restored``; ``unknown``.
        problems: What went wrong, each with its details.
    """

    wanted: MachineUpdate
    plan: MachinePlan
    session: Session | None = None
    state: str = "unseen"
    generation: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.wanted.target.machine

    @property
    def live_session(self) -> Session:
        """Return its session.

        Raises:
            AgentFailedError: When it is not connected.
        """
        if self.session is None:
            raise AgentFailedError("not connected")
        return self.session


class Fleet:
    """The sessions with all machines of a run. Leaving the `with` block ends them.

    Args:
        wanted: The machines.
        progress: Called with a machine and what happens on it, from several threads.

    Raises:
        Faults: When this process may not open enough files for that many machines.
    """

    def __init__(self, wanted: Iterable[MachineUpdate], progress: Callable[[str, str], None]) -> None:
        self._machines = [
            _Machine(want, MachinePlan(want.target.machine, want.target.text, want.wave, want.configuration.digest))
            for want in wanted
        ]
        self._progress = progress
        self._seconds = 0.0
        self._execs: list[str] = []  # the machine of every exec; appending is safe from threads
        self._interrupted = False
        _allow_descriptors(len(self._machines) * DESCRIPTORS + RESERVE)
        self._pool = ThreadPoolExecutor(WIDTH)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._each(self._hang_up, self._machines)
        self._pool.shutdown()

    def look(self) -> tuple[MachinePlan, ...]:
        """Return what would change on each machine, sorted by wave, then name. Those that change stay connected."""
        with self._timed():
            for start in range(0, len(self._machines), WIDTH):
                batch = self._machines[start : start + WIDTH]
                with _children_ignore_ctrl_c():
                    for machine in batch:
                        self._connect(machine)
                self._each(self._look, batch)
            if self._interrupted:
                raise KeyboardInterrupt
        return tuple(sorted((machine.plan for machine in self._machines), key=lambda plan: (plan.wave, plan.machine)))

    def apply(self, meta: protocol.Meta, reveal: Reveal) -> Report:
        """Apply what `look` showed, on all machines or on none. Ctrl-C undoes all; a second one stops waiting.

        Args:
            meta: Who runs it.
            reveal: Gives secret values by version.
        """
        changing = [machine for machine in self._machines if machine.plan.comparison]
        waves = groupby(sorted(changing, key=lambda machine: machine.wanted.wave), lambda machine: machine.wanted.wave)
        with self._timed():
            good = (
                self._step(lambda machine: self._stage(machine, meta, reveal), changing)
                and all(self._step(lambda machine: self._switch(machine, meta), list(wave)) for _, wave in waves)
                # Each machine that is to commit must still be connected and provisional, with or without checks.
                and self._step(self._check, changing)
            )
            if good:
                self._step(self._commit, changing)
            else:
                self._step(self._undo, [machine for machine in changing if machine.state == "provisional"])
            self._step(self._ask, [machine for machine in changing if machine.state in {"unknown", "provisional"}])
        return self.report()

    def report(self) -> Report:
        """Return the result for each machine so far."""
        failed = any(machine.problems for machine in self._machines)
        outcomes = []
        for machine in sorted(self._machines, key=lambda machine: machine.name):
            state = {"unseen": "untouched", "staged": "untouched", "provisional": "unknown"}.get(
                machine.state, machine.state
            )
            message = "; ".join(message for message, _ in machine.problems)
            if not message and state in {"untouched", "restored"}:
                message = "another machine failed" if failed else "interrupted"
            detail = "\n".join(detail for _, detail in machine.problems if detail)
            outcomes.append(Outcome(machine.name, state, message, detail, machine.generation))
        return Report(tuple(outcomes), self._seconds, len(self._execs))

    def _connect(self, machine: _Machine) -> None:
        try:
            machine.session = self._exec(machine)
        except OSError as error:
            self._fail(machine, f"unreachable: {error}")

    def _exec(self, machine: _Machine) -> Session:
        self._execs.append(machine.name)
        return Session(machine.wanted.target)

    def _look(self, machine: _Machine) -> None:
        if machine.session is None:
            return
        configuration = machine.wanted.configuration
        try:
            state = machine.session.open(machine.plan.digest, machine.wanted.formerly)
            machine.generation = state["current"]["number"] if state["current"] else 0
            machine.plan = replace(machine.plan, generation=machine.generation, recovered=state["recovered"] or "")
            if state["machine"] != machine.name:
                machine.plan = replace(machine.plan, formerly=state["machine"])
            if state["same"] or not (state["current"] or configuration.resources):
                machine.state = "unchanged"
                self._hang_up(machine)
            else:
                comparison = machine.session.compare(configuration)
                machine.plan = _compared(machine.plan, comparison, machine.wanted.origins)
                machine.state = "untouched"
        except AgentFailedError as error:
            self._fail(machine, str(error), error.detail)
            self._hang_up(machine)

    def _fail(self, machine: _Machine, message: str, detail: str = "") -> None:
        """Record that a machine could not be compared."""
        machine.problems.append((message, detail))
        machine.plan = replace(machine.plan, failure=message)

    def _stage(self, machine: _Machine, meta: protocol.Meta, reveal: Reveal) -> None:
        self._progress(machine.name, "stage")
        machine.live_session.stage(machine.plan.comparison, meta, machine.wanted.configuration, reveal)
        machine.state = "staged"

    def _switch(self, machine: _Machine, meta: protocol.Meta) -> None:
        nonce = secrets.token_hex(16)
        over_network = machine.wanted.target.root is None
        machine.state = "unknown"  # until it answers
        try:
            machine.live_session.switch(
                nonce, confirm=over_network, progress=lambda text: self._progress(machine.name, text)
            )
        except AgentFailedError as error:
            machine.state = "restored" if error.machine_unchanged else "unknown"
            raise
        machine.state = "provisional"
        if over_network:
            try:
                with self._exec(machine) as second:
                    second.confirm(meta["run"], nonce)
            except AgentFailedError as error:
                message = f"unreachable after its switch: {error}"
                raise AgentFailedError(message, error.detail) from None

    def _check(self, machine: _Machine) -> None:
        if any(check.peers for check in machine.wanted.configuration.checks):
            self._progress(machine.name, "check with peers")
        failed = [result for result in machine.live_session.check(peers=True) if not result["ok"]]
        machine.problems += [(f"the check {result['name']!r} failed", result["output"]) for result in failed]

    def _commit(self, machine: _Machine) -> None:
        machine.state = "unknown"  # until it answers
        committed = machine.live_session.commit()
        machine.state, machine.generation = "updated", committed["number"]
        machine.problems += [(note, "") for note in committed["notes"]]
        self._progress(machine.name, f"generation {committed['number']} committed")

    def _undo(self, machine: _Machine) -> None:
        self._progress(machine.name, "undo")
        machine.state = "unknown"  # until it answers
        machine.live_session.undo(lambda text: self._progress(machine.name, text))
        machine.state = "restored"

    def _ask(self, machine: _Machine) -> None:
        """Ask a machine for its state over a new connection; its agent recovers it if needed."""
        self._progress(machine.name, "ask for its state")
        self._hang_up(machine)
        with self._exec(machine) as session:
            current = session.open(machine.plan.digest, machine.wanted.formerly)["current"]
        if current and current["digest"] == machine.plan.digest:
            machine.state, machine.generation = "updated", current["number"]
        elif (current["number"] if current else 0) == machine.plan.generation:
            machine.state = "restored"

    def _hang_up(self, machine: _Machine) -> None:
        if machine.session:
            machine.session.close()
            machine.session = None

    def _step(self, step: Callable[[_Machine], None], machines: Sequence[_Machine]) -> bool:
        """Run one step on machines, record what fails on each, and return whether nothing has failed."""

        def attempt(machine: _Machine) -> None:
            try:
                step(machine)
            except AgentFailedError as error:
                machine.problems.append((str(error), error.detail))
            except Faults as error:
                machine.problems.append(("; ".join(fault.message for fault in error.faults), str(error)))
            except Exception as error:  # noqa: BLE001 - the other machines must still be finished
                machine.problems.append((f"{type(error).__name__}: {error}", ""))

        self._each(attempt, machines)
        return not self._interrupted and not any(machine.problems for machine in machines)

    def _each(self, function: Callable[[_Machine], None], machines: Iterable[_Machine]) -> None:
        """Call a function for each machine, in parallel."""
        calls = [self._pool.submit(function, machine) for machine in machines]
        wait(calls)
        for call in calls:
            call.result()

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Add up the seconds of a run, without the time spent waiting for confirmation, and handle Ctrl-C."""
        began = time.monotonic()
        main = threading.current_thread() is threading.main_thread()  # signals can be handled only there
        # By a handler: an exception raised at any point may be lost, as in a callback.
        before = signal.signal(signal.SIGINT, self._interrupt) if main else None
        try:
            yield
        finally:
            if main:
                signal.signal(signal.SIGINT, before)
            self._seconds += time.monotonic() - began

    def _interrupt(self, *_: object) -> None:
        """Finish what was started on the first Ctrl-C; stop at once on the second."""
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._progress("interrupted", "finishing what was started; press Ctrl-C again to stop now")


def _compared(
    plan: MachinePlan, comparison: protocol.Comparison, origins: Mapping[str, tuple[str, ...]]
) -> MachinePlan:
    return replace(
        plan,
        changes=tuple(
            Change(change["key"], change["action"], change["detail"], origins.get(change["key"], ()))
            for change in comparison["changes"]
        ),
        units=tuple(UnitChange(unit["name"], unit["verb"]) for unit in comparison["restarts"]),
        comparison=comparison["digest"],
    )


def _allow_descriptors(needed: int) -> None:
    """Raise this process's limit of open files as far as it may (getrlimit(2)).

    Raises:
        Faults: When that is not enough.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            hint = f"raise the limit (`ulimit -n {needed}`), or name fewer machines"
            raise fault(f"{needed} open files are needed for that many machines, but the limit is {hard}", hint=hint)
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextlib.contextmanager
def _children_ignore_ctrl_c() -> Iterator[None]:
    """Start programs that ignore Ctrl-C, so that this process alone decides how a switch ends; ssh(1) respects that."""
    if threading.current_thread() is not threading.main_thread():  # handlers can be set only there
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
