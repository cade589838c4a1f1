"""What the agent keeps on the machine: generations, contents, secrets, originals, the journal.

::

    /var/lib/rolecall/
      schema              the number of this layout
      lock                held by the agent at work, with its pid and run
      agent/DIGEST/       agents, unpacked; boot -> DIGEST: the one that rolecall-boot.service runs
      blobs/SHA256        public contents
      sealed/VERSION      secret values, see `sealed`; mac.key: by which drift of them is seen
      generations/N/      configuration.json, meta.json
      current             -> generations/N; absent while nothing was ever switched
      original/           index.json: what stood where before us, by key of resource; SHA256: its contents
      journal.json        while a switch is not settled
      confirmed           the nonce with which the switch was confirmed

Every write is one rename(2), so that a reader sees the old or the new.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Blob, Part, Secret
from rolecall_agent.sealed import Sealed
from rolecall_agent.tree import Failure

if TYPE_CHECKING:
    from rolecall_agent.protocol import Generation, Meta
    from rolecall_agent.system import System

HOME = "/var/lib/rolecall"
SCHEMA = 2
KEPT = 10  # generations

Json = Dict[str, Any]


class Store:
    """The state directory. Everything raises OSError when the disk refuses.

    Args:
        system: Whose.
        agent: Digest of the agent at work, or "".

    Attributes:
        sealed: The secret values.
        originals: What stood where before us, by key of resource.
    """

    def __init__(self, system: System, agent: str = "") -> None:
        self._system = system
        self._agent = agent
        self.sealed = Sealed(system, HOME)
        self.originals: Json = self._json("original/index.json") or {}

    def prepare(self) -> None:
        """Makes what is missing of the layout.

        Raises:
            Failure: When it is of a later schema.
        """
        schema = self._json("schema")
        if schema is not None and schema > SCHEMA:
            raise Failure(f"{HOME} is of schema {schema}; this agent knows {SCHEMA}")
        for path in ("/var", "/var/lib", HOME):
            if self._system.stat(path) is None:
                self._system.mkdir(path)
        for name in ("blobs", "sealed", "generations", "original"):
            if self._system.stat(f"{HOME}/{name}") is None:
                self._system.mkdir(f"{HOME}/{name}", mode=0o700)
        if schema is not None and schema < SCHEMA:
            self.set_boot_agent()  # the earlier one does not know the new form
            self.sealed.convert()
        if schema != SCHEMA:
            self._write("schema", SCHEMA)

    # Generations

    @property
    def current(self) -> int:
        """The number of the current generation; 0 for none."""
        link = self._system.stat(f"{HOME}/current")
        return int(link.target.rpartition("/")[2]) if link else 0

    def set_current(self, number: int) -> None:
        """Makes a generation the current one."""
        self._system.symlink(f"{HOME}/current", f"generations/{number}")

    def configuration(self, number: int) -> Configuration:
        """The configuration of a generation; of 0, nothing."""
        if not number:
            return Configuration("")
        return Configuration.decode(self._system.read(f"{HOME}/generations/{number}/configuration.json"))

    def generation(self, number: int) -> Optional[Generation]:
        """What is told about a generation; None for 0."""
        return self._json(f"generations/{number}/meta.json") if number else None

    def add_generation(self, configuration: Configuration, meta: Meta) -> int:
        """Writes the next generation; its number."""
        number = self.current + 1
        self._remove(f"{HOME}/generations/{number}")  # of an agent that was killed while it wrote it
        self._system.mkdir(f"{HOME}/generations/{number}", mode=0o700)
        self._system.write(f"{HOME}/generations/{number}/configuration.json", configuration.encode())
        self._write(f"generations/{number}/meta.json", {**meta, "number": number, "digest": configuration.digest})
        return number

    def _numbers(self) -> List[int]:
        return [int(name) for name in self._system.names(f"{HOME}/generations") if name.isdigit()]

    def set_boot_agent(self) -> None:
        """The agent at work is the one that runs at the next boot."""
        link = self._system.stat(f"{HOME}/agent/boot")
        if self._agent and (link is None or link.target != self._agent):
            self._system.symlink(f"{HOME}/agent/boot", self._agent)

    # Journal

    @property
    def journal(self) -> Optional[Json]:
        """The switch that is not settled, as `switch` wrote it; None for none."""
        journal: Optional[Json] = self._json("journal.json")
        return journal

    def write_journal(self, journal: Json) -> None:
        """Replaces the journal."""
        self._write("journal.json", journal)

    def drop_journal(self) -> None:
        """The switch is settled."""
        self._system.remove(f"{HOME}/confirmed")
        self._system.remove(f"{HOME}/journal.json")

    @property
    def confirmed(self) -> str:
        """The nonce that a second connection gave, or ""."""
        return str(self._json("confirmed") or "")

    def confirm(self, nonce: str) -> None:
        """Notes the nonce of a second connection."""
        self._write("confirmed", nonce)

    # Contents

    def lacking(self, configuration: Configuration) -> Tuple[List[Blob], List[Secret]]:
        """The blobs and secrets of a configuration that are not here."""
        blobs = {blob.sha256: blob for blob in configuration.blobs}
        secrets = {secret.version: secret for secret in configuration.secrets}
        for sha256 in self._system.names(f"{HOME}/blobs"):
            blobs.pop(sha256, None)
        for version in self.sealed.versions():
            secrets.pop(version, None)
        return list(blobs.values()), list(secrets.values())

    def add_blob(self, sha256: str, data: bytes) -> None:
        """Keeps a public content.

        Raises:
            Failure: When it is not what its digest says.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Failure(f"blob {sha256} arrived damaged")
        self._system.write(f"{HOME}/blobs/{sha256}", data)

    def content(self, parts: Iterable[Part]) -> bytes:
        """The bytes of a file, joined.

        Raises:
            FileNotFoundError: When a part is not here.
            Failure: When a secret cannot be opened any more.
        """
        return b"".join(
            self._system.read(f"{HOME}/blobs/{part.sha256}")
            if isinstance(part, Blob)
            else self.sealed.open(part.version)
            for part in parts
        )

    def matches(self, parts: Sequence[Part], data: bytes) -> bool:
        """Whether these bytes are a file's content; False while that cannot be known. No secret is opened for it."""
        if len(parts) == 1 and isinstance(parts[0], Blob):
            return hashlib.sha256(data).hexdigest() == parts[0].sha256
        try:
            for part in parts:
                if isinstance(part, Blob):
                    blob = self._system.read(f"{HOME}/blobs/{part.sha256}")
                    size = len(blob) if data.startswith(blob) else -1
                else:
                    size = self.sealed.begins(part.version, data)
                if size < 0:
                    return False
                data = data[size:]
        except FileNotFoundError:
            return False
        return not data

    # Originals

    def remember(self, originals: Json) -> None:
        """Adds what stood somewhere before us; durable before we change it."""
        if originals:
            self.originals.update(originals)
            self._write("original/index.json", self.originals)

    def forget(self, keys: Iterable[str]) -> None:
        """Ends the management of resources."""
        gone = [key for key in keys if key in self.originals]
        for key in gone:
            del self.originals[key]
        if gone:
            self._write("original/index.json", self.originals)

    def keep(self, path: str) -> Json:
        """What stands at a path, to be put back by `put_back`; its content is kept.

        Raises:
            Failure: When it is neither a file nor a link.
        """
        entry = self._system.stat(path)
        if entry is None:
            return {"type": "absent"}
        if entry.type not in {"file", "symlink"}:
            raise Failure(f"a {entry.type} stands at {path}; move it away first")
        kept: Json = {"type": entry.type, "owner": entry.owner, "group": entry.group}
        if entry.type == "symlink":
            return {**kept, "target": entry.target}
        data = self._system.read(path)
        digest = hashlib.sha256(data).hexdigest()
        if self._system.stat(f"{HOME}/original/{digest}") is None:
            self._system.write(f"{HOME}/original/{digest}", data)
        attributes = self._system.attributes(path)
        return {**kept, "mode": entry.mode, "mtime_ns": entry.mtime_ns, "attributes": attributes, "content": digest}

    def put_back(self, path: str, kept: Json) -> None:
        """Makes a path what `keep` found there."""
        if kept["type"] == "absent":
            self._system.remove(path)
        elif kept["type"] == "symlink":
            self._system.symlink(path, kept["target"], kept["owner"], kept["group"])
        else:
            self._system.write(
                path,
                self._system.read(f"{HOME}/original/{kept['content']}"),
                kept["owner"],
                kept["group"],
                kept["mode"],
                mtime_ns=kept["mtime_ns"],
                attributes=kept["attributes"],
            )

    # Tidying

    def prune(self) -> None:
        """Drops generations older than the last ten, and what no generation that is left needs."""
        numbers = sorted(number for number in self._numbers() if number <= self.current)
        kept = numbers[-KEPT:]
        for number in self._numbers():
            if number not in kept:  # older, or undone
                self._remove(f"{HOME}/generations/{number}")
        configurations = [self.configuration(number) for number in kept]
        self._retain("blobs", {blob.sha256 for each in configurations for blob in each.blobs})
        self.sealed.retain(_needed(configurations))
        contents = {entry.get("file", entry).get("content") for entry in self.originals.values()}
        self._retain("original", {"index.json", *contents})
        boot = self._system.stat(f"{HOME}/agent/boot")
        if self._agent and boot:
            self._retain("agent", {"boot", boot.target, self._agent})

    def purge(self) -> None:
        """Removes all of it, but for the lock that is held: the secrets first, the number of the layout last.

        Raises:
            Failure: When something is declared here still.
        """
        if self.configuration(self.current).resources:
            raise Failure("something that was declared is here still; take its roles away and update first")
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

    def _json(self, name: str) -> Any:  # noqa: ANN401 - JSON is any of its types
        try:
            return json.loads(self._system.read(f"{HOME}/{name}"))
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: Any) -> None:  # noqa: ANN401 - as above
        self._system.write(f"{HOME}/{name}", json.dumps(data, sort_keys=True, separators=(",", ":")).encode())


def _needed(configurations: Sequence[Configuration]) -> Set[str]:
    """The versions of secrets that generations need, the last one first of all: what it has replaced is gone at once.

    For who has a new value made wants the old one to be worth nothing; a way back to it is none.
    """
    needed: Dict[Tuple[str, str], Set[str]] = {}
    for configuration in reversed(configurations):
        named: Dict[Tuple[str, str], Set[str]] = {}
        for secret in configuration.secrets:
            named.setdefault((secret.name, secret.file), set()).add(secret.version)
        needed = {**named, **needed}
    return {version for versions in needed.values() for version in versions}
