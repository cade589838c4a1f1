"""What the agent keeps on the machine: generations, contents, secrets, originals, the journal.

::

    /var/lib/rolecall/
      schema              the version of this layout
      lock                held by the running agent, with its pid and run
      agent/DIGEST/       agents, unpacked; boot -> DIGEST: the one that rolecall-boot.service runs
      blobs/SHA256        public contents
      sealed/VERSION      secret values, see `sealed`; mac.key: detects drift of files with secrets
      generations/N/      configuration.json, meta.json
      current             -> generations/N; missing before the first switch
      original/           index.json: what was in each resource's place before, by key; SHA256: contents of files
      journal.json        exists while a switch is not settled
      confirmed           the nonce with which the switch was confirmed

Every write is one rename(2), so that a reader sees the old or the new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple

from rolecall_agent.configuration import Configuration
from rolecall_agent.content_store import ContentStore, Json
from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME
from rolecall_agent.tree import TEMPORARY

if TYPE_CHECKING:
    from rolecall_agent.content import Blob, Secret
    from rolecall_agent.protocol import Generation, Meta
    from rolecall_agent.system import System

SCHEMA = 2
KEPT_GENERATIONS = 10


class Store(ContentStore):
    """The whole state directory: contents and originals, generations and the journal.

    Args:
        system: The machine.
        agent: Digest of the running agent, or "".

    Attributes:
        agent: As above.
    """

    def __init__(self, system: System, agent: str = "") -> None:
        super().__init__(system)
        self.agent = agent

    def prepare(self) -> None:
        """Create what is missing of the layout, and convert an older one.

        Raises:
            Failure: When the layout is newer than this agent.
        """
        schema = self._read_json("schema")
        if schema is not None and schema > SCHEMA:
            raise Failure(f"{HOME} has layout {schema}, but this agent supports {SCHEMA} at most; update Rolecall")
        for path in ("/var", "/var/lib", HOME):
            if self._system.stat(path) is None:
                self._system.mkdir(path)
        for name in ("blobs", "sealed", "generations", "original"):
            if self._system.stat(f"{HOME}/{name}") is None:
                self._system.mkdir(f"{HOME}/{name}", mode=0o700)
        self._sweep()
        if schema is not None and schema < SCHEMA:
            self.set_boot_agent()  # the older agent cannot read the new layout
            self.sealed.convert()
        if schema != SCHEMA:
            self._write_json("schema", SCHEMA)

    def _sweep(self) -> None:
        """Remove what a killed agent left; `prune` does so in the other folders."""
        for folder in (HOME, f"{HOME}/generations"):
            for name in self._system.names(folder):
                if name.startswith(TEMPORARY):
                    self._remove(f"{folder}/{name}")

    # Generations

    @property
    def current(self) -> int:
        """The number of the current generation; 0 for none."""
        link = self._system.stat(f"{HOME}/current")
        return int(link.target.rpartition("/")[2]) if link else 0

    def set_current(self, number: int) -> None:
        """Make a generation the current one."""
        self._system.symlink(f"{HOME}/current", f"generations/{number}")

    def configuration(self, number: int) -> Configuration:
        """Return the configuration of a generation; an empty one for 0."""
        if not number:
            return Configuration("")
        return Configuration.decode(self._system.read(f"{HOME}/generations/{number}/configuration.json"))

    def generation(self, number: int) -> Optional[Generation]:
        """Return the metadata of a generation; None for 0."""
        return self._read_json(f"generations/{number}/meta.json") if number else None

    def add_generation(self, configuration: Configuration, meta: Meta) -> int:
        """Write the next generation, and return its number."""
        number = self.current + 1
        self._remove(f"{HOME}/generations/{number}")  # left by an agent that was killed while writing it
        self._system.mkdir(f"{HOME}/generations/{number}", mode=0o700)
        self._system.write(f"{HOME}/generations/{number}/configuration.json", configuration.encode())
        self._write_json(f"generations/{number}/meta.json", {**meta, "number": number, "digest": configuration.digest})
        return number

    def _numbers(self) -> List[int]:
        return [int(name) for name in self._system.names(f"{HOME}/generations") if name.isdigit()]

    def set_boot_agent(self) -> None:
        """Make the running agent the one that runs at the next boot."""
        link = self._system.stat(f"{HOME}/agent/boot")
        if self.agent and (link is None or link.target != self.agent):
            self._system.symlink(f"{HOME}/agent/boot", self.agent)

    # Journal

    @property
    def journal(self) -> Optional[Json]:
        """The switch that is not settled, as `switch` wrote it; None when there is none."""
        journal: Optional[Json] = self._read_json("journal.json")
        return journal

    def write_journal(self, journal: Json) -> None:
        """Replace the journal."""
        self._write_json("journal.json", journal)

    def drop_journal(self) -> None:
        """Remove the journal of a settled switch."""
        self._system.remove(f"{HOME}/confirmed")
        self._system.remove(f"{HOME}/journal.json")

    @property
    def confirmed(self) -> str:
        """The nonce that a second connection sent, or ""."""
        return str(self._read_json("confirmed") or "")

    def confirm(self, nonce: str) -> None:
        """Record the nonce that a second connection sent."""
        self._write_json("confirmed", nonce)

    # Contents of generations

    def missing(self, configuration: Configuration) -> Tuple[List[Blob], List[Secret]]:
        """Return the blobs and secrets of a configuration that are not stored."""
        blobs = {blob.sha256: blob for blob in configuration.blobs}
        secrets = {secret.version: secret for secret in configuration.secrets}
        for sha256 in self._system.names(f"{HOME}/blobs"):
            blobs.pop(sha256, None)
        for version in self.sealed.versions():
            secrets.pop(version, None)
        return list(blobs.values()), list(secrets.values())

    def prune(self) -> None:
        """Remove all but the last ten generations, and everything that none of these needs.

        Nothing while there is a journal: whoever settles it may need any of them.
        """
        if self.journal is not None:
            return
        numbers = sorted(number for number in self._numbers() if number <= self.current)
        kept = numbers[-KEPT_GENERATIONS:]
        for number in self._numbers():
            if number not in kept:  # older, or undone
                self._remove(f"{HOME}/generations/{number}")
        configurations = [self.configuration(number) for number in kept]
        self._retain("blobs", {blob.sha256 for configuration in configurations for blob in configuration.blobs})
        self.sealed.retain(_needed_versions(configurations))
        contents = {original.get("file", original).get("content") for original in self.originals.values()}
        self._retain("original", {"index.json", *contents})
        boot = self._system.stat(f"{HOME}/agent/boot")
        if self.agent and boot:
            self._retain("agent", {"boot", boot.target, self.agent})

    def purge(self) -> None:
        """Remove everything but the lock, which is held: the secrets first, the version of the layout last.

        Raises:
            Failure: When resources are still managed.
        """
        if self.configuration(self.current).resources:
            raise Failure("the machine still has managed resources; remove its roles and run `rolecall update` first")
        names = ("sealed", "mac.key", "current", "generations", "blobs", "original", "confirmed", "agent", "schema")
        for name in names:
            self._remove(f"{HOME}/{name}")

    def _retain(self, folder: str, names: set[Any]) -> None:
        for name in self._system.names(f"{HOME}/{folder}"):
            if name not in names:
                self._remove(f"{HOME}/{folder}/{name}")

    def _remove(self, path: str) -> None:
        entry = self._system.stat(path)
        if entry and entry.type == "directory":
            for name in self._system.names(path):
                self._remove(f"{path}/{name}")
        self._system.remove(path)


def _needed_versions(configurations: Sequence[Configuration]) -> Set[str]:
    """Return the versions of secrets that generations need, given oldest first.

    Only the newest version of each secret is kept: a rotated secret must not be restorable by a rollback.
    """
    needed: Dict[Tuple[str, str], Set[str]] = {}
    for configuration in reversed(configurations):
        versions: Dict[Tuple[str, str], Set[str]] = {}
        for secret in configuration.secrets:
            versions.setdefault((secret.name, secret.file), set()).add(secret.version)
        needed = {**versions, **needed}
    return {version for versions in needed.values() for version in versions}
