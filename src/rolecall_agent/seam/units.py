"""The interface to the units of systemd."""

from __future__ import annotations

from typing import TYPE_CHECKING, AbstractSet, Iterable, List, Mapping, NamedTuple, Optional, Protocol, Sequence, Tuple

if TYPE_CHECKING:
    from rolecall_agent.fingerprint import Answer

UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


class UnitState(NamedTuple):
    """The state of a unit on the machine.

    Attributes:
        known: Whether a unit of this name exists, managed or not.
        enabled: Whether it starts at boot by a link of its own.
        indirect: Whether enabling it means to enable other units, which its ``[Install]`` section names.
        active: Whether it is running.
        job: Whether it is running, and will end by itself: a oneshot.
        done: Whether it need not be running: a oneshot that has succeeded, or a condition that is not met.
        failed: Whether it failed, or is about to be restarted after a failure.
        daemon: Whether it is a service, and not a job.
        simple: Whether it counts as started as soon as its program runs, whether that is ready or not.
        invocation: Identifies this run of it; "" if it has not run.
        stale: Whether systemd has loaded another version of its files than there are now.
        elapsed: Whether it is a timer that will not start its job again.
        reloads: Whether it can be reloaded.
        repeats: Whether systemd starts it again after it has ended well.
        transient: Whether a program has created it at run time, in place of any unit file.
        alias: The name of the unit that this is another name of, or "".
        triggers: The units that it starts: the service of a socket, timer or path.
        triggered: Whether such a unit starts it.
        bound: The units that stop and restart along with it.
        stopped_along: The units that stop along with it, but do not restart.
    """

    known: bool = False
    enabled: bool = False
    indirect: bool = False
    active: bool = False
    job: bool = False
    done: bool = False
    failed: bool = False
    daemon: bool = False
    simple: bool = False
    invocation: str = ""
    stale: bool = False
    elapsed: bool = False
    reloads: bool = False
    repeats: bool = False
    transient: bool = False
    alias: str = ""
    triggers: Tuple[str, ...] = ()
    triggered: bool = False
    bound: Tuple[str, ...] = ()
    stopped_along: Tuple[str, ...] = ()


class Units(Protocol):
    """Systemd units. Every method raises Failure when it fails.

    Attributes:
        settled: Whether a unit that was started or stopped is so; during a boot, this happens later.
    """

    settled: bool

    def prefetch(self, names: Iterable[str]) -> None:
        """Announce units whose state will be needed, so that one call gets all of them."""
        ...

    def forget(self) -> None:
        """Ask systemd again for every state that is needed from now on."""
        ...

    def renew(self) -> List[Answer]:
        """Ask systemd again, except for states of the last second; return the answers from which these come."""
        ...

    def state(self, name: str) -> UnitState:
        """Return the state of a unit; all false when it does not exist."""
        ...

    def instances(self, template: str) -> List[str]:
        """Return the names of the instances of a template that systemd has loaded, sorted."""
        ...

    def run(self, verb: str, names: Sequence[str]) -> None:
        """Run systemctl with a verb on units; without units, do nothing unless the verb is ``daemon-reload``."""
        ...

    def failed(self) -> List[str]:
        """Return the names of all units that have failed, sorted."""
        ...

    def has_failed(self, name: str, since: float) -> bool:
        """Return whether a run of a unit has failed since a time, in seconds since the epoch."""
        ...

    def log(self, names: Sequence[str]) -> str:
        """Return the end of the log of units, for a person."""
        ...

    def validate(self, texts: Mapping[str, bytes], coming: Optional[AbstractSet[str]]) -> None:
        """Raise Failure when systemd could not load these unit files.

        Args:
            texts: The unit files, by the names of the units.
            coming: Names of units that they may require although these are not there yet; None for any.
        """
        ...
