"""One switch over many machines: look at all, stage on all, switch in waves, confirm, check, commit all; or all back.

A machine costs one exec to look at, held open until the run is over; a switched one costs a second, short exec over a
connection of its own, which shows that it can still be reached.
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

WIDTH = 64  # machines talked to at once
DESCRIPTORS = 4  # that a machine holds while it is connected, with one to spare
RESERVE = 200  # descriptors for everything else


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one machine shall become.

    Attributes:
        target: How it is reached.
        wave: Place in the order of switching.
        configuration: What it must have.
        origins: Who asks for each resource, by its key.
        formerly: Other names under which it may be installed still.
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
        wanted: What it shall become.
        plan: What would change.
        session: Its conversation, while there is one.
        state: What it is now: ``unseen``; ``unchanged``; ``untouched`` (something would change, nothing has);
            ``staged``; ``provisional``; ``updated``; ``restored``; ``unknown``.
        problems: What went wrong, each with lines that help.
    """

    wanted: Wanted
    plan: MachinePlan
    session: Session | None = None
    state: str = "unseen"
    generation: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.wanted.target.machine

    @property
    def talk(self) -> Session:
        """Its conversation.

        Raises:
            AgentFailedError: When there is none.
        """
        if self.session is None:
            raise AgentFailedError("it is not connected")
        return self.session


class Fleet:
    """Conversations with all machines of a run. Leaving the `with` block ends them.

    Args:
        wanted: The machines.
        progress: Told what happens on which machine, from several threads.

    Raises:
        Faults: When there are more machines than this process may have connections.
    """

    def __init__(self, wanted: Iterable[Wanted], progress: Callable[[str, str], None]) -> None:
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
        """What would change on each machine, sorted by wave, then name. Those that change stay connected."""
        with self._timed():
            for start in range(0, len(self._machines), WIDTH):
                batch = self._machines[start : start + WIDTH]
                with _deaf_children():
                    for machine in batch:
                        self._connect(machine)
                self._each(self._look, batch)
            if self._interrupted:
                raise KeyboardInterrupt
        return tuple(sorted((machine.plan for machine in self._machines), key=lambda plan: (plan.wave, plan.machine)))

    def apply(self, meta: protocol.Meta, reveal: Reveal) -> Report:
        """Does what `look` showed, on all machines or on none. Ctrl-C brings all back; a second one gives up waiting.

        Args:
            meta: Who does this.
            reveal: Gives secret values by version.
        """
        changing = [machine for machine in self._machines if machine.plan.comparison]
        waves = groupby(sorted(changing, key=lambda machine: machine.wanted.wave), lambda machine: machine.wanted.wave)
        with self._timed():
            good = (
                self._step(lambda machine: self._stage(machine, meta, reveal), changing)
                and all(self._step(lambda machine: self._switch(machine, meta), list(wave)) for _, wave in waves)
                # Whoever is to commit must be there and provisional still, checks or no checks.
                and self._step(self._check, changing)
            )
            if good:
                self._step(self._commit, changing)
            else:
                self._step(self._undo, [machine for machine in changing if machine.state == "provisional"])
            self._step(self._ask, [machine for machine in changing if machine.state in {"unknown", "provisional"}])
        return self.report()

    def report(self) -> Report:
        """What has become of every machine so far."""
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
            self._fail(machine, f"it cannot be reached: {error}")

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
        """Nothing can be said of a machine."""
        machine.problems.append((message, detail))
        machine.plan = replace(machine.plan, failure=message)

    def _stage(self, machine: _Machine, meta: protocol.Meta, reveal: Reveal) -> None:
        self._progress(machine.name, "stage")
        machine.talk.stage(machine.plan.comparison, meta, machine.wanted.configuration, reveal)
        machine.state = "staged"

    def _switch(self, machine: _Machine, meta: protocol.Meta) -> None:
        nonce = secrets.token_hex(16)
        over_network = machine.wanted.target.root is None
        machine.state = "unknown"  # until it says
        try:
            machine.talk.switch(nonce, confirm=over_network, progress=lambda text: self._progress(machine.name, text))
        except AgentFailedError as error:
            machine.state = "restored" if error.restored else "unknown"
            raise
        machine.state = "provisional"
        if over_network:
            try:
                with self._exec(machine) as second:
                    second.confirm(meta["run"], nonce)
            except AgentFailedError as error:
                message = f"it could not be reached again after its switch: {error}"
                raise AgentFailedError(message, error.detail) from None

    def _check(self, machine: _Machine) -> None:
        if any(check.peers for check in machine.wanted.configuration.checks):
            self._progress(machine.name, "check with peers")
        failed = [result for result in machine.talk.check(peers=True) if not result["ok"]]
        machine.problems += [(f"the check {result['name']!r} failed", result["output"]) for result in failed]

    def _commit(self, machine: _Machine) -> None:
        machine.state = "unknown"  # until it says
        committed = machine.talk.commit()
        machine.state, machine.generation = "updated", committed["number"]
        machine.problems += [(note, "") for note in committed["notes"]]
        self._progress(machine.name, f"generation {committed['number']} committed")

    def _undo(self, machine: _Machine) -> None:
        self._progress(machine.name, "undo")
        machine.state = "unknown"  # until it says
        machine.talk.undo(lambda text: self._progress(machine.name, text))
        machine.state = "restored"

    def _ask(self, machine: _Machine) -> None:
        """Asks over a new connection what became of a machine; its agent recovers it when it has to."""
        self._progress(machine.name, "ask what became of it")
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
        """Does one step on machines; whether all is well. Whatever goes wrong on one is told of that one."""

        def attempt(machine: _Machine) -> None:
            try:
                step(machine)
            except AgentFailedError as error:
                machine.problems.append((str(error), error.detail))
            except Faults as error:
                machine.problems.append(("; ".join(fault.message for fault in error.faults), str(error)))
            except Exception as error:  # noqa: BLE001 - the others must still be brought to an end
                machine.problems.append((f"{type(error).__name__}: {error}", ""))

        self._each(attempt, machines)
        return not self._interrupted and not any(machine.problems for machine in machines)

    def _each(self, function: Callable[[_Machine], None], machines: Iterable[_Machine]) -> None:
        """Calls a function for each machine, side by side."""
        calls = [self._pool.submit(function, machine) for machine in machines]
        wait(calls)
        for call in calls:
            call.result()

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Counts the seconds; a person's thinking in between does not count. Ctrl-C is heard, and remembered."""
        began = time.monotonic()
        main = threading.current_thread() is threading.main_thread()  # only there can it be
        # By a handler: an exception that is raised anywhere may be lost, as in a callback.
        before = signal.signal(signal.SIGINT, self._interrupt) if main else None
        try:
            yield
        finally:
            if main:
                signal.signal(signal.SIGINT, before)
            self._seconds += time.monotonic() - began

    def _interrupt(self, *_: object) -> None:
        """The first Ctrl-C lets what has begun end; a second one leaves at once."""
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._progress("interrupted", "what has begun is brought to an end; once more to leave at once")


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
    """Raises this process's own limit as far as it may (getrlimit(2)).

    Raises:
        Faults: When that is not enough.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            hint = f"raise the limit (`ulimit -n {needed}`), or name fewer machines"
            raise fault(f"so many machines need {needed} open files, and {hard} are allowed", hint=hint)
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Programs started here do not hear Ctrl-C: it is ours to say what becomes of a switch. ssh(1) keeps to that."""
    if threading.current_thread() is not threading.main_thread():  # only there can it be set
        yield
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)
