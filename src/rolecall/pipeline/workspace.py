"""An open project, with everything that follows from its files.

Stages are imported where they are needed, because many commands need none.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING

from rolecall.errors import Fault, Faults, fault
from rolecall.files import make_local
from rolecall.project import Project, find_root, unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rolecall.deploy.target import Lab, Side
    from rolecall.evaluate.configure import Configured
    from rolecall.evaluate.memory import Memory
    from rolecall.inventory import Read
    from rolecall.model.exports import Exported
    from rolecall.model.generators import Asker
    from rolecall.model.inventory import Loaded
    from rolecall.model.source import Source
    from rolecall.model.world import Host
    from rolecall.pipeline.evaluation import Evaluation, Members
    from rolecall.service.interfaces import Network


class Workspace:
    """An open project. What follows from its files is computed when it is first needed, once, and shared.

    Threads may share it: while one of them computes something, the others wait, also to `refresh`. Two processes share
    nothing but the project's files, whose writers lock them.

    Args:
        project: The project.
        lab: Finds the project's lab while it is up; called when a machine's address is first needed.
        memory: Of earlier evaluations in this process.
        side: What is reached of machines that both run in the lab and name a real target; "" if that is not chosen.

    Attributes:
        project: The project.
        side: As given.
    """

    def __init__(
        self,
        project: Project,
        lab: Callable[[], Lab | None] = lambda: None,
        memory: Memory | None = None,
        side: Side = "",
    ) -> None:
        self.project = project
        self.side = side
        self._memory = memory
        self._find_lab = lab
        self._lock = RLock()
        self.refresh()

    def refresh(self) -> None:
        """Forget what followed from the project's files, after these have changed; the memory stays."""
        with self._lock:
            self._files: Read | None = None
            self._checked: tuple[Loaded, tuple[Fault, ...]] | None = None
            self._members: Members | None = None
            self._evaluation: Evaluation | None = None

    @cached_property
    def memory(self) -> Memory:
        """The memory of this and later evaluations."""
        from rolecall.evaluate.memory import Memory

        return self._memory or Memory()

    @cached_property
    def lab(self) -> Lab | None:
        """The project's lab, if it is up.

        Raises:
            Faults: When it is down although the user has chosen it.
        """
        found = self._find_lab()
        if self.side == "lab" and not found:
            raise fault("the lab is down", hint="boot it: `rolecall lab up --all`")
        return found and replace(found, side=self.side)

    def files(self) -> Read:
        """Return the inventory's files, unchecked.

        Raises:
            Faults: When there are none, or a rename was interrupted.
        """
        with self._lock:
            if self._files is None:
                from rolecall import inventory

                self._files = inventory.read(self.project)
            return self._files

    def with_sources(self, sources: Sequence[Source]) -> Workspace:
        """Return a workspace of the same project whose inventory has these sources, which are not written yet."""
        from rolecall.inventory import Read

        other = Workspace(self.project, lambda: self.lab, self.memory, self.side)
        other._files = Read(list(sources), [])
        return other

    def read(self) -> tuple[Loaded, tuple[Fault, ...]]:
        """Return what of the inventory fits its model, and the faults of the rest.

        Raises:
            Faults: When a file cannot be read.
        """
        with self._lock:
            if self._checked is None:
                from rolecall import inventory

                self._checked = inventory.check(self.files())
            return self._checked

    def loaded(self) -> Loaded:
        """Return the inventory.

        Raises:
            Faults: Everything that is wrong with its files, with places.
        """
        loaded, faults = self.read()
        if faults:
            raise Faults(faults)
        return loaded

    def machine_names(self) -> list[str]:
        """Return the names of the machines, sorted.

        Raises:
            Faults: As `loaded`.
        """
        return sorted(self.loaded().inventory.machines)

    def hosts(self) -> Mapping[str, Host]:
        """Return how machines reach one another, by name.

        Raises:
            Faults: As `loaded`.
        """
        from rolecall.pipeline.addresses import hosts_of

        return hosts_of(self.project, self.loaded(), self.lab)

    def members(self) -> Members:
        """Return who plays what, with which settings.

        Raises:
            Faults: Everything that is wrong with the inventory, with places.
        """
        with self._lock:
            if self._members is None:
                from rolecall.pipeline.evaluation import members_of

                self._members = members_of(self.project, *self.read(), self.memory)
            return self._members

    def sound(self, *, stored: bool = True) -> Members:
        """Return the members of an inventory that has no fault that can be found without evaluating service code.

        Args:
            stored: Whether the files of all stored vars must belong together, too. An evaluation checks those that it
                reads.

        Raises:
            Faults: As `members`, and what is wrong with limits, secrets in settings, the order of steps and targets.
        """
        from rolecall import vars as var_store
        from rolecall.pipeline.evaluation import further_faults

        found = self.members()
        unsound = var_store.unsound(self.project) if stored else ()
        if faults := [*further_faults(self.project, found), *unsound]:
            raise Faults(faults)
        return found

    def check(self) -> Members:
        """Return the members after evaluating everything that can be evaluated without making vars.

        Raises:
            Faults: As `evaluation`, but for what making vars shows.
        """
        from rolecall.pipeline.evaluation import check
        from rolecall.pipeline.ways import ways_of

        found = check(self.project, self.sound(), self.hosts())
        ways = ways_of(self.project, self.loaded(), self.lab, self.networks())
        if faults := [fault for each in ways.values() for fault in each.faults]:
            raise Faults(faults)
        return found

    def stored_configurations(self) -> Mapping[str, Configured]:
        """Return the configurations of all machines as they follow from the stored vars. Nothing is generated.

        Raises:
            Faults: As `evaluation`, but for what making vars shows.
        """
        from rolecall.pipeline.evaluation import configured_as_stored

        return configured_as_stored(self.project, self.sound(stored=False), self.hosts())[1]

    def evaluation(self) -> Evaluation:
        """Return the configurations of all machines. Missing vars are generated into the pending set.

        Raises:
            Faults: As `sound`; also when service code fails or definitions exclude each other.
        """
        with self._lock:
            if self._evaluation is None:
                from rolecall.pipeline.evaluation import evaluate

                self._evaluation = evaluate(self.project, self.sound(stored=False), self.hosts(), self.memory)
            return self._evaluation

    def evaluation_of(self, machines: Sequence[str]) -> Evaluation:
        """Return the configurations of some machines, and of the inventory only what these need.

        Raises:
            Faults: As `evaluation`, of what was evaluated; and for a machine that is not declared.
        """
        from rolecall.pipeline.evaluation import evaluate_some

        return evaluate_some(self.project, self.loaded(), self.hosts(), machines, self.memory)

    def networks(self) -> Sequence[Exported[Network]]:
        """Return how machines are reached in the networks that services publish, as far as no vars are missing.

        Raises:
            Faults: As `loaded`; when the services do not load, their settings are wrong, or their code fails.
        """
        from rolecall.pipeline.evaluation import published
        from rolecall.service.interfaces import Network

        return published(self.project, self.loaded(), self.hosts(), Network, self.memory)


def open(  # noqa: A001 - as `tarfile.open` and others: called with its package's name
    folder: Path,
    *,
    lab: Callable[[Path], tuple[Path, Path, frozenset[str]] | None] = lambda _: None,
    side: Side = "",
    asker: Asker = unanswered,
    nix: bool = False,
    sandbox: bool = True,
    memory: Memory | None = None,
) -> Workspace:
    """Open the project in a folder, or in one above it.

    Args:
        folder: Where the search begins.
        lab: Finds the lab that is kept in a folder, if it is up: its ssh_config, its known_hosts and its machines.
        side: As for `Workspace`.
        asker: Answers the prompts of generators.
        nix: Whether Nix itself evaluates an inventory in Nix; otherwise it is read as data.
        sandbox: Whether scripts of generators are confined.
        memory: Of earlier evaluations in this process.

    Raises:
        Faults: When no project is found.
    """
    project = Project(find_root(folder), nix, sandbox, asker)
    if project.local.is_dir():  # an earlier version, perhaps, did not keep it from git
        with suppress(OSError):
            make_local(project.local)

    def find_lab() -> Lab | None:
        from rolecall.deploy.target import Lab

        return Lab(*found) if (found := lab(project.lab)) else None

    return Workspace(project, find_lab, memory, side)
