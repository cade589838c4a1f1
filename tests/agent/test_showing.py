"""What a plan shows of contents: enough to judge a change, and never what may be a secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_client import NearClient, Refused
from agent_world import NOTHING, SECRETS, make
from hypothesis import given
from hypothesis import strategies as st

from rolecall_agent import frames, showing
from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Secret, parts
from rolecall_agent.resources import Block, File, Resource, Unit

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = Secret("i.key", "pass", "v1")
NOT_PUBLIC = {"lines": [], "size": 0, "sha256": "", "why": "not every user can read it"}
WITH_SECRET = File("/etc/with-secret", parts("user = me\npass = ", PASSPHRASE, "\n"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


def install(root: Path, *resources: Resource) -> None:
    with NearClient(root) as client:
        client.open()
        client.switch(Configuration.of("m", resources), SECRETS)
        client.commit()


def shown(root: Path, *resources: Resource) -> dict[str, Any]:
    """Return what is shown of each resource that a switch to these would change, by key."""
    with NearClient(root) as client:
        client.open()
        changes = client.compare(Configuration.of("m", resources))["changes"]
        contents: dict[str, Any] = client.ask(type="show", keys=[change["key"] for change in changes], declared=False)[
            "contents"
        ]
        return contents


def before(root: Path, resource: Resource) -> Any:  # noqa: ANN401 - a protocol.Content
    return shown(root, resource)[resource.key]["before"]


def test_a_file_of_a_person_that_every_user_can_read_is_shown(root: Path) -> None:
    (root / "etc/motd").write_text("one\ntwo")
    assert before(root, File("/etc/motd", "new\n"))["lines"] == ["one\n", "two"]


@pytest.mark.parametrize(("file", "folder"), [(0o640, 0o755), (0o644, 0o700), (0o600, 0o755)])
def test_a_file_that_not_every_user_can_read_is_not(root: Path, file: int, folder: int) -> None:
    path = root / "etc/closed/conf"
    path.parent.mkdir()
    path.write_text("password of a person\n")
    path.chmod(file)
    path.parent.chmod(folder)
    found = before(root, File("/etc/closed/conf", "new\n"))
    assert found == NOT_PUBLIC


def test_secrets_of_a_file_as_declared_have_names(root: Path) -> None:
    install(root, WITH_SECRET)
    changed = File(WITH_SECRET.path, parts("user = you\npass = ", PASSPHRASE, "\n"))
    assert before(root, changed)["lines"] == ["user = me\n", "pass = <secret i.key/pass, version v1>\n"]


def test_a_file_with_secrets_that_drifted_is_not_shown(root: Path) -> None:
    install(root, WITH_SECRET)
    (root / "etc/with-secret").write_text("user = me\npass = set by hand\n")
    (root / "etc/with-secret").chmod(0o644)
    found = shown(root, WITH_SECRET)
    assert found[WITH_SECRET.key]["before"]["why"] == "it differs from what was declared, and may contain a secret"
    assert "by hand" not in json.dumps(found)


def test_a_file_of_a_person_where_a_secret_is_to_be_is_not_shown(root: Path) -> None:
    (root / "etc/with-secret").write_text("pass = mine\n")
    assert not before(root, WITH_SECRET)["lines"]


def test_what_is_not_text_or_long_is_described(root: Path) -> None:
    (root / "etc/motd").write_bytes(b"\x80\n")
    assert before(root, File("/etc/motd", "new\n"))["why"] == "it is binary"
    (root / "etc/motd").write_bytes(b"a\n" * showing.LIMIT)
    found = before(root, File("/etc/motd", "new\n"))
    assert (found["why"], found["size"], found["lines"]) == ("it is long", 2 * showing.LIMIT, [])
    (root / "etc/motd").write_text("a" * 2_001)
    assert before(root, File("/etc/motd", "new\n"))["why"] == "it is long"
    (root / "etc/motd").write_bytes(b"one\rstill one\ntwo")
    assert before(root, File("/etc/motd", "new\n"))["lines"] == ["one\rstill one\n", "two"]


def test_of_a_block_its_own_lines_are_shown(root: Path) -> None:
    install(root, Block("/etc/shared", "mine", "a\n"))
    assert before(root, Block("/etc/shared", "mine", "b\n"))["lines"] == ["a\n"]


def test_a_removal_shows_what_it_puts_back(root: Path) -> None:
    (root / "etc/motd").write_text("theirs\n")
    install(root, File("/etc/motd", "ours\n"), File("/etc/new", "n\n"), Unit("b.service", "[Service]\nExecStart=/b\n"))
    found = shown(root)
    assert {
        key: (each["before"]["lines"], each["after"] and each["after"]["lines"]) for key, each in found.items()
    } == {
        "file:/etc/motd": (["ours\n"], ["theirs\n"]),
        "file:/etc/new": (["n\n"], None),
        "unit:b.service": (["[Service]\n", "ExecStart=/b\n"], None),
    }


@pytest.mark.parametrize(("file", "folder"), [(0o640, 0o755), (0o644, 0o700), (0o600, 0o755)])
def test_what_a_removal_puts_back_is_not_shown_if_not_every_user_could_read_it(
    root: Path, file: int, folder: int
) -> None:
    path = root / "etc/closed/conf"
    path.parent.mkdir()
    path.write_text("password of a person\n")
    path.chmod(file)
    path.parent.chmod(folder)
    install(root, File("/etc/closed/conf", "ours\n"))
    assert shown(root)["file:/etc/closed/conf"]["after"] == NOT_PUBLIC


def test_what_a_removal_puts_back_is_not_shown_where_a_secret_was_declared(root: Path) -> None:
    (root / "etc/with-secret").write_text("pass = mine\n")
    install(root, WITH_SECRET)
    after = shown(root)[WITH_SECRET.key]["after"]
    assert after["why"] == "it is from before Rolecall put a secret there, and may contain one"
    assert not after["lines"]


def test_a_block_that_a_removal_puts_back_is_shown_only_if_every_user_can_read_the_file(root: Path) -> None:
    path = root / "etc/shared"
    install(root, block := Block("/etc/shared", "mine", "pass = of a person\n"))
    theirs = path.read_bytes()
    install(root)
    path.write_bytes(theirs)
    install(root, Block("/etc/shared", "mine", "ours\n"))
    assert shown(root)[block.key]["after"]["lines"] == ["pass = of a person\n"]
    path.chmod(0o600)
    assert shown(root)[block.key]["after"] == NOT_PUBLIC


def test_a_switch_replaces_no_other_content_than_was_shown(root: Path) -> None:
    (root / "etc/motd").write_text("seen\n")
    with NearClient(root) as client:
        client.open()
        comparison = client.compare(Configuration.of("m", [File("/etc/motd", "new\n")]))
        (root / "etc/motd").write_text("written meanwhile\n")
        with pytest.raises(Refused, match="has changed since this was planned"):
            client.stage(comparison["digest"], {})
    assert (root / "etc/motd").read_text() == "written meanwhile\n"


def test_nor_one_that_was_written_after_everything_was_sent(root: Path) -> None:
    (root / "etc/motd").write_text("seen\n")
    with NearClient(root) as client:
        client.open()
        client.stage(client.compare(Configuration.of("m", [File("/etc/motd", "new\n")]))["digest"], {})
        (root / "etc/motd").write_text("written meanwhile\n")
        with pytest.raises(Refused, match="has changed since this was planned"):
            client.ask(type="switch", nonce="n", confirm=False, reboot="planned")
    assert (root / "etc/motd").read_text() == "written meanwhile\n"


def test_the_provenance_of_a_generation_comes_back_with_the_next_comparison(root: Path) -> None:
    configuration = Configuration.of("m", [File("/etc/one", "1"), File("/etc/two", "2")])
    inputs = {"i.r": {"settings": {"a": "d1"}, "service": "s", "vars": {}, "peers": {"n": "d2"}, "members": {}}}
    origins = {"file:/etc/one": ["i.r"], "file:/etc/two": ["i.r"]}
    with NearClient(root) as client:
        client.open()
        assert client.compare(configuration)["provenance"] is None
        client.provenance = {"inputs": inputs, "origins": origins}
        client.switch(configuration)
        client.commit()
        found = client.compare(Configuration.of("m", [File("/etc/one", "1"), File("/etc/two", "other")]))["provenance"]
        assert found == {"inputs": inputs, "origins": {"file:/etc/two": ["i.r"]}}
        client.switch(NOTHING)
        client.commit()


PIECES = ["a" * 999 + "\n", "\n", "\0", "é\n", "\u2028\n", "𝄞\n", "\x1b\n", '"\n', "\r\n"]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, showing.LIMIT + 1)), max_size=12))
def test_answers_are_never_too_large_and_complete(texts: list[tuple[str, int]]) -> None:
    contents = {f"file:/{number}": text * (size // len(text.encode())) for number, (text, size) in enumerate(texts)}
    system, store = _Texts(contents), _Texts({})
    new = Configuration.of("m", [File(key.removeprefix("file:"), "new") for key in contents])
    left = list(contents)
    while left:
        answer = showing.contents(system, store, NOTHING, new, left, declared=False)  # type: ignore[arg-type]
        frames.frame({"type": "contents", "contents": answer}, limit=frames.MAX_ANSWER)
        assert answer.keys() <= set(left)
        assert answer
        left = [key for key in left if key not in answer]


class _Texts:
    """A system with files that every user can read."""

    def __init__(self, contents: dict[str, str]) -> None:
        self.contents = contents
        self.originals: dict[str, Any] = {}

    def stat(self, _path: str) -> Any:  # noqa: ANN401 - a tree.Entry
        return type("Entry", (), {"type": "file", "mode": 0o755})

    def resolve(self, path: str) -> str:
        return path

    def read(self, path: str) -> bytes:
        return self.contents[f"file:{path}"].encode()
