"""Invalid definitions, such as a single text that would be taken as a list of letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall.service import Action, AuthorizedKey, Check, File, Unit, exec_line, service_unit
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
