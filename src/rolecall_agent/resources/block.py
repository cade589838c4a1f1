"""Some lines in a file that somebody else owns."""
# ruff: noqa: ARG002, D102 - `base.Resource` describes the methods of every kind

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Container, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

from rolecall_agent.content import Blob
from rolecall_agent.errors import Failure
from rolecall_agent.resources import checks, placing, shared_file
from rolecall_agent.resources.base import ABSENT, Captured, Resource
from rolecall_agent.resources.obstacles import obstacle

if TYPE_CHECKING:
    from rolecall_agent.content import Part
    from rolecall_agent.content_store import ContentStore
    from rolecall_agent.system import System

_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_LIMIT = 1 << 24  # bytes of the file
_ANY = re.compile(
    rb"^(\S[^\n]* )BEGIN Rolecall ([A-Za-z0-9_.-]+)\n(?:[^\n]*\n)*?\1END Rolecall \2(?:\n|\Z)", re.MULTILINE
)


@dataclass(frozen=True)
class Block(Resource):
    """Lines in a file that a person or another program owns, between two comments that name them.

    Every other byte of the file stays. The lines are added at its end, in the order of the names of all blocks there,
    and stay where a person moves them. If a person lets a link at the path lead to another file, they move there.

    Attributes:
        path: Absolute path. A file that does not exist is created, owned by root with mode 0644.
        name: Name among all blocks of the file.
        text: The lines.
        comment: What begins a comment in the file.
    """

    kind: ClassVar[str] = "block"
    follows_links: ClassVar[bool] = True
    path: str
    name: str
    text: Union[str, Blob]
    comment: str = "#"

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", checks.declarable_path(str(self.path), "block"))
        what = f"block {self.path}"
        checks.matching(_NAME, self.name, f"{what}: name")
        what = f"{what}:{self.name}"
        checks.require(self.comment.strip(), f"{what}: the comment is empty")
        checks.single_line(self.comment, f"{what}: comment")
        if isinstance(self.text, str):
            text = self.text if self.text.endswith("\n") or not self.text else f"{self.text}\n"
            marked = any(line in {self._begin, self._end} for line in text.encode().splitlines(keepends=True))
            checks.require(not marked, f"{what}: the text contains the line that marks its begin or end")
            object.__setattr__(self, "text", Blob.of(text))
        elif not isinstance(self.text, Blob):
            hint = "other users may read the file; put secrets into a file of their own"  # type: ignore[unreachable]  # an author may give anything
            raise checks.DefinitionError(f"{what}: the text must be a string: {hint}")

    @property
    def key(self) -> str:
        return f"block:{self.path}:{self.name}"

    @property
    def parts(self) -> Tuple[Part, ...]:
        return (self.text,)  # type: ignore[return-value]  # __post_init__ made it a blob

    @property
    def volatile(self) -> bool:
        return self.path.startswith("/run/")

    def paths_on(self, system: System) -> Tuple[str, ...]:
        return (self.path,)

    def content_on(self, system: System) -> Optional[bytes]:
        found = self._found(_read(system, system.resolve(self.path)))
        return found[2] if found else None

    @classmethod
    def verify(cls, resources: Sequence[Block], changed: Set[str], system: System, store: ContentStore) -> None:
        for block in resources:
            if block.key in changed:
                path = system.resolve(block.path)
                system.validate(block.path, block.placed(_read(system, path), store.content(block.parts)))

    def obstacle(self, system: System) -> str:
        try:
            path = system.resolve(self.path)
            found = obstacle(system, path, "file")
            if not found:
                self._found(_read(system, path))
        except (Failure, OSError) as error:
            return str(error)
        return found

    def reason_to_change(self, system: System, store: ContentStore) -> Optional[str]:
        try:
            found = self._found(_read(system, system.resolve(self.path)))
        except (Failure, OSError) as error:  # whatever somebody did to the file, the rest of the machine is compared
            return str(error)
        if found is None:
            return ABSENT
        return None if store.matches(self.parts, found[2]) else "content"

    def in_place(self, system: System, store: ContentStore) -> bool:
        return False  # a person may have moved it, so what is captured says where it is

    def capture(self, system: System, store: ContentStore) -> Dict[str, Any]:
        now = system.resolve(self.path)
        known = (each["path"] for each in _places(store.originals.get(self.key)))
        first, *others = dict.fromkeys([*known, now])  # a person may have let the link lead elsewhere
        captured = self._capture_at(first, system, store)
        if others:
            captured["elsewhere"] = {path: self._capture_at(path, system, store) for path in others}
        return {self.key: captured, **shared_file.missing(system, now)}

    def original_with(self, original: Captured, captured: Captured) -> Captured:
        elsewhere = {**captured.get("elsewhere", {}), **original.get("elsewhere", {})}
        return {**original, "elsewhere": elsewhere} if elsewhere else original

    def apply(self, system: System, store: ContentStore) -> None:
        path = system.resolve(self.path)
        self._write(system, path, self.placed(_read(system, path), store.content(self.parts)))
        for place in _places(store.originals.get(self.key)):
            if place["path"] != path:
                self._restore_at(place, system, store)

    def restore(self, system: System, store: ContentStore, captured: Captured) -> None:
        for place in _places(captured):
            self._restore_at(place, system, store)

    def difference_from(self, captured: Captured, system: System, store: ContentStore) -> str:
        same = all(self._text_at(each["path"], system) == each.get("text") for each in _places(captured))
        return "" if same else "other lines"

    def _text_at(self, path: str, system: System) -> Optional[str]:
        found = self._found(_read(system, path))
        return found[2].decode(errors="surrogateescape") if found else None

    def _capture_at(self, path: str, system: System, store: ContentStore) -> Captured:
        data = _read(system, path)
        found = self._found(data)
        captured = shared_file.capture(system, path, data)
        if found:
            text = found[2].decode(errors="surrogateescape")
            before = data[: found.start()]
            captured.update(text=text, at=_outside(before), behind=_behind(before))
        # A block got the newline that the last line had not: then, whoever removes the last block takes it away.
        places = (place for each in store.originals.values() for place in _places(each))
        others = [each["ended"] for each in places if each.get("path") == path and "ended" in each]
        captured["ended"] = all(others) if _ends_with_block(data) else not data or data.endswith(b"\n")
        return captured

    def _restore_at(self, captured: Captured, system: System, store: ContentStore) -> None:
        path = captured["path"]
        data = _read(system, path)
        if "text" in captured:
            text = str(captured["text"]).encode(errors="surrogateescape")
            restored = self.placed(data, text, captured["at"], captured.get("behind"))
        else:
            restored = self._without(data, ended=captured["ended"])
        if restored != data:
            self._write(system, path, restored, (captured, *store.originals.values()))

    def placed(
        self, data: bytes, text: bytes, at: Optional[int] = None, behind: Optional[Container[str]] = None
    ) -> bytes:
        """Return the content of the file with the block.

        Args:
            data: The content of the file, in which the block is replaced.
            text: The lines.
            at: Where it is put if it is missing: after so many bytes that are in no block; by default at the end.
            behind: The names of the blocks there after which it is put; by default all.
        """
        block = self._begin + text + self._end
        found = self._found(data)
        if found:
            return data[: found.start()] + block + data[found.end() :]
        if data and not data.endswith(b"\n"):
            data += b"\n"
        index = _end(data, self.name.encode()) if at is None else _index(data, at, behind)
        return data[:index] + block + data[index:]

    def _without(self, data: bytes, *, ended: bool) -> bytes:
        """Return the content of a file without the block; ``ended``: whether its last line had a newline before."""
        found = self._found(data)
        if found is None:
            return data
        before = data[: found.start()]
        if found.end() == len(data) and not (ended or _ends_with_block(before)):
            before = before[:-1]
        return before + data[found.end() :]

    def _found(self, data: bytes) -> Optional[re.Match[bytes]]:
        """Return the block in the content of a file; its second group is the text.

        Raises:
            Failure: When its end is missing.
        """
        begin, end = re.escape(self._begin), re.escape(self._end[:-1])
        found = re.search(rb"^(%b)((?:[^\n]*\n)*?)%b(?:\n|\Z)" % (begin, end), data, re.MULTILINE)
        if found is None and re.search(rb"^%b" % begin, data, re.MULTILINE):
            raise Failure(
                f"{self.path} has a line {self._begin.decode().strip()!r}, but not {self._end.decode().strip()!r}"
            )
        return found

    def _write(self, system: System, path: str, data: bytes, known: Iterable[Captured] = ()) -> None:
        if system.stat(path):
            shared_file.rewrite(system, path, data, known)
        else:
            placing.make_parents(system, path)
            system.write(path, data, mode=0o644)

    @property
    def _begin(self) -> bytes:
        return f"{self.comment} BEGIN Rolecall {self.name}\n".encode()

    @property
    def _end(self) -> bytes:
        return f"{self.comment} END Rolecall {self.name}\n".encode()


