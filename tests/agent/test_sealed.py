"""Secret values as a machine stores them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from agent_client import update
from agent_world import SECRETS, STATE
from hypothesis import given
from hypothesis import strategies as st

from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Secret, as_parts
from rolecall_agent.errors import Failure
from rolecall_agent.resources import File
from rolecall_agent.store import SCHEMA, Store
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from pathlib import Path


class Sealing(RecordedSystem):
    """A recorded system that encrypts secrets, and can lose its key."""

    lost = False

    def seal(self, name: str, value: bytes) -> bytes | None:
        return base64.b64encode(name.encode() + b":" + value)

    def unseal(self, name: str, credential: bytes) -> bytes:
        wanted, _, value = base64.b64decode(credential).partition(b":")
        if self.lost or wanted.decode() != name:
            raise Failure("no key")
        return value


def store(root: Path, system: type[RecordedSystem] = RecordedSystem) -> Store:
    made = Store(system(str(root)))
    made.prepare()
    return made


def test_a_sealed_value_is_not_stored_as_plain_text(tmp_path: Path) -> None:
    kept = store(tmp_path, Sealing)
    kept.sealed.add("v1", b"marker")
    assert kept.sealed.open("v1") == b"marker"
    assert not any(b"marker" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@given(pieces=st.lists(st.one_of(st.binary(max_size=4), st.sampled_from(["v1", "v2"]))), other=st.binary(max_size=12))
def test_a_file_matches_only_its_content(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes | str], other: bytes
) -> None:
    kept = store(tmp_path_factory.mktemp("m"))
    for version, value in SECRETS.items():
        kept.sealed.add(version, value)
    parts = as_parts([Secret("i.p", "f", piece) if isinstance(piece, str) else piece for piece in pieces])
    for piece in pieces:
        if isinstance(piece, bytes):
            kept.add_blob(as_parts(piece)[0].sha256, piece)  # type: ignore[union-attr]
    content = b"".join(SECRETS[piece] if isinstance(piece, str) else piece for piece in pieces)
    assert kept.content(parts) == content
    assert kept.matches(parts, content)
    for wrong in (other, content + b"x", content[:-1], b"x" + content):
        assert kept.matches(parts, wrong) is (wrong == content)


def test_drift_is_detected_without_decrypting(tmp_path: Path) -> None:
    kept = store(tmp_path, Sealing)
    kept.sealed.add("v1", b"marker")
    Sealing.lost = True
    try:
        assert kept.matches((Secret("i.p", "f", "v1"),), b"marker")
        assert not kept.matches((Secret("i.p", "f", "v1"),), b"Marker")
        with pytest.raises(Failure, match="no key"):
            kept.sealed.open("v1")
        kept.sealed.drop_unreadable([Secret("i.p", "f", "v1")])
    finally:
        Sealing.lost = False
    assert not kept.sealed.versions()


@pytest.mark.parametrize("damage", [b"", b"{}\nx", b"\xff\n", b'{"size": 6, "mac": "0", "credential": false}\nfirst '])
def test_a_damaged_value_is_sent_again(tmp_path: Path, damage: bytes) -> None:
    wanted = Configuration.of("m", [File("/run/a", Secret("i.pass", "value", "v1"))])
    update(tmp_path, wanted, SECRETS)
    (tmp_path / STATE / "sealed/v1").write_bytes(damage)
    (tmp_path / "run/a").unlink()
    update(tmp_path, wanted, SECRETS)
    assert (tmp_path / "run/a").read_bytes() == SECRETS["v1"]


def test_values_of_layout_1_are_converted(tmp_path: Path) -> None:
    wanted = Configuration.of("m", [File("/run/a", Secret("i.pass", "value", "v1"))])
    update(tmp_path, wanted, SECRETS)
    (tmp_path / STATE / "sealed/v1").write_bytes(SECRETS["v1"])
    (tmp_path / STATE / "schema").write_text("1")
    update(tmp_path, wanted, SECRETS)
    assert (tmp_path / STATE / "schema").read_text() == str(SCHEMA)
    assert store(tmp_path).sealed.open("v1") == SECRETS["v1"]
