"""Invalid definitions, such as a single text that would be taken as a list of letters."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.service import (
    Action,
    AuthorizedKey,
    Block,
    Check,
    Directory,
    File,
    Symlink,
    Unit,
    User,
    exec_line,
    service_unit,
)
from rolecall_agent.configuration import Configuration
from rolecall_agent.resources import KINDS, class_of
from rolecall_agent.resources.checks import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJh"
TEXT = "[Service]\nExecStart=/bin/true\n"


@pytest.mark.parametrize(
    "define",
    [
        lambda: Check("x", "true a b"),  # type: ignore[arg-type]
        lambda: Action("x", "true a b"),  # type: ignore[arg-type]
        lambda: Action("x", ("true",), undo="false"),  # type: ignore[arg-type]
        lambda: Action("x", ("true",), when_changed="file:/x"),  # type: ignore[arg-type]
        lambda: AuthorizedKey("a", KEY, "borg serve"),
        lambda: exec_line("echo hi"),
        lambda: service_unit("a.service", "echo hi", description="Says hi"),
        lambda: Unit("a.service", TEXT, restart_on="file:/x"),  # type: ignore[arg-type]
        lambda: Unit("a.service", TEXT, reload_on="file:/x"),  # type: ignore[arg-type]
    ],
)
def test_a_single_text_is_not_a_list(define: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError, match=r"is a single text; write a list of words|is not a list of resources"):
        define()


def test_lists_are_accepted() -> None:
    assert Check("x", ["true", 1]).argv == ("true", "1")  # type: ignore[arg-type]
    assert Unit("a.service", TEXT, restart_on=["file:/b", Action("x", ("y",))]).restart_on == ("action:x", "file:/b")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [600, 640, 644, 700, 755, 777])
def test_a_mode_without_its_octal_prefix_is_refused(mode: int) -> None:
    with pytest.raises(DefinitionError, match=f"mode {mode} is decimal; write 0o{mode}"):
        File("/x", "", mode=mode)


@pytest.mark.parametrize("mode", [0o600, 0o1777, 0o2755, 0o4755, 0o7777, 0])
def test_modes(mode: int) -> None:
    assert File("/x", "", mode=mode).mode == mode


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/", "the root directory cannot be declared"),
        ("/dev", "what is in /dev is made by the kernel"),
        ("/dev/null", "what is in /dev is made by the kernel"),
        ("/proc/sys/vm/swappiness", "what is in /proc is made by the kernel"),
        ("/sys/class", "what is in /sys is made by the kernel"),
        ("/var/lib/rolecall", "/var/lib/rolecall belongs to Rolecall"),
        ("/var/lib/rolecall/journal.json", "/var/lib/rolecall belongs to Rolecall"),
    ],
)
def test_paths_that_are_never_right(path: str, problem: str) -> None:
    for define in (
        lambda: File(path, ""),
        lambda: Directory(path),
        lambda: Symlink(path, "x"),
        lambda: Block(path, "a", ""),
    ):
        with pytest.raises(DefinitionError, match=f"(file|directory|symlink|block) {path}: {problem}"):
            define()
    if "rolecall" in path:
        with pytest.raises(DefinitionError, match=f"user u: {problem}"):
            User("u", home=path)


def test_paths_that_only_look_like_these() -> None:
    for path in ("/device", "/srv/proc", "/var/lib/rolecall-data", "/var/lib/rolecall-data/x", "/run/sys"):
        assert File(path, "").path == Directory(path).path == User("u", home=path).home == path
    assert User("u", home="/dev/null").home == "/dev/null"  # as some distributions' own users have


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
values = st.one_of(leaves, st.lists(leaves, max_size=3))


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """A configuration as some version may have written it: with other fields, and values of any kind."""

    def item(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any kind, or Check
        known = {field.name for field in fields(kind) if field.default is MISSING or draw(st.booleans())}
        optional = {field.name for field in fields(kind) if field.default is None}  # left out where they are None
        drawn = {name: draw(values) for name in sorted(known | draw(st.sets(st.sampled_from(["once", "later"]))))}
        return {name: value for name, value in drawn.items() if value is not None or name not in optional}

    kinds = draw(st.lists(st.sampled_from([class_of(kind) for kind in KINDS])))
    resources = [{**item(kind), "kind": kind.kind} for kind in kinds]
    checks = [item(Check) for _ in range(draw(st.integers(0, 2)))]
    whole = {"schema": 1, "machine": draw(st.text()), "resources": resources, "checks": checks}
    return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()


@given(written())
def test_what_is_installed_is_read_as_it_is(text: bytes) -> None:
    found = Configuration.decode(text)
    assert found.encode() == text
    for each in (*found.resources, *found.checks):
        assert all(hasattr(each, field.name) for field in fields(each))


def test_what_a_controller_gives_keeps_the_rules() -> None:
    given_ = Configuration.of("m", [File("/x", "")]).as_json()
    given_["resources"][0]["mode"] = 644
    with pytest.raises(DefinitionError, match="mode 644 is decimal"):
        Configuration.decode_json(given_)
    assert Configuration.decode(json.dumps(given_).encode()).as_json() == given_


def test_a_field_that_is_not_set_is_no_part_of_the_digest() -> None:
    """A new field of a kind would otherwise make a new generation on every machine."""
    plain = Unit("a.service", TEXT)
    assert b"settle_seconds" not in Configuration.of("m", [plain]).encode()
    timed = Configuration.of("m", [Unit("a.service", TEXT, settle_seconds=2.5)])
    assert Configuration.decode(timed.encode()).digest == timed.digest
    assert Configuration.decode_json(timed.as_json()).resources[0].settle_seconds == 2.5  # type: ignore[attr-defined]
