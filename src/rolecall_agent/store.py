"""What the agent keeps on the machine: generations, contents, secrets, originals, the journal.

::

    /var/lib/rolecall/
      schema              the version of this layout
      lock                held by the running agent, with its pid and run
      agent/DIGEST/       agents, unpacked; boot -> DIGEST: the one that rolecall-boot.service runs
      blobs/SHA256        public contents
      sealed/VERSION      secret values, see `sealed`; mac.key: detects drift of files with secrets
      generations/N/      configuration.json, meta.json
      current             -> generations/N; missing before the first commit
      original/           index.json: what was in each resource's place before, by key; SHA256: contents of files
      journal.json        exists while a switch is not settled
      confirmed           the nonce with which the switch was confirmed

Every write is one rename(2), so that a reader sees the old or the new. Everything is verified when it is read: blobs
and contents of originals by their names, configurations by their meta.json, secret values by HMAC, and the other files
by a digest in them (`state`). What is damaged or lost is named, and never used.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from rolecall_agent.bootstrap import digest_of
from rolecall_agent.configuration import Configuration
from rolecall_agent.content_store import INDEX, ContentStore
from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME, DamagedError, Json, damaged, is_intact, read_json, write_json
from rolecall_agent.tree import TEMPORARY

if TYPE_CHECKING:
    from rolecall_agent.content import Blob, Secret
    from rolecall_agent.protocol import Generation, Meta
    from rolecall_agent.system import System

SCHEMA = 3
KEPT_GENERATIONS = 10
_SEALED_WITH_MAC = 2  # the first layout in which `sealed` is as it is now


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
        self._configurations: Dict[int, Configuration] = {}  # by number, as read

    def prepare(self) -> None:
        """Create what is missing of the layout, and convert an older one.

        Raises:
            Failure: When the layout is newer than this agent, or something in it is damaged or lost.
        """
        schema = self._schema()
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
            write_json(self._system, "schema", SCHEMA)
        self._require_current()
        if self._is_index_lost():
            raise damaged(INDEX, "it is missing")

    def _schema(self) -> Optional[int]:
        schema = read_json(self._system, "schema")
        if schema is not None and type(schema) is not int:
            raise damaged("schema", "it is not a number")
        if schema is not None and schema > SCHEMA:
            raise Failure(f"{HOME} has layout {schema}, but this agent supports {SCHEMA} at most; update Rolecall")
        return schema

    def _is_current_lost(self) -> bool:
        """Return whether there is no current generation, although a switch was committed."""
        kept = [key for key, original in self.originals.items() if not original.get("abandoned")]
        return not (self.current or all(key.startswith("made:") for key in kept) or self.journal)

    def _is_index_lost(self) -> bool:
        there = self._system.stat(f"{HOME}/{INDEX}")
        return there is None and bool(self.configuration(self.current).resources)

    def give_up_damaged(self) -> bool:
        """Forget what is damaged, so that a next run can work; return whether there was something.

        The current generation is then the newest one that is intact. What was in the place of a resource before is not
        known any more if the index of originals is damaged, so the resource stays when it is undeclared.

        Raises:
            Failure: When the layout is newer than this agent.
        """
        lost = False
        if _is_damaged(self._schema):
            write_json(self._system, "schema", SCHEMA)
            lost = True
        if _is_damaged(lambda: self.originals):
            self._forget_originals()
            lost = True
        if _is_damaged(self._require_current):
            intact = [number for number in self._numbers() if not _is_damaged(partial(self.configuration, number))]
            self._system.remove(f"{HOME}/current")
            if intact:
                self.set_current(max(intact))
            lost = True
        if self._is_index_lost():
            self._forget_originals()
            lost = True
        return lost

    def _require_current(self) -> None:
        self.configuration(self.current)
        if not _is_damaged(lambda: self.journal) and self._is_current_lost():
            raise damaged("current", "it is missing")

    def _forget_originals(self) -> None:
        self._originals = {}
        write_json(self._system, INDEX, {})

    def abandon_undeclared(self) -> None:
        """Keep the originals of everything that the current generation does not declare, until it is managed again."""
        declared = {resource.key for resource in self.configuration(self.current).resources}
        self.mark_abandoned(key for key in self.originals if key not in declared and not key.startswith("made:"))

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
        if link is None:
            return 0
        number = link.target.rpartition("/")[2]
        if not number.isdigit():
            raise damaged("current", "it is not a link to a generation")
        return int(number)

    def set_current(self, number: int) -> None:
        """Make a generation the current one."""
        self._system.symlink(f"{HOME}/current", f"generations/{number}")

    def configuration(self, number: int) -> Configuration:
        """Return the configuration of a generation; an empty one for 0.

        Raises:
            Failure: When it is damaged, or this agent does not understand it.
        """
        if number not in self._configurations:
            self._configurations[number] = self._read_configuration(number)
        return self._configurations[number]

    def _read_configuration(self, number: int) -> Configuration:
        generation = self.generation(number)
        if generation is None:
            return Configuration("")
        name = f"generations/{number}/configuration.json"
        if not is_intact(self._system, name, generation["digest"]):
            raise damaged(name, "its content does not match the digest in meta.json")
        try:
            return Configuration.decode(self._system.read(f"{HOME}/{name}"))
        except (ValueError, LookupError, TypeError) as error:
            raise Failure(f"{HOME}/{name}: {error}") from error

    def generation(self, number: int) -> Optional[Generation]:
        """Return the metadata of a generation; None for 0.

        Raises:
            Failure: When it is damaged.
        """
        if not number:
            return None
        name = f"generations/{number}/meta.json"
        generation: Any = read_json(self._system, name)
        if not isinstance(generation, dict) or "digest" not in generation:
            raise damaged(name, "it is missing" if generation is None else "it has no digest")
        return generation  # type: ignore[return-value]  # as `add_generation` wrote it

    def add_generation(self, configuration: Configuration, meta: Meta) -> int:
        """Write the next generation, and return its number."""
        number = self.current + 1
        self._configurations.pop(number, None)
        self._remove(f"{HOME}/generations/{number}")  # left by an agent that was killed while writing it
        self._system.mkdir(f"{HOME}/generations/{number}", mode=0o700)
        self._system.write(f"{HOME}/generations/{number}/configuration.json", configuration.encode())
        generation = {**meta, "number": number, "digest": configuration.digest}
        write_json(self._system, f"generations/{number}/meta.json", generation)
        return number

    def _numbers(self) -> List[int]:
        return [int(name) for name in self._system.names(f"{HOME}/generations") if name.isdigit()]

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

    def confirm(self, nonce: str) -> None:
        """Record the nonce that a second connection sent."""
        write_json(self._system, "confirmed", nonce)

    # Contents of generations

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
        numbers = sorted(number for number in self._numbers() if number <= self.current)
        kept: Dict[int, Configuration] = {}
        notes = []
        for number in numbers[-KEPT_GENERATIONS:]:
            try:
                kept[number] = self.configuration(number)
            except Failure as failure:
                if number == self.current:
                    raise
                notes.append(f"generation {number} is removed: {failure.message.partition(';')[0]}")
        for number in self._numbers():
            if number not in kept:  # older, undone, or damaged
                self._remove(f"{HOME}/generations/{number}")
        configurations = list(kept.values())
        self._retain("blobs", {blob.sha256 for configuration in configurations for blob in configuration.blobs})
        self.sealed.retain(_needed_versions(configurations))
        contents = {original.get("file", original).get("content") for original in self.originals.values()}
        self._retain("original", {"index.json", *contents})
        boot = self._system.stat(f"{HOME}/agent/boot")
        if self.agent and boot:
            self._retain("agent", {"boot", boot.target, self.agent})
        return notes

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


def _is_damaged(read: Callable[[], object]) -> bool:
    try:
        read()
    except DamagedError:
        return True
    return False


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
