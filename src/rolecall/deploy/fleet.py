"""One run over many machines: look, stage, switch in waves, confirm, check, then undo on all, or decide and commit.

A machine that changes costs one exec, held open until the run is over, and a second, short one over a connection of its
own, which proves that it can still be reached after its switch. If there are more machines than are worked on at once,
none stays connected between look and stage, and a machine that changes costs one more.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from rolecall.deploy import decisions
from rolecall.deploy.machine import MachineRun
from rolecall.deploy.session import Session
from rolecall.deploy.threads import leave_ctrl_c_to_the_main_thread
from rolecall.errors import Fault, fault
from rolecall.model.plan import PARALLEL, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from rolecall.deploy.decisions import Decisions
    from rolecall.deploy.machine import MachineUpdate, Reveal
    from rolecall.deploy.target import Target
    from rolecall.model.plan import Compared
    from rolecall_agent import protocol

    Step = Callable[[MachineRun], None]

DESCRIPTORS = 4  # file descriptors per connected machine, with one to spare
_MISSED = "the decision did not reach it, and it went back to the state before"
_LEFT = "stopped before it answered; its agent undoes the switch, or completes it if it was decided"
PAUSE = 5.0  # seconds between two attempts to reach a machine that is waited for
RESERVE = 200  # descriptors for everything else


class Fleet:
    """The sessions with all machines of a run. Leaving the `with` block ends them.

    Args:
        wanted: The machines.
        progress: Called with a machine and what happens on it, from several threads.
        parallel: How many machines are worked on at once.
        connect: Begins a session with a machine, or returns one that has begun.

    Raises:
        Faults: When this process may not open enough files for so many machines at once.
    """

    def __init__(
        self,
        wanted: Iterable[MachineUpdate],
        progress: Callable[[str, str], None],
        parallel: int = PARALLEL,
        connect: Callable[[Target], Session] = Session,
    ) -> None:
        self._machines = [
            MachineRun(update, partial(progress, update.targets[0].machine), connect) for update in wanted
        ]
        self._progress = progress
        self._seconds = 0.0
        self._interrupted = False
        self._ended = False
        self._parallel = parallel
        allow_descriptors(min(parallel, _over_ssh(self._machines)))
        self._pool = ThreadPoolExecutor(parallel, initializer=leave_ctrl_c_to_the_main_thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        """End the sessions, and wait for the steps that end with them."""
        if not self._ended:
            self._ended = True
            for machine in self._machines:
                machine.left.set()
            self._each(MachineRun.hang_up, self._machines)
            self._pool.shutdown()

    def look(self, *, full: bool = False, wait: float = 0.0) -> tuple[Compared, ...]:
        """Return what would change on each machine, sorted by wave, then name.

        Those that change stay connected, unless there are more than are worked on at once.

        Args:
            full: Whether machines show the contents of what is removed, too.
            wait: Seconds to wait for machines that are unreachable.
        """
        options = {"stay": _over_ssh(self._machines) <= self._parallel, "full": full}
        with self._timed():
            self._each(partial(self._attempt, lambda machine: machine.look(**options)), self._machines)
            until = time.monotonic() + wait
            while not self._interrupted and (absent := [machine for machine in self._machines if machine.unreachable]):
                if (left := until - time.monotonic()) <= 0:
                    break
                for machine in absent:
                    machine.report_progress(f"{machine.problems[-1][0]}; waiting for it")
                time.sleep(min(PAUSE, left))
                self._each(partial(self._attempt, lambda machine: machine.look_again(**options)), absent)
            for machine in self._machines:
                if machine.problems:
                    machine.give_up()
            if self._interrupted:
                raise KeyboardInterrupt
        ordered = sorted(self._machines, key=lambda machine: (machine.wanted.wave, machine.name))
        return tuple(machine.compared for machine in ordered)

    def leave_out(self, names: Container[str]) -> None:
        """Go on without machines that are unreachable."""
        self._machines = [machine for machine in self._machines if machine.name not in names]

    def apply(
        self, meta: protocol.Meta, reveal: Reveal, folder: Path, reboot: protocol.RebootMode = "planned"
    ) -> Report:
        """Apply what `look` showed, on all machines or on none.

        Ctrl-C undoes all before the run is decided, and changes nothing afterwards; a second one stops waiting, and the
        report says which machines then settle their switch without us.

        Args:
            meta: Who runs it.
            reveal: Returns, for a machine by its name, the values of secrets by version.
            folder: The folder of `decisions`.
            reboot: What to do about machines that must reboot.

        Raises:
            Faults: When this process may not open enough files for the machines that change.
        """
        changing = [machine for machine in self._machines if machine.plan.comparison]
        allow_descriptors(_over_ssh(changing))
        waves = groupby(sorted(changing, key=lambda machine: machine.wanted.wave), lambda machine: machine.wanted.wave)
        with self._stopping(), self._timed():
            ready = (
                self._stage(lambda machine: machine.stage(meta, reveal), changing)
                and all(self._step(lambda machine: machine.switch(meta, reboot), list(wave)) for _, wave in waves)
                # Each machine that is to commit must still be connected and provisional, with or without checks.
                and self._step(MachineRun.check, changing)
            )
            if ready and changing and self._attempt(lambda _: self._decide(folder, meta["run"]), changing[0]):
                self._step(MachineRun.decide, changing)
                self._step(MachineRun.commit, self._in("decided"))
                self._step(MachineRun.ask, self._in("unknown", "decided"))
                for machine in self._in("restored"):
                    machine.problems.append((f"{_MISSED}; to complete the run: `rolecall update {machine.name}`", ""))
            else:
                reason = self._reason()
                self._step(lambda machine: machine.undo(reason), self._in("provisional"))
                self._step(MachineRun.ask, self._in("unknown", "provisional"))
            updated = {machine.name for machine in self._in("updated")}
            for run, names in decisions.load(folder).items():
                decisions.settle(folder, run, [name for name in names if name not in updated])
        return self.report()

    def _stage(self, stage: Step, machines: Sequence[MachineRun]) -> bool:
        """Stage machines, which locks them, and return whether nothing has failed.

        Two runs that do this at the same time can each wait for a machine that the other one has locked. Both then
        unlock theirs, and lock one after the other, in the order of the names, so that one of the runs gets them all.
        """
        if self._step(stage, machines):
            return True
        failed = [machine for machine in machines if machine.problems]
        if self._interrupted or not self._in("staged") or not all(machine.locked for machine in failed):
            return False
        self._each(MachineRun.start_over, machines)
        return all(self._step(stage, [machine]) for machine in sorted(machines, key=lambda machine: machine.name))

    def _decide(self, folder: Path, run: str) -> None:
        """Note durably that the run only goes forward from now on."""
        decisions.note(folder, run, [machine.name for machine in self._in("provisional")])

    def settle(self, folder: Path, decided: Decisions, declared: Container[str]) -> list[Fault]:
        """Settle the decided runs that are complete, after `look`; return a warning for each that is not.

        A machine that the decision reached has completed its switch by now. Another one has gone back.

        Args:
            folder: The folder of `decisions`.
            decided: What was in it before `look`.
            declared: The machines of the inventory.
        """
        seen = {machine.name: machine for machine in self._machines if machine.state != "unseen"}
        warnings = []
        for run, names in decided.items():
            waiting = [name for name in names if name in declared]
            missed = [name for name in waiting if name in seen and not seen[name].has(run)]
            decisions.settle(folder, run, [name for name in waiting if name in missed or name not in seen])
            if missed:
                message = f"run {run} was decided, but not completed on {', '.join(missed)}: {_MISSED}"
                hint = f"to complete the run, use `rolecall update {' '.join(missed)}`"
                warnings.append(Fault(message, hint=hint, warning=True))
        return warnings

    def report(self) -> Report:
        """Return the result for each machine so far."""
        failed = any(problem != _LEFT for machine in self._machines for problem, _ in machine.problems)
        machines = sorted(self._machines, key=lambda machine: machine.name)
        outcomes = tuple(machine.outcome(failed=failed) for machine in machines)
        return Report(outcomes, self._seconds, sum(machine.execs for machine in machines))

    def _reason(self) -> str:
        """Return why the run is undone."""
        problems = (f"{machine.name}: {machine.problems[0][0]}" for machine in self._machines if machine.problems)
        return next(problems, "the run was interrupted")

    def _in(self, *states: str) -> list[MachineRun]:
        """Return the machines that are in one of these states."""
        return [machine for machine in self._machines if machine.state in states]

    def _step(self, step: Step, machines: Sequence[MachineRun]) -> bool:
        """Run one step on machines, and return whether nothing has failed."""
        self._each(partial(self._attempt, step), machines)
        return not self._interrupted and not any(machine.problems for machine in machines)

    def _attempt(self, step: Step, machine: MachineRun) -> bool:
        """Run one step on a machine, record what fails, and return whether nothing did."""
        try:
            step(machine)
        except Exception as error:  # noqa: BLE001 - the other machines must still be finished
            machine.record(error)
            return False
        return True

    def _each(self, function: Callable[[MachineRun], object], machines: Iterable[MachineRun]) -> None:
        """Call a function for each machine, in parallel."""
        calls = [self._pool.submit(function, machine) for machine in machines]
        try:
            wait(calls)
        except KeyboardInterrupt:  # the second one
            for call in calls:
                call.cancel()
            raise
        for call in calls:
            call.result()

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """After a second Ctrl-C, end the sessions, and note which machines are then left alone with their switch."""
        try:
            yield
        except KeyboardInterrupt:
            before = [(machine, list(machine.problems)) for machine in self._machines]
            self._end()
            for machine, problems in before:  # without what ending the sessions has caused
                left = machine.state in {"unknown", "provisional", "decided"}
                machine.problems = [*problems, (_LEFT, "")] if left else problems

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Add up the seconds of a run, without the time spent waiting for confirmation, and handle Ctrl-C."""
        began = time.monotonic()
        main = threading.current_thread() is threading.main_thread()  # signals can be handled only there
        # A handler of our own: a KeyboardInterrupt can be raised anywhere, and is lost in some places, as in callbacks.
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


def _over_ssh(machines: Iterable[MachineRun]) -> int:
    """Return how many of the machines are reached over SSH."""
    return sum(machine.target.root is None for machine in machines)


def allow_descriptors(connections: int) -> None:
    """Raise this process's limit of open files to what so many connections need (getrlimit(2)).

    Raises:
        Faults: When the hard limit is lower.
    """
    needed = connections * DESCRIPTORS + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            hint = f"raise the limit (`ulimit -n {needed}`), or name fewer machines"
            raise fault(f"{needed} open files are needed for that many machines, but the limit is {hard}", hint=hint)
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
