"""What is sent to a machine for a switch, and verified before anything changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set

from rolecall_agent.checking import failing_already
from rolecall_agent.errors import Failure
from rolecall_agent.frames import ProtocolError
from rolecall_agent.resources import KINDS, class_of

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.health import Watch
    from rolecall_agent.machine import Machine
    from rolecall_agent.protocol import Meta, Need, Provenance
    from rolecall_agent.store import Store
    from rolecall_agent.work import Work


@dataclass
class Staged:
    """What is sent for a switch.

    Attributes:
        target: What the machine will have.
        shown: What the switch may do.
        meta: Who switches, and when.
        provenance: From what service code has made the target.
        skipped: Names of the checks that the run skips.
        needed: Digests and versions that were requested.
        lacking: Why one of them could not be stored.
        failing: Names of the checks that fail before the switch.
        watched: The units that the switch has started.
    """

    target: Configuration
    shown: Work
    meta: Meta
    provenance: Provenance
    skipped: List[str]
    needed: Set[str] = field(default_factory=set)
    lacking: Optional[Exception] = None
    failing: List[str] = field(default_factory=list)
    watched: Optional[Watch] = None

    def need(self, store: Store) -> Need:
        """Return what the machine does not have."""
        due = [item for item in self.target.resources if item.key in self.shown.listed]
        store.sealed.drop_unreadable(secret for resource in due for secret in resource.secrets)
        blobs, secrets = store.missing(self.target)
        self.needed = {blob.sha256 for blob in blobs} | {secret.version for secret in secrets}
        return {
            "type": "need",
            "blobs": [blob.sha256 for blob in blobs],
            "secrets": [[secret.name, secret.file, secret.version] for secret in secrets],
        }

    def take(self, store: Store, message: Dict[str, Any], payload: bytes) -> None:
        """Store a blob or secret. The controller reads nothing before ``verify`` is answered, so a failure waits.

        Raises:
            ProtocolError: When it was not requested.
        """
        if self.lacking:
            return
        name = message["sha256"] if message["type"] == "blob" else message["version"]
        if name not in self.needed:
            raise ProtocolError(f"unexpected {message['type']!r}: not requested")
        try:
            if message["type"] == "blob":
                store.add_blob(name, payload)
            else:
                store.sealed.add(name, payload)
        except (Failure, OSError) as error:
            self.lacking = error

    def verify(self, machine: Machine) -> None:
        """Verify that all is there and would work, and note which checks fail already.

        Raises:
            Failure: When something is missing, or would not work.
        """
        if self.lacking:
            raise self.lacking
        system, store = machine.system, machine.store
        blobs, secrets = store.missing(self.target)
        if blobs or secrets:
            raise Failure("not all requested blobs and secrets arrived")
        for kind in KINDS:
            if resources := [item for item in self.target.resources if item.kind == kind]:
                class_of(kind).verify(resources, self.shown.listed, system, store)
        self.failing = failing_already(system, machine.configuration(store.current), self.target, self.skipped)
        for name in self.failing:
            machine.report("check", f"{name!r} fails already")
