"""Values of the running system: how they compare, what is refused, and one call for all."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import NOTHING, STATE, machine, make, snapshot, update

from rolecall_agent.comparison import compare, drift
from rolecall_agent.configuration import Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.resources import Hostname, Package, Resource, Symlink, Sysctl, Unit
from rolecall_agent.resources.checks import DefinitionError
from rolecall_agent.systems.kernel import RealKernel
from rolecall_agent.systems.mounts import users
from rolecall_agent.systems.nftables import essence
from rolecall_agent.systems.recorded import RecordedSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path)


def kernel(root: Path, **values: str) -> None:
    """Let a machine have these kernel parameters, besides its host name."""
    path = root / STATE / "system.json"
    recorded: dict[str, Any] = json.loads(path.read_text())
    recorded["kernel"] = {
        "hostname:/etc/hostname": "was",
        **{f"sysctl:net.{name}": each for name, each in values.items()},
    }
    path.write_text(json.dumps(recorded))


def planned(root: Path, *resources: Resource) -> list[tuple[str, str]]:
    it = machine(root)
    work = compare(it.system, it.store, NOTHING, Configuration.of("m", resources))
    return [(change["key"], change["detail"]) for change in work.changes]


@pytest.mark.parametrize(
    ("declared", "shown", "same"),
    [
        ("4096\t87380  6291456", "4096 87380 6291456", True),
        ("1,2,3,8", "1-3,8", True),
        (1, "1", True),
        (1, "0", False),
        ("1 2", "1", False),
        ("0-99999999", "0-99999999", True),
    ],
)
def test_what_the_kernel_shows_in_another_way(root: Path, declared: str | int, shown: str, *, same: bool) -> None:
    kernel(root, a=shown)
    before = snapshot(root)
    target = Configuration.of("m", [Sysctl("net.a", declared)])
    [(_, detail)] = planned(root, *target.resources)
    assert (", not" in detail) is not same
    update(root, target)
    kernel(root, a=shown)
    it = machine(root)
    assert bool(drift(it.system, it.store, target)) is not same
    update(root, NOTHING)
    assert snapshot(root) == before


def test_what_the_machine_does_not_have_is_refused_unless_something_may_bring_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = [Sysctl("net.none", 1), Symlink("/etc/localtime", "/usr/share/zoneinfo/Mars", needs_target=True)]
    assert len(planned(root, *lacking)) == 2  # of a directory, not all is known
    monkeypatch.setattr(RecordedSystem, "boots", True)
    with pytest.raises(Failure) as failed:
        planned(root, *lacking)
    assert failed.value.message == "symlink:/etc/localtime: /usr/share/zoneinfo/Mars does not exist on this machine"
    assert failed.value.detail == (
        "sysctl:net.none: the kernel of this machine does not have it; "
        "check its name, or declare the KernelModule that brings it"
    )
    assert len(planned(root, Package("new"), *lacking)) == 3
    it = machine(root)
    with pytest.raises(Failure, match="/etc/localtime: /usr/share/zoneinfo/Mars does not exist"):
        lacking[1].apply(it.system, it.store)


def test_a_parameter_that_is_gone_does_not_block_its_removal(root: Path) -> None:
    kernel(root, a="7")
    update(root, Configuration.of("m", [Sysctl("net.a", 1)]))
    kernel(root)
    before = snapshot(root)
    update(root, NOTHING)
    assert snapshot(root)["kernel"] == before["kernel"]


def test_one_call_for_all_values_of_a_kind() -> None:
    files = {"/proc/sys/net/a": "1\t2", "/proc/sys/net/ipv4/conf/eth0.100/b": "3"}
    asked: list[Sequence[str]] = []

    def ask(argv: Sequence[str], *, errors: bool = False) -> tuple[int, str]:
        asked.append(argv)
        assert not errors
        there: Mapping[str, str] = {path: text for path, text in files.items() if path in argv}
        return 2, "".join(f"{path}\0{text}\n" for path, text in there.items())

    machine_that_answers: Any = SimpleNamespace(ask=ask)
    real = RealKernel(machine_that_answers)
    names = ("net.a", "net.ipv4.conf.eth0/100.b", "net.none")
    for name in names:
        real.prefetch("sysctl", [name])
    assert [real.value("sysctl", name) for name in names] == ["1 2", "3", None]
    assert len(asked) == 1
    files["/proc/sys/net/a"] = "4"
    real.prefetch("sysctl", ["net.a"])
    assert [real.value("sysctl", name) for name in names] == ["4", "3", None]


def test_modules_that_are_built_in_or_have_another_name() -> None:
    shown = {  # by `modprobe --show-depends`
        "builtin": "builtin builtin\n",
        "net-pf-10": "builtin crc\ninsmod /lib/modules/6.1/kernel/net/nf-x.ko.xz a=1 \n",
        "two": "insmod /lib/modules/6.1/nf-x.ko\ninsmod /lib/modules/6.1/other.ko\n",
        "off": "",
    }

    def ask(argv: Sequence[str], *, errors: bool = False) -> tuple[int, str]:
        assert not errors
        if argv[0] == "modprobe":
            return int(argv[-1] not in shown), shown.get(argv[-1], "")
        assert len(argv) > len(["ls", "-d", "--"])
        return 2, "".join(f"{path}\n" for path in argv if path in {"/sys/module/nf_x", "/sys/module/b_r"})

    machine_that_answers: Any = SimpleNamespace(ask=ask)
    names = ("b-r", "nf-x", "nf_x", *shown, "none")
    real = RealKernel(machine_that_answers)
    for name in names:
        real.prefetch("kernel-module", [name])
    loaded = {name for name in names if real.value("kernel-module", name)}
    assert loaded == {"b-r", "nf-x", "nf_x", "builtin", "net-pf-10"}


@pytest.mark.parametrize(
    "define",
    [
        lambda: Sysctl("ip_forward", 1),
        lambda: Sysctl("net..a", 1),
        lambda: Sysctl("net.a/../../b", 1),
        lambda: Sysctl("net.a", ""),
        lambda: Sysctl("net.a", "1\n2"),
        lambda: Sysctl("net.a", value=True),
        lambda: Hostname("Upper"),
        lambda: Hostname("-a"),
        lambda: Hostname("a..b"),
        lambda: Hostname("a" * 65),
    ],
)
def test_definitions_that_are_refused(define: Callable[[], Resource]) -> None:
    with pytest.raises(DefinitionError):
        define()


def test_a_user_of_what_is_mounted(tmp_path: Path) -> None:
    with (tmp_path / "held").open("w"):
        assert any(user.endswith(f"(process {os.getpid()})") for user in users(str(tmp_path)))
    assert not any(f"process {os.getpid()})" in user for user in users(f"{tmp_path}/hel"))


def test_the_folder_of_a_mount_goes_with_it(root: Path) -> None:
    it = machine(root)
    captured = Unit("srv-new-d.mount", "[Mount]\nWhat=x\nWhere=/srv/new/d\n").capture(it.system, it.store)
    assert {key for key in captured if key.startswith("made:/srv")} == {"made:/srv/new", "made:/srv/new/d"}


def test_elements_of_sets_count_unless_rules_or_time_change_them() -> None:
    fixed = "\tset fixed {\n\t\ttype ipv4_addr\n\t\telements = { 1.1.1.1,\n\t\t\t     1.1.1.2 }\n\t}\n"
    dynamic = "\tset seen {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\nELEMENTS\t}\n"
    elements = "\t\telements = { 2.2.2.2 expires 3s,\n\t\t\t     2.2.2.3 }\n"
    chain = "\n\tchain out {\n\t\tip daddr @fixed drop\n\t}\n}\n"
    listing = f"table inet a {{\n{fixed}\n{dynamic.replace('ELEMENTS', elements)}{chain}"
    assert essence(listing) == f"table inet a {{\n{fixed}\n{dynamic.replace('ELEMENTS', '')}{chain}"
