"""Where sshd looks for keys: its configuration, followed as sshd follows it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from agent_world import make

from rolecall_agent.systems import commands
from rolecall_agent.systems.recorded import RecordedSystem
from rolecall_agent.systems.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SETS = "AuthorizedKeysFile /etc/ssh/ak/%u\n"


@pytest.fixture
def keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Callable[[], str]]:
    """Return a root, and a function that says which file is found for root there."""
    root = make(tmp_path / "m")
    (root / "etc/ssh/sshd_config.d").mkdir(parents=True)
    (root / "srv/x.conf").write_text(SETS)
    monkeypatch.setattr(commands, "is_installed", lambda _: True)

    def ask(argv: Sequence[str], *, errors: bool = False) -> tuple[int, str]:  # noqa: ARG001 - as `System.ask`
        return 0, "authorizedkeysfile from-sshd\n" if argv[0] == "sshd" else ""

    def find() -> str:
        system = RecordedSystem(str(root))
        return Sshd(ask, system.read, system.names, system.resolve).keys_file("root")

    return root, find


def test_without_a_configuration_sshd_is_not_asked(keys_file: tuple[Path, Callable[[], str]]) -> None:
    root, find = keys_file
    assert find() == ".ssh/authorized_keys"
    (root / "etc/ssh/sshd_config.d").rmdir()
    assert find() == ".ssh/authorized_keys"
    (root / "etc/ssh/sshd_config").symlink_to("nowhere")
    assert find() == ".ssh/authorized_keys"


@pytest.mark.parametrize("path", ["etc/ssh/sshd_config", "etc/ssh/sshd_config.d/x.conf", "etc/ssh/sshd_config.d"])
def test_links_are_followed(keys_file: tuple[Path, Callable[[], str]], path: str) -> None:
    root, find = keys_file
    if path.endswith(".d"):
        (root / path).rmdir()
    (root / path).symlink_to("/srv" if path.endswith(".d") else "/srv/x.conf")
    assert find() == "from-sshd"
    (root / "srv/x.conf").write_text("UseDNS no\n")
    assert find() == ".ssh/authorized_keys"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of other users")
def test_sshd_is_asked_where_a_link_must_not_be_followed(keys_file: tuple[Path, Callable[[], str]]) -> None:
    root, find = keys_file
    (root / "etc/ssh/sshd_config").symlink_to("/srv/x.conf")
    (root / "srv/x.conf").write_text("UseDNS no\n")
    os.lchown(root / "etc/ssh/sshd_config", 12345, 12345)
    assert find() == "from-sshd"
