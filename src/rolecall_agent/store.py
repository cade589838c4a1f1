"""What the agent keeps on the machine: generations, contents, secrets, originals, the journal.

::

    /var/lib/rolecall/
      schema              the version of this layout
      lock                held by the running agent, with its pid and run
      agent/DIGEST/       agents, unpacked; boot -> DIGEST: the one that rolecall-boot.service runs
      blobs/SHA256        public contents
      sealed/VERSION      secret values, see `sealed`; mac.key: detects drift of files with secrets
      generations/N/      configuration.json, meta.json; packages.json: versions of packages;
                          provenance.json: from what service code has made the resources
      current             -> generations/N; missing before the first commit
      original/           index.json: what was in each resource's place before, by key; SHA256: contents of files
      packages/           files of packages that were installed, for an undo, or to go back to a generation
      journal.json        exists while a switch is not settled
      confirmed           the nonce with which the switch was confirmed
      history             a line for each run, see `history`
      fingerprint.json    the state of the machine when it was found to be as declared
      nftables.json       what was loaded as tables of nftables, and how nft lists it

Every write is one rename(2), so that a reader sees the old or the new. Everything is verified when it is read: blobs
and contents of originals by their names, configurations by their meta.json, secret values by HMAC, and the other files
by a digest in them (`state`). What is damaged or lost is named, and never used; `damage` finds what only a comparison
of files shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple

from rolecall_agent.bootstrap import digest_of
from rolecall_agent.content_store import ContentStore
from rolecall_agent.errors import Failure
from rolecall_agent.generations import Generations
from rolecall_agent.state import HOME, DamagedError, Json, damaged, is_intact, read_json, remove_all, write_json
from rolecall_agent.tree import TEMPORARY

if TYPE_CHECKING:
    from rolecall_agent.configuration import Configuration
    from rolecall_agent.content import Blob, Secret
    from rolecall_agent.system import System

SCHEMA = 3
KEPT_GENERATIONS = 10
_SEALED_WITH_MAC = 2  # the first layout in which `sealed` is as it is now


class Store(ContentStore, Generations):
    """The whole state directory: contents, originals, generations, the journal, and the agent of the next boot.

    Args:
        system: The machine.
        agent: Digest of the running agent, or "".

    Attributes:
        agent: As above.
    """

    def __init__(self, system: System, agent: str = "") -> None:
        ContentStore.__init__(self, system)
        Generations.__init__(self, system)
        self.agent = agent

    def prepare(self) -> None:
        """Create what is missing of the layout, and convert an older one.

        Raises:
            Failure: As `schema`.
        """
        schema = self.schema()
        for path in ("/var", "/var/lib", HOME):
            if self._system.stat(path) is None:
                self._system.mkdir(path)
        for name in ("blobs", "sealed", "generations", "original"):
            if self._system.stat(f"{HOME}/{name}") is None:
                self._system.mkdir(f"{HOME}/{name}", mode=0o700)
        self._sweep()
        if not self._is_boot_agent_whole():
            self.set_boot_agent()
        if schema is not None and schema < SCHEMA:
            self.set_boot_agent()  # the older agent cannot read the new layout
            if schema < _SEALED_WITH_MAC:
                self.sealed.convert()
        if schema != SCHEMA:
            self.write_schema()

    def schema(self) -> Optional[int]:
        """Return the version of the layout; None before the first run.

        Raises:
            Failure: When it is damaged, or newer than this agent.
        """
        schema = read_json(self._system, "schema")
        if schema is not None and type(schema) is not int:
            raise damaged("schema", "it is not a number")
        if schema is not None and schema > SCHEMA:
            raise Failure(f"{HOME} has layout {schema}, but this agent supports {SCHEMA} at most; update Rolecall")
        return schema

    def write_schema(self) -> None:
        """Record the layout of this agent."""
        write_json(self._system, "schema", SCHEMA)

    def _sweep(self) -> None:
        """Remove what a killed agent left; `prune` does so in the other folders."""
        for folder in (HOME, f"{HOME}/generations"):
            for name in self._system.names(folder):
                if name.startswith(TEMPORARY):
                    remove_all(self._system, f"{folder}/{name}")

    # The agent of the next boot

    def set_boot_agent(self) -> None:
        """Make the running agent the one that runs at the next boot."""
        link = self._system.stat(f"{HOME}/agent/boot")
        if self.agent and (link is None or link.target != self.agent):
            self._system.symlink(f"{HOME}/agent/boot", self.agent)

    def _is_boot_agent_whole(self) -> bool:
        """Return whether the agent of the next boot can start; the running one has been verified already."""
        link = self._system.stat(f"{HOME}/agent/boot")
        if link is None or link.target == self.agent:
            return True
        return digest_of(f"{self._system.root or ''}{HOME}/agent/{link.target}") == link.target

    # Journal

    @property
    def is_interrupted(self) -> bool:
        """Whether there is a journal, which may be damaged."""
        return self._system.stat(f"{HOME}/journal.json") is not None

    @property
    def journal(self) -> Optional[Json]:
        """The switch that is not settled, as `switch` wrote it; None when there is none."""
        journal: Optional[Json] = read_json(self._system, "journal.json")
        return journal

    def write_journal(self, journal: Json) -> None:
        """Replace the journal."""
        write_json(self._system, "journal.json", journal)

    def drop_journal(self) -> None:
        """Remove the journal of a settled switch."""
        self._system.remove(f"{HOME}/confirmed")
        self._system.remove(f"{HOME}/journal.json")

    @property
    def confirmed(self) -> str:
        """The nonce that a second connection sent, or ""."""
        return str(read_json(self._system, "confirmed") or "")

    def write_fingerprint(self, fingerprint: Json) -> None:
        """Replace the fingerprint."""
        write_json(self._system, "fingerprint.json", fingerprint)

    def missing(self, configuration: Configuration) -> Tuple[List[Blob], List[Secret]]:
        """Return the blobs and secrets of a configuration that are not stored; damaged blobs count as missing."""
        blobs = {blob.sha256: blob for blob in configuration.blobs}
        secrets = {secret.version: secret for secret in configuration.secrets}
        for sha256 in self._system.names(f"{HOME}/blobs"):
            if sha256 in blobs and is_intact(self._system, f"blobs/{sha256}", sha256):
                del blobs[sha256]
        for version in self.sealed.versions():
            secrets.pop(version, None)
        return list(blobs.values()), list(secrets.values())

    def prune(self) -> List[str]:
        """Remove all but the last ten generations, and everything that none of these needs; return notes.

        Nothing while there is a journal: whoever settles it may need any of them.
        """
        if self.journal is not None:
            return []
        numbers = sorted(number for number in self.numbers() if number <= self.current)
        kept: Dict[int, Configuration] = {}
        notes = []
        for number in numbers[-KEPT_GENERATIONS:]:
            try:
                kept[number] = self.configuration(number)
            except DamagedError as failure:
                if number == self.current:
                    raise
                notes.append(f"generation {number} is removed: {failure.message.partition(';')[0]}")
        for number in self.numbers():
            if number not in kept:  # older, undone, or damaged
                remove_all(self._system, f"{HOME}/generations/{number}")
        configurations = list(kept.values())
        self._retain("blobs", {blob.sha256 for configuration in configurations for blob in configuration.blobs})
        self.sealed.retain(_needed_versions(configurations))
        contents = {original.get("file", original).get("content") for original in self.originals.values()}
        self._retain("original", {"index.json", *contents})
        boot = self._system.stat(f"{HOME}/agent/boot")
        if self.agent and boot:
            self._retain("agent", {"boot", boot.target, self.agent})
        return notes

    def require_nothing_managed(self) -> None:
        """Raise Failure when resources are still managed."""
        if self.configuration(self.current).resources:
            raise Failure("the machine still has managed resources; remove its roles and run `rolecall update` first")

    def purge(self) -> None:
        """Remove everything but the lock, which is held: the secrets first, the version of the layout last.

        Raises:
            Failure: When resources are still managed.
        """
        self.require_nothing_managed()
        first = (
            "sealed",
            "mac.key",
            "current",
            "generations",
            "blobs",
            "original",
            "packages",
            "confirmed",
            "history",
            "fingerprint.json",
            "nftables.json",
        )
        for name in (*first, "agent", "schema"):
            remove_all(self._system, f"{HOME}/{name}")

    def _retain(self, folder: str, names: set[Any]) -> None:
        for name in self._system.names(f"{HOME}/{folder}"):
            if name not in names:
                remove_all(self._system, f"{HOME}/{folder}/{name}")


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