def _places(captured: Optional[Captured]) -> List[Captured]:
    """Return what was captured of each file to which the link at the path has led."""
    return [captured, *captured.get("elsewhere", {}).values()] if captured else []


def _read(system: System, path: str) -> bytes:
    return system.read(path, _LIMIT) if system.stat(path) else b""


def _end(data: bytes, name: bytes) -> int:
    """Return the index of the end, but before blocks there whose names come later: their order has no history."""
    index = len(data)
    for found in reversed(list(_ANY.finditer(data))):
        if found.end() != index or found[2] < name:
            break
        index = found.start()
    return index


def _ends_with_block(data: bytes) -> bool:
    return any(found.end() == len(data) for found in _ANY.finditer(data))


def _outside(data: bytes) -> int:
    """Return how many bytes are in no block."""
    return len(_ANY.sub(b"", data))


def _behind(data: bytes) -> List[str]:
    """Return the names of the blocks with which a text ends."""
    names: List[str] = []
    index = len(data)
    for found in reversed(list(_ANY.finditer(data))):
        if found.end() != index:
            break
        names.append(found[2].decode())
        index = found.start()
    return names


def _index(data: bytes, at: int, behind: Optional[Container[str]]) -> int:
    """Return the index after so many bytes that are in no block, and after those of the blocks there; None for all."""
    end = passed = 0
    place = -1
    for found in _ANY.finditer(data):
        if passed + found.start() - end > at:
            break
        passed += found.start() - end
        end = found.end()
        if passed == at and (behind is None or found[2].decode() in behind):
            place = end
        elif passed == at and place < 0:
            place = found.start()
    index = end + at - passed if place < 0 else place
    return index if index <= len(data) and data[:index][-1:] in {b"", b"\n"} else len(data)
