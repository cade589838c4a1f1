"""A systemd unit."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, AbstractSet, Any, ClassVar, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Union

from rolecall_agent.content import Blob, plain
from rolecall_agent.resources import checks, placing
from rolecall_agent.resources.base import ABSENT, Captured, Resource, difference
from rolecall_agent.resources.obstacles import obstacle
from rolecall_agent.unit_types import applies_when_loaded, mount_point, refresh, undeclared_instances

if TYPE_CHECKING:
    from rolecall_agent.content import Part
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.seam.units import UnitState
    from rolecall_agent.system import System
    from rolecall_agent.work import Surroundings

Sections = Mapping[str, Mapping[str, Union[str, Sequence[str]]]]


@dataclass(frozen=True)
class Unit(Resource):
    """A unit file in /etc/systemd/system, and the state that the unit should be in.

    Attributes:
        name: Unit name with its suffix (systemd.unit(5)).
        text: The unit file's text. None for a unit that the machine has already, or that a package brings: then only
            its state is declared, and what is None of ``enabled``, ``started`` and ``masked`` stays as it is.
        enabled: Whether it starts at boot; needs an ``[Install]`` section. With a text, by default False.
        started: Whether it should be running. With a text, by default False: something else starts it, such as a timer,
            a socket or another unit. Without a text, False means that it must not run.
        masked: Whether nothing can start it (``systemctl mask``); only without a text.
        restart_on: Resources, or their keys, whose change restarts it if it is running, as a change of its text does.
        reload_on: Resources, or their keys, whose change reloads it if it is running.
        settle_seconds: How long it must run after it was started before the update counts; by default 1 for a type that
            does not say when it is ready (simple, exec, idle), else 0.
        fixed: Of a mount: the digest of its text without its options, with which it is remounted. Set by itself.
    """

    kind: ClassVar[str] = "unit"
    name: str
    text: Union[str, Blob, None] = None
    enabled: Optional[bool] = None
    started: Optional[bool] = None
    restart_on: Tuple[Union[str, Resource], ...] = ()
    reload_on: Tuple[Union[str, Resource], ...] = ()
    settle_seconds: Optional[float] = None
    fixed: Optional[str] = None
    masked: Optional[bool] = None

    def __post_init__(self) -> None:
        checks.matching(checks.UNIT, self.name, "unit")
        if self.text is None:
            starts = self.masked and (self.enabled or self.started)
            checks.require(not starts, f"unit {self.name}: a masked unit cannot start")
            if self.masked:
                object.__setattr__(self, "started", False)
        else:
            checks.require(self.masked is None, f"unit {self.name}: only a unit without a text can be masked")
            for field in ("enabled", "started"):
                object.__setattr__(self, field, bool(getattr(self, field)))
        text = self.text
        if isinstance(self.text, str):
            checks.require("\x00" not in self.text, f"unit {self.name}: the text contains a NUL")
            checks.require(
                not self.enabled or _install_section(self.text.encode()),
                f"unit {self.name}: enabled, but has no [Install] section, so it would never start",
            )
            if self.name.endswith(".mount"):
                object.__setattr__(self, "fixed", _fixed(self.text.encode()))
            object.__setattr__(self, "text", Blob.of(self.text))
        elif not isinstance(self.text, (Blob, type(None))):
            hint = "every user can read a unit; put secrets into a file, and name it with EnvironmentFile="  # type: ignore[unreachable]  # an author may give anything
            raise checks.DefinitionError(f"unit {self.name}: the text must be a string: {hint}")
        if "@." in self.name:
            what = f"unit {self.name} is a template"
            checks.require(not self.started, f"{what}: declare the instance to be started, such as {self._instance}")
            start = "so only an instance of it can start at boot"
            checks.require(
                not self.enabled or not isinstance(text, str) or "DefaultInstance=" in text,
                f"{what} without DefaultInstance= in its [Install] section, {start}: declare {self._instance}",
            )
        seconds = self.settle_seconds
        known = seconds is None or (type(seconds) in {int, float} and 0 <= seconds <= checks.LONGEST_SETTLE)
        limits = f"a number from 0 to {checks.LONGEST_SETTLE}"
        checks.require(known, f"unit {self.name}: settle_seconds must be {limits}, not {seconds!r}")
        for field in ("restart_on", "reload_on"):
            object.__setattr__(self, field, checks.keys(getattr(self, field), f"unit {self.name}: {field}"))

    @property
    def key(self) -> str:
        return f"unit:{self.name}"

    @property
    def started_units(self) -> Tuple[str, ...]:
        return (self.name,) if self.started else ()

    @property
    def _instance(self) -> str:
        return self.name.replace("@.", "@NAME.")

    @property
    def path(self) -> str:
        """The path of the unit file."""
        return f"/etc/systemd/system/{self.name}"

    @property
    def blob(self) -> Blob:
        """The text as a blob."""
        return self.text  # type: ignore[return-value]  # __post_init__ made it so

    @property
    def parts(self) -> Tuple[Part, ...]:
        return () if self.text is None else (self.blob,)

    @property
    def partial(self) -> bool:
        return self.text is None

    @property
    def has_file(self) -> bool:
        """Whether it says what is at its path: a unit file, or for a masked one a link to /dev/null."""
        return self.text is not None or self.masked is not None

    def announce(self, system: System) -> None:
        system.units.prefetch([self.name])

    @property
    def folders(self) -> Tuple[str, ...]:
        point = mount_point(self.name)
        return (point,) if point else ()

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.path,) if self.has_file else ()

    def content_on(self, system: System) -> Optional[bytes]:
        entry = system.stat(self.path) if self.text is not None else None
        return system.read(self.path) if entry and entry.type == "file" else None

    @classmethod
    def verify(cls, resources: Sequence[Unit], changed: Set[str], system: System, store: ContentStore) -> None:
        if not any(unit.key in changed for unit in resources):
            return
        # All of them, since they name each other.
        texts = {unit.name: store.content(unit.parts) for unit in resources if unit.text is not None}
        packages = any(key.startswith("package:") for key in changed)  # which may bring any unit
        system.units.validate(texts, None if packages else {os.path.basename(key) for key in changed})

    def obstacle(self, system: System) -> str:
        state = system.units.state(self.name)
        if state.alias:
            return f"it is another name of {state.alias}; declare {state.alias}, or remove this name"
        if state.transient:
            return f"a transient unit of this name runs; `systemctl stop {self.name}` ends it"
        return obstacle(system, self.path, "file") if self.has_file else ""

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        state = system.units.state(self.name)
        if not state.known and (self.text is None or system.stat(self.path) is None):
            return ABSENT
        reasons = self.file_differences(system, store)
        if not self._is_enabled_as_declared(state):
            reasons.append("not enabled" if self.enabled else "enabled")
        if self.started and state.failed:
            reasons.append("failed")
        elif self.started and not (state.active or state.done):
            reasons.append("not running")
        elif self._must_rest and state.active:
            reasons.append("running")
        return ", ".join(reasons) or None

    def file_differences(self, system: System, store: ContentStore) -> List[str]:
        """Return how the unit file differs; [] when it does not."""
        entry = system.stat(self.path)
        if self.text is None:
            masked = entry is not None and entry.target == "/dev/null"
            return ["masked" if masked else "not masked"] if self.masked not in {None, masked} else []
        if entry is None:
            return ["no unit file in /etc/systemd/system"]
        differences = placing.differences(entry, "file", "root", "root", 0o644)
        if entry.type == "file" and not store.matches(self.parts, system.read(self.path)):
            differences.insert(0, "content")
        return differences

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        state = system.units.state(self.name)
        declared = {"enabled": self.enabled, "active": self.started}
        original = {name: getattr(state, name) for name, value in declared.items() if value is not None}
        if not self.has_file:
            return {self.key: original}
        made = placing.missing_parents(system, self.path)
        if where := mount_point(self.name):  # systemd makes it
            made.update(placing.missing_parents(system, f"{where}/"))
        return {self.key: {**original, "file": store.capture(self.path)}, **made}

    def before_switch(
        self, captured: Captured, made: AbstractSet[str], units: Mapping[str, Mapping[str, bool]]
    ) -> Captured:
        before = units.get(self.name)
        if before is None or "active" not in captured:
            return captured
        return {**captured, "active": before["active"]}  # it may be stopped, since an account has changed

    def apply(self, system: System, store: ContentStore) -> None:
        if not self.file_differences(system, store):
            return
        placing.make_parents(system, self.path)
        if self.masked:
            system.symlink(self.path, "/dev/null")
        elif self.text is None:
            system.remove(self.path)
        else:
            system.write(self.path, store.content(self.parts), "root", "root", 0o644)

    def in_place(self, system: System, store: ContentStore) -> bool:
        return not self.file_differences(system, store)

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        return difference(captured["file"], store.look(self.path), system) if "file" in captured else ""

    def plan(self, before: Optional[Resource], around: Surroundings) -> None:
        work, state = around.work, around.system.units.state(self.name)
        new_text = bool(self.file_differences(around.system, around.store))
        if not self._is_enabled_as_declared(state):
            (work.enable if self.enabled else work.disable).append(self.name)
        elif self.enabled and new_text and self._installs_otherwise(around.system, around.store):
            work.reenable.append(self.name)
        work.units_changed = work.units_changed or self.name in work.enable + work.disable
        if self.settle_seconds is not None:
            work.settle[self.name] = self.settle_seconds
        verb = self._verb(before, around, state, new_text=new_text)
        if verb:
            getattr(work, verb).append(self.name)
        if "@." in self.name and (new_text or self.name in around.restarted):
            refresh(work, around.system.units, [self.name], around.declared)

    def _verb(self, before: Optional[Resource], around: Surroundings, state: UnitState, *, new_text: bool) -> str:
        """Return the attribute of `Work` that says what happens to the unit, or ""."""
        earlier = before if isinstance(before, Unit) else None
        ran = earlier is not None and earlier.started
        follows = around.triggered(self.restart_on, earlier.restart_on if earlier else ())
        loads = new_text or self.name in around.restarted
        runs = state.active and not state.failed
        if self._must_rest or (self.started is False and ran):
            brought = self._must_rest and not state.known  # a package may bring it, and start it
            return "stop" if state.active or brought else ""
        if self.started and not (runs or state.done):
            return "revive" if ran and not (loads or follows) else "start"
        if loads and runs and not follows and self._applies_without_restart(around, state):
            return "reload"
        if loads or follows:  # a job that is running takes the new text the next time
            return "restart" if self.started else "refresh" if runs and not state.job else ""
        if runs and around.triggered(self.reload_on, earlier.reload_on if earlier else ()):
            return "reload" if state.reloads else "restart"
        return ""

    def _applies_without_restart(self, around: Surroundings, state: UnitState) -> bool:
        if applies_when_loaded(self.name, state):
            return True
        entry = around.system.stat(self.path)
        if not (self.fixed and entry and entry.type == "file") or self.name in around.restarted:
            return False
        return _fixed(around.system.read(self.path)) == self.fixed

    def _is_enabled_as_declared(self, state: UnitState) -> bool:
        if self.enabled is None:
            return True
        if not state.known and self.text is None:
            return False  # a package may bring it, enabled or not
        return (state.enabled or state.indirect) if self.enabled else not state.enabled

    @property
    def _must_rest(self) -> bool:
        return self.text is None and self.started is False

    def _installs_otherwise(self, system: System, store: ContentStore) -> bool:
        """Return whether the unit file that is there has another [Install] section; before staging, it is not known."""
        if not store.holds(self.blob):
            return False
        entry = system.stat(self.path)
        there = system.read(self.path) if entry and entry.type == "file" else b""
        return _install_section(there) != _install_section(store.content(self.parts))

    def plan_removal(self, around: Surroundings) -> None:
        work, original = around.work, around.store.originals.get(self.key)
        if original is None:
            return  # an interrupted switch never reached it
        state = around.system.units.state(self.name)
        if state.failed:
            work.reset.append(self.name)
        if state.enabled != original.get("enabled", state.enabled):
            (work.enable if original["enabled"] else work.disable).append(self.name)
        if self.text is None and state.active == original.get("active", state.active):
            return
        if original["active"]:
            (work.restart if state.active else work.start).append(self.name)
        elif state.active:
            work.stop.append(self.name)
        if "@." in self.name and original["file"]["type"] != ABSENT:
            refresh(work, around.system.units, [self.name], around.declared)
        elif "@." in self.name:
            running = undeclared_instances(around.system.units, self.name, around.declared)
            work.stop += [name for name in running if name not in work.stop]

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        if "file" in captured:
            store.restore(self.path, captured["file"])


def _install_section(text: bytes) -> List[bytes]:
    """Return the settings in the [Install] section of a unit file."""
    lines: List[bytes] = []
    section = b""
    for line in map(bytes.strip, text.splitlines()):
        if line.startswith(b"["):
            section = line
        elif section == b"[Install]" and line and line[:1] not in b"#;":
            lines.append(line)
    return lines


def _fixed(text: bytes) -> str:
    """Return a digest of a mount unit without its options, which change while it is mounted."""
    lines = [line.strip() for line in text.splitlines() if not re.match(rb"\s*Options\s*=", line)]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def unit_text(sections: Sections) -> str:
    """Return the text of a unit file; a list becomes one line per element.

    Raises:
        DefinitionError: When a value would break out of its line.
        SecretTextError: When the text contains the name of a secret.
    """
    lines = []
    for section, settings in sections.items():
        lines.append(f"[{checks.single_line(section, 'unit section')}]")
        for name, value in settings.items():
            for single in (value,) if isinstance(value, str) else value:
                if single.endswith("\\"):
                    raise checks.DefinitionError(f"unit setting {name}: {single!r} ends with a backslash")
                line = single if single.isprintable() else checks.single_line(single, f"unit setting {name}")
                lines.append(f"{name}={line}")
        lines.append("")
    return plain("\n".join(lines))


def exec_line(argv: Sequence[object]) -> str:
    """Return an argument vector as a value of ``ExecStart=``, with every word taken literally.

    Source: systemd.service(5) "COMMAND LINES": double quotes, C-style escapes, ``%`` specifiers, ``$`` variables.

    Raises:
        DefinitionError: When the command is empty, a word has a control character, or the first word is not a program.
    """
    checks.require(argv, "empty command")
    checks.require(not isinstance(argv, str), f"command: {argv!r} is a single text; write a list of words")
    # Quotes do not protect the first word: systemd interprets its prefixes, and does not replace `$$` there.
    program = str(argv[0])
    if not program or program[0] in "@-:+!|" or "$" in program:
        raise checks.DefinitionError(f"{program!r} is not the name of a program")
    return " ".join(_exec_word(checks.single_line(str(word), "command")) for word in argv)


def _exec_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[A-Za-z0-9_./:=@,%$+-]+", escaped) and word not in {";", "-"} else f'"{escaped}"'
