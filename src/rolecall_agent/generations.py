"""The configurations that a machine has had, numbered, and which of them is the current one."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Container, Dict, List, Optional

from rolecall_agent.configuration import Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.state import HOME, DamagedError, Json, damaged, is_intact, read_json, remove_all, write_json

if TYPE_CHECKING:
    from rolecall_agent.protocol import Generation, Meta, Provenance
    from rolecall_agent.system import System


class Generations:
    """The generations below `HOME`. Every method raises OSError when the disk fails.

    Args:
        system: The machine.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._configurations: Dict[int, Configuration] = {}  # by number, as read

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
        """Make a generation the current one; 0 for none."""
        if not number:
            self._system.remove(f"{HOME}/current")
            return
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

    def configuration_as_written(self, number: int) -> Json:
        """Return the encoded configuration of a generation, as whichever version wrote it; an empty one for 0.

        Raises:
            Failure: As `configuration`.
        """
        if not number:
            return Configuration("").as_json()
        self.configuration(number)  # verifies it
        written: Json = json.loads(self._system.read(f"{HOME}/generations/{number}/configuration.json"))
        return written

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
        return {"back": None, **generation}  # type: ignore[return-value]  # as `add_generation` of any version wrote it

    def add_generation(self, configuration: Configuration, meta: Meta, provenance: Optional[Provenance] = None) -> int:
        """Write the next generation, and return its number."""
        number = self.current + 1
        self._configurations.pop(number, None)
        remove_all(self._system, f"{HOME}/generations/{number}")  # left by an agent that was killed while writing it
        self._system.mkdir(f"{HOME}/generations/{number}", mode=0o700)
        self._system.write(f"{HOME}/generations/{number}/configuration.json", configuration.encode())
        if provenance:
            write_json(self._system, f"generations/{number}/provenance.json", provenance)
        generation = {**meta, "number": number, "digest": configuration.digest}
        write_json(self._system, f"generations/{number}/meta.json", generation)
        return number

    def packages(self, number: int) -> Json:
        """Return what is known of the packages of a generation, by name: see `resources.transaction.record`.

        What is lost or damaged is not used: the packages stay, and only their versions are not known any more.
        """
        with contextlib.suppress(DamagedError):
            return read_json(self._system, f"generations/{number}/packages.json") or {}
        return {}

    def set_packages(self, number: int, packages: Json) -> None:
        """Record what is known of the packages of a generation."""
        if packages != self.packages(number):
            write_json(self._system, f"generations/{number}/packages.json", packages)

    def provenance(self, number: int, keys: Container[str]) -> Optional[Provenance]:
        """Return where a generation comes from, with the origins of these resources.

        None if that was not recorded, or is lost or damaged.
        """
        found = None
        with contextlib.suppress(DamagedError):
            found = read_json(self._system, f"generations/{number}/provenance.json")
        if not found:
            return None
        origins = {key: names for key, names in found["origins"].items() if key in keys}
        return {"inputs": found["inputs"], "origins": origins}

    def numbers(self) -> List[int]:
        """Return the numbers of all generations."""
        return [int(name) for name in self._system.names(f"{HOME}/generations") if name.isdigit()]
