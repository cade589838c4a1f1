"""The journal of a switch: what it is about to touch, and what was there before.

It is written before each step, so that whoever finds it can undo exactly what may have been touched, with nothing but
the journal and what the store has kept for it. `switch` writes it, `undo` reads it. The states of a machine:

    no journal ──switch──▶ begun ──all is done──▶ provisional ──decide──▶ decided ──commit, recover──▶ no journal
                             │ └─reboot─▶ away ─return─▶ begun │
                             │                         │
                             └─── failure, lost link, undo, recover ───▶ undone, compared ──no difference──▶ no journal
                                                                             │    ▲
                                                                something differs │ retry: open, boot, every 5 minutes
                                                                             ▼    │
                                                                            damaged ──accept, give up──▶ no journal

Each arrow is one write of the journal, or its removal; so a machine that dies is in the state before or after it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME, damaged

if TYPE_CHECKING:
    from rolecall_agent.inquiry import RunResult
    from rolecall_agent.protocol import Damage, Interrupted, Meta
    from rolecall_agent.store import Store

SCHEMA = 1
DECLARED = "declared"
"""The type of what was captured where the machine was as the generation before the switch declares it."""


@dataclass
class Journal:
    """A switch that is not settled.

    Attributes:
        agent: Digest of the agent that wrote it, and that recovers it; "" for a test.
        meta: Who switches, and when.
        source: The generation before the switch; 0 for none.
        target: The generation to which it goes.
        nonce: What a confirmation must contain.
        confirm: Whether the commit needs a confirmation.
        token: What the names of temporary files are computed from; see `Tree`.
        provisional: Whether everything is done, and only the commit is missing.
        decided: Whether all machines of the run can commit, so that recovery goes forward.
        before: What was in the place of each resource that the switch may have touched, by key, in that order.
        packages: The state of each package that the switch may have touched, by name.
        removed: Names of the packages that may have been removed once it was settled.
        units: Whether each unit that it has an effect on was ``enabled``, ``active`` and ``failed`` before.
        reenabled: Names of units that may start at boot in another way than before.
        reloaded: Names of units that it may have reloaded, and does not restart.
        along: Names of units that stop or restart along with others.
        restarted: Whether it may have started or restarted units.
        commands: Commands to undo what actions may have done, last first: the key, and program with arguments.
        damage: What the last undo could not put back.
        abandoned: Keys of resources that a person has given up.
        notes: What a person should know once it is committed.
        skipped_checks: Names of the checks that the run skips.
        failing_checks: Names of the checks that failed before it, so that their failure does not count.
        reboot: Why the machine must reboot before the switch counts; [] if it need not.
        down: Names of the units that were down before and may stay so, as in `Work.revive`.
        settle: Seconds that units must run, as in `Work`.
        boot: The boot in which it was told to reboot; "" if it was not.
        awaits: Whether the controller must return after the reboot.
        seconds: How long it has for that, after the boot.
        waits_in: The boot in which this time has begun, or "".
        undone_in: The boot in which all was undone, and which another one must follow; "" if none is needed.
        ending: Then, how the run ends on this machine, and why.
    """

    agent: str
    meta: Meta
    source: int
    target: int
    nonce: str
    confirm: bool
    token: str
    provisional: bool = False
    decided: bool = False
    before: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    packages: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    removed: List[str] = field(default_factory=list)
    units: Dict[str, Dict[str, bool]] = field(default_factory=dict)
    reenabled: List[str] = field(default_factory=list)
    reloaded: List[str] = field(default_factory=list)
    along: List[str] = field(default_factory=list)
    restarted: bool = False
    commands: List[Tuple[str, List[str]]] = field(default_factory=list)
    damage: List[Damage] = field(default_factory=list)
    abandoned: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    skipped_checks: List[str] = field(default_factory=list)
    failing_checks: List[str] = field(default_factory=list)
    reboot: List[str] = field(default_factory=list)
    down: List[str] = field(default_factory=list)
    settle: Dict[str, float] = field(default_factory=dict)
    boot: str = ""
    awaits: bool = False
    seconds: int = 0
    waits_in: str = ""
    undone_in: str = ""
    ending: Optional[Tuple[RunResult, str]] = None

    def described(self) -> Interrupted:
        """Return it for a person."""
        return {
            "meta": self.meta,
            "source": self.source,
            "target": self.target,
            "decided": self.decided,
            "resources": list(self.before),
            "units": sorted(self.units),
            "damage": self.damage,
        }

    def save(self, store: Store) -> None:
        """Write it; durable afterwards."""
        # As a list, since the order counts and the encoding sorts the keys of an object.
        store.write_journal({"schema": SCHEMA, **asdict(self), "before": list(self.before.items())})


def load(store: Store) -> Optional[Journal]:
    """Return the journal of the switch that is not settled; None when there is none.

    Raises:
        Failure: When it cannot be understood.
    """
    data = store.journal
    if data is None:
        return None
    try:
        if data["schema"] != SCHEMA:
            raise Failure(f"{HOME}/journal.json has schema {data['schema']}, and this agent supports {SCHEMA}")
        values = {each.name: data[each.name] for each in fields(Journal) if each.name in data}  # an earlier version's
        return Journal(**{**values, "before": dict(data["before"]), "commands": [tuple(it) for it in data["commands"]]})
    except (KeyError, TypeError, ValueError) as error:
        raise damaged("journal.json", f"{type(error).__name__} {error}") from error
