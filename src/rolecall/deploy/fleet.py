"""One switch over many machines: look at all, stage on all, switch in waves, confirm, check, commit all; or all back.

A machine costs one exec to look at, held open until the run is over; a switched one costs a second, short exec over a
connection of its own, which shows that it can still be reached.
"""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from rolecall.deploy.session import AgentFailedError, Session
from rolecall.model.plan import Change, MachinePlan, Outcome, Report, UnitChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from rolecall.deploy.target import Target
    from rolecall_agent import protocol
    from rolecall_agent.configuration import Configuration

WIDTH = 32  # machines talked to at once; each is one ssh process
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one machine shall become.

    Attributes:
        target: How it is reached.
        wave: Place in the order of switching.
        configuration: What it must have.
        origins: Who asks for each resource, by its key.
    """

    target: Target
    wave: int
    configuration: Configuration
    origins: Mapping[str, tuple[str, ...]]


@dataclass(slots=True)
class _Machine:
    """One machine during a run."""

    wanted: Wanted
    session: Session | None = None
    plan: MachinePlan | None = None
    staged: bool = False
    switched: bool = False
    outcome: Outcome | None = None
    problems: list[Outcome] = field(default_factory=list)


class Fleet:
    """Conversations with all machines of a run. Leaving the `with` block ends them.

    Args:
        wanted: The machines.
        progress: Told what happens on which machine, from several threads.
    """

    def __init__(self, wanted: Iterable[Wanted], progress: Callable[[str, str], None]) -> None:
        self._machines = {want.target.machine: _Machine(want) for want in wanted}
        self._progress = progress
        self._began = time.monotonic()
        self._execs: list[str] = []  # machine per command started; appending is safe from threads
        self._stack = ExitStack()
        self._pool = self._stack.enter_context(ThreadPoolExecutor(WIDTH))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._each(lambda machine: machine.session.close() if machine.session else None, self._machines.values())
        self._stack.close()

    def look(self) -> tuple[MachinePlan, ...]:
        """What would change on each machine, sorted by wave, then name. Those that change stay connected."""
        plans = self._each(self._look, self._machines.values())
        return tuple(sorted(plans, key=lambda plan: (plan.wave, plan.machine)))

    def apply(self, meta: protocol.Meta, reveal: Callable[[str, list[list[str]]], Mapping[str, bytes]]) -> Report:
        """Does what `look` showed, on all machines or on none.

        Args:
            meta: Who does this.
            reveal: Gives secret values by version, for a machine and the secrets that it lacks.
        """
        changing = [machine for machine in self._machines.values() if machine.plan and machine.plan.comparison]
        self._each(lambda machine: self._stage(machine, meta, reveal), changing)
        good = all(machine.staged for machine in changing)
        if good:
            good = self._switch_all(changing, meta)
        if good:
            good = self._check_all(changing)
        finish = self._commit if good else self._undo
        self._each(finish, changing)
        return self._report()

    def report(self) -> Report:
        """A report of having looked, for a run in which nothing changes."""
        return self._report()

    def _switch_all(self, changing: list[_Machine], meta: protocol.Meta) -> bool:
        changing = sorted(changing, key=lambda machine: (machine.wanted.wave, machine.wanted.target.machine))
        for _, wave in groupby(changing, key=lambda machine: machine.wanted.wave):
            members = list(wave)
            self._each(lambda machine: self._switch(machine, meta["run"]), members)
            if any(machine.problems for machine in members):
                return False
        return True

    def _check_all(self, changing: list[_Machine]) -> bool:
        self._each(self._check, changing)
        return not any(machine.problems for machine in changing)

    def _look(self, machine: _Machine) -> MachinePlan:
        wanted = machine.wanted
        configuration = wanted.configuration
        plan = MachinePlan(wanted.target.machine, wanted.target.text, wanted.wave, configuration.digest)
        session = Session(wanted.target)
        self._execs.append(wanted.target.machine)
        try:
            state = session.open(plan.digest)
            generation = state["current"]["number"] if state["current"] else 0
            found = replace(plan, generation=generation, recovered=state["recovered"] or "")
            blank = not state["current"] and not configuration.resources
            if state["same"] or blank:
                session.close()
            else:
                comparison = session.compare(configuration)
                found = _compared(found, comparison, wanted.origins)
                machine.session = session
        except AgentFailedError as error:
            session.close()
            found = replace(plan, failure=str(error))
            machine.problems.append(Outcome(plan.machine, "untouched", str(error), error.detail))
        machine.plan = found
        return found

    def _stage(
        self,
        machine: _Machine,
        meta: protocol.Meta,
        reveal: Callable[[str, list[list[str]]], Mapping[str, bytes]],
    ) -> None:
        name = machine.wanted.target.machine
        assert machine.session  # noqa: S101 - _look kept it for every machine that changes
        assert machine.plan  # noqa: S101 - as above
        self._progress(name, "stage")
        blobs = {blob.sha256: blob for blob in machine.wanted.configuration.blobs}
        try:
            machine.session.stage(machine.plan.comparison, meta, blobs, lambda needed: reveal(name, needed))
            machine.staged = True
        except AgentFailedError as error:
            machine.problems.append(Outcome(name, "untouched", str(error), error.detail))

    def _switch(self, machine: _Machine, run: str) -> None:
        name = machine.wanted.target.machine
        assert machine.session  # noqa: S101 - _look kept it
        nonce = secrets.token_hex(16)
        over_network = machine.wanted.target.root is None
        try:
            machine.session.switch(nonce, confirm=over_network, progress=lambda text: self._progress(name, text))
            machine.switched = True
        except AgentFailedError as error:
            result = "restored" if error.restored else "unknown"
            machine.problems.append(Outcome(name, result, str(error), error.detail))
            return
        if over_network:
            self._execs.append(name)
            try:
                with Session(machine.wanted.target) as second:
                    second.confirm(run, nonce)
            except AgentFailedError as error:
                message = f"it could not be reached again after its switch: {error}"
                machine.problems.append(Outcome(name, "restored", message, error.detail))

    def _check(self, machine: _Machine) -> None:
        name = machine.wanted.target.machine
        if not any(check.peers for check in machine.wanted.configuration.checks):
            return
        assert machine.session  # noqa: S101 - _look kept it
        self._progress(name, "check with peers")
        try:
            for result in machine.session.check(peers=True):
                if not result["ok"]:
                    message = f"the check {result['name']!r} failed"
                    machine.problems.append(Outcome(name, "restored", message, result["output"]))
        except AgentFailedError as error:
            machine.problems.append(Outcome(name, "unknown", str(error), error.detail))

    def _commit(self, machine: _Machine) -> None:
        name = machine.wanted.target.machine
        assert machine.session  # noqa: S101 - _look kept it
        try:
            committed = machine.session.commit()
            notes = "; ".join(committed["notes"])
            machine.outcome = Outcome(name, "updated", notes, generation=committed["number"])
            self._progress(name, f"generation {committed['number']} committed")
        except AgentFailedError as error:
            machine.outcome = Outcome(name, "unknown", f"the commit was not confirmed: {error}", error.detail)

    def _undo(self, machine: _Machine) -> None:
        """Brings a machine back after something failed, here or on another one."""
        name = machine.wanted.target.machine
        assert machine.session  # noqa: S101 - _look kept it
        first = machine.problems[0] if machine.problems else None
        if not machine.switched:
            machine.outcome = first or Outcome(name, "untouched", "another machine failed")
            return
        try:
            self._progress(name, "undo")
            machine.session.undo(lambda text: self._progress(name, text))
            machine.outcome = first or Outcome(name, "restored", "another machine failed")
        except AgentFailedError as error:
            message = f"{first.message}; then: {error}" if first else str(error)
            machine.outcome = Outcome(name, "restored" if error.restored else "unknown", message, error.detail)

    def _report(self) -> Report:
        outcomes = []
        for name, machine in sorted(self._machines.items()):
            generation = machine.plan.generation if machine.plan else 0
            outcome = machine.outcome or (machine.problems[0] if machine.problems else None)
            outcomes.append(outcome or Outcome(name, "unchanged", generation=generation))
        return Report(tuple(outcomes), time.monotonic() - self._began, len(self._execs))

    def _each(self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> list[ResultT]:
        return list(self._pool.map(function, items))


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
