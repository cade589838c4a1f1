"""Packages: what a plan says about versions, what comes and goes together, and what package managers print."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from agent_world import META, NOTHING, STATE, Killed, copy, machine, make, snapshot, stage, update
from calls import from_call

from rolecall_agent.comparison import compare
from rolecall_agent.configuration import Configuration
from rolecall_agent.errors import Failure
from rolecall_agent.resources import File, Package
from rolecall_agent.resources.checks import DefinitionError
from rolecall_agent.seam.packages import UNKNOWN, PackageState
from rolecall_agent.switch import commit, decide, switch
from rolecall_agent.systems import commands, package_files, packages
from rolecall_agent.systems.managers import Changes, apt
from rolecall_agent.undo import abandon, accept, recover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

GOOD = Configuration.of("m", [Package("good"), Package("tool"), Package("p1")])
REPOSITORY = {
    "good": {"version": "1.2-3", "needs": ["dep", "lib"]},
    "dep": {"version": "4"},
    "persons": {"needs": ["lib"]},
    **{name: {"version": "1"} for name in ("lib", "p1", "tool")},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make(tmp_path / "m")
    change(root, repository=REPOSITORY)
    return root


def record(root: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((root / STATE / "system.json").read_text())
    return recorded


def change(root: Path, **fields: object) -> None:
    (root / STATE / "system.json").write_text(json.dumps({**record(root), **fields}))


def planned(root: Path, new: Configuration) -> dict[str, tuple[str, str]]:
    it = machine(root)
    work = compare(it.system, it.store, it.store.configuration(it.store.current), new)
    return {change["key"]: (change["action"], change["detail"]) for change in work.changes}


def test_a_plan_names_versions_and_what_comes_and_goes_with_them(root: Path) -> None:
    assert planned(root, GOOD) == {
        "package:good": ("create", "1.2-3"),
        "package:tool": ("create", "1; with 2 other packages: dep 4, lib 1"),
        "package:p1": ("adopt", ""),
    }
    update(root, GOOD)
    assert machine(root).store.packages(1) == {
        "dep": {"version": "4", "came_along": True},
        "good": {"version": "1.2-3", "came_along": False},
        "lib": {"version": "1", "came_along": True},
        "p1": {"version": "1", "came_along": False},
        "tool": {"version": "1", "came_along": False},
    }
    assert planned(root, GOOD) == {}
    change(root, packages=sorted([*record(root)["packages"], "persons"]))
    kept = "its configuration files are kept"
    assert planned(root, NOTHING) == {
        "package:good": ("remove", kept),
        "package:tool": ("remove", f"{kept}; with 1 other package: dep"),
        "package:p1": ("remove", "was installed before; it is kept"),
    }
    update(root, NOTHING)
    assert record(root)["packages"] == ["lib", "p1", "persons"]  # a person's package needs lib


def test_a_package_that_came_along_and_is_declared_later(root: Path) -> None:
    update(root, GOOD)
    update(root, Configuration.of("m", [Package("dep")]))
    assert record(root)["packages"] == ["dep", "p1"]
    purged = Configuration.of("m", [Package("dep"), Package("good", purge=True)])
    update(root, purged)
    assert planned(root, NOTHING)["package:good"][1].startswith("with its configuration files; with ")
    with pytest.raises(DefinitionError, match="purge must be True or False"):
        Package("x", purge="yes")  # type: ignore[arg-type]


def test_a_package_that_another_one_needs_is_kept(root: Path) -> None:
    lib = Configuration.of("m", [Package("lib")])
    update(root, lib)
    change(root, packages=[*record(root)["packages"], "persons"])
    assert planned(root, NOTHING) == {"package:lib": ("remove", "it is kept: persons would be removed with it")}
    it = machine(root)
    switch(it, NOTHING, META, nonce="n", confirm=False)
    decide(it)
    assert commit(it)[1] == ["package lib was kept: persons would be removed with it"]


def test_a_removal_that_is_killed_at_any_point_is_finished(root: Path, tmp_path: Path) -> None:
    update(root, Configuration.of("m", [Package("good")]))
    it = machine(root)
    switch(it, NOTHING, META, nonce="n", confirm=False)
    decide(it)
    left = set()
    for number in range(1000):
        tried = copy(root, tmp_path / "try")
        try:
            with from_call(number, Killed()):
                commit(machine(tried))
        except Killed:
            left.add(tuple(record(tried)["packages"]))
            assert recover(machine(tried)) in {None, "committed"}
            assert record(tried)["packages"] == ["p1"], f"killed at call {number}"
        else:
            break
    assert ("lib", "p1") in left  # lib came along with good


def test_a_version_that_was_not_shown_is_not_installed(root: Path) -> None:
    it = machine(root)
    it.store.prepare()
    shown = compare(it.system, it.store, NOTHING, GOOD)
    change(root, repository={**REPOSITORY, "dep": {"version": "5"}})
    it = machine(root)
    again = compare(it.system, it.store, NOTHING, GOOD)
    assert again.digest() != shown.digest()
    stage(it, GOOD)
    with pytest.raises(Failure, match="package dep changed since this was planned: version 5, not 4"):
        switch(it, GOOD, META, nonce="n", confirm=False, shown=shown)
    assert "good" not in record(root)["packages"]


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_version_of_a_source_that_was_renewed_must_be_the_shown_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    it = machine(root)
    asked: list[str] = []

    def renew(_: object, paths: Iterable[str]) -> bool:
        asked.extend(paths)
        versions = preview(it.system.packages, ["good", "tool"], sources_change=False)
        monkeypatch.setattr(kind, "preview", lambda *_, **__: {**versions, "dep": version})
        return True

    kind: Any = type(it.system.packages)
    preview = kind.preview
    monkeypatch.setattr(kind, "renew_sources", renew)
    source = File("/etc/apt/sources.list.d/x.sources", "1", needed_for="packages")
    target = Configuration.of("m", [*GOOD.resources, source, File("/etc/late", "1")])
    it.store.prepare()
    stage(it, target)
    failing = pytest.raises(Failure, match="package dep changed since this was planned: version 5, not 4")
    with contextlib.nullcontext() if version == "4" else failing:
        switch(it, target, META, nonce="n", confirm=False)
    assert asked == ["/etc/apt/sources.list.d/x.sources"]
    assert ("good" in record(root)["packages"]) is (version == "4")


def failed(root: Path, target: Configuration) -> None:
    """Leave a switch whose undo fails."""
    it = machine(root)
    it.store.prepare()
    stage(it, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(it.system.packages), "put_back", lambda *_: None)
        with pytest.raises(Failure, match="the undo failed for package:dep"):
            switch(it, target, META, nonce="n", confirm=False)


def test_an_undo_leaves_no_package_in_another_state(root: Path) -> None:
    change(root, fail={"packages": ["good"]}, broken={"persons": "half-configured"})
    before = snapshot(root)
    target = Configuration.of("m", [*GOOD.resources, File("/etc/good.conf", "1")])
    failed(root, target)
    assert record(root)["broken"] == {"good": "half-configured", "persons": "half-configured"}
    it = machine(root)
    damage = {each["key"]: each["reason"] for each in it.store.journal["damage"]}  # type: ignore[index]
    assert damage["package:good"] == "it is half-configured 1.2-3, not not-installed"
    assert recover(it) == "undone"
    assert snapshot(root) == before


def test_packages_that_are_given_up_stay(root: Path) -> None:
    change(root, fail={"packages": ["good"]})
    failed(root, GOOD)
    it = machine(root)
    abandon(it, ["package:dep"])
    accept(it)
    assert (record(root)["packages"], record(root)["broken"]) == (
        ["dep", "lib", "p1", "tool"],
        {"good": "half-configured"},
    )
    assert planned(root, GOOD)["package:good"] == ("overwrite", "half-configured; 1.2-3")


@pytest.mark.parametrize("declared", [False, True])
def test_an_undo_leaves_a_file_that_was_where_a_package_has_a_configuration_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, declared: bool
) -> None:
    file, beside = root / "etc/good.conf", root / "etc/good.conf.dpkg-dist"
    file.write_text("a person's\n")
    file.chmod(0o640)
    it = machine(root)
    kind = type(it.system.packages)
    kept: list[PackageState] = []

    def install(*_: object) -> None:
        file.write_text("a script's\n")
        beside.write_text("the package's\n")
        change(root, packages=["good", "p1"])
        raise Failure("no")

    def put_back(_: object, before: dict[str, PackageState]) -> None:
        kept.append(before["good"])
        change(root, packages=["p1"])

    in_the_way = {"/etc/good.conf": True, "/etc/good.conf.dpkg-dist": True, "/srv/d": False}
    monkeypatch.setattr(kind, "download", lambda *_: {"good": in_the_way})
    monkeypatch.setattr(kind, "install", install)
    monkeypatch.setattr(kind, "put_back", put_back)
    before = snapshot(root)
    early = [File("/etc/good.conf", "1", needed_for="packages")] if declared else []
    target = Configuration.of("m", [Package("good"), *early])
    it.store.prepare()
    stage(it, target)
    with pytest.raises(Failure, match="no"):
        switch(it, target, META, nonce="n", confirm=False)
    assert snapshot(root) == before
    assert kept == [PackageState("config-files")]  # which is not purged


# What apt and dpkg print

QUERY = """\
bc amd64 installed ok 1.07.1-3+b1
broken all half-configured ok 1
dpkg amd64 installed ok 1.21.22
half all installed reinstreq 2
libc6 amd64 installed ok 2.36-9
libc6 i386 unpacked ok 2.36-9
old all config-files ok 3
gone all not-installed ok\x20
"""
SIMULATION = """\
Inst libc6 [2.36-9] (2.36-10 Debian:12.15/oldstable [amd64]) []
Inst nginx-common (1.22.1-9+deb12u11 Debian-Security:12/oldstable-security [all])
Inst libnginx (1:0.63-4 Debian:12.15/oldstable [amd64])
Remv lib [1]
Purg liby [1]
Conf nginx-common (1.22.1-9+deb12u11 Debian-Security:12/oldstable-security [all])
Conf broken (1 localhost [all])
"""


def test_what_apt_prints() -> None:
    assert apt.states(QUERY) == {
        "bc": PackageState("installed", "1.07.1-3+b1"),
        "broken": PackageState("half-configured", "1"),
        "dpkg": PackageState("installed", "1.21.22"),
        "half": PackageState("reinstreq", "2"),
        "libc6": PackageState("installed", "2.36-9"),
        "libc6:i386": PackageState("unpacked", "2.36-9"),
        "old": PackageState("config-files"),
        "gone": PackageState("not-installed"),
    }
    versions = {"libc6": "2.36-10", "nginx-common": "1.22.1-9+deb12u11", "libnginx": "1:0.63-4", "broken": "1"}
    assert apt.changes(SIMULATION) == Changes(versions, frozenset({"lib", "liby"}))
    held = "Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)"
    assert apt.is_locked(f"E: {held}")
    assert apt.is_locked("dpkg: error: dpkg frontend lock was locked by another process with pid 7")
    assert not apt.is_locked("E: Unable to locate package lock")


# How they are run


class Programs:
    """Commands that print what a test wants; `commands` may be called as often as there are answers for a word."""

    def __init__(self, **answers: list[tuple[int, str]]) -> None:
        self.answers = answers
        self.ran: list[str] = []

    def __call__(self, argv: Sequence[str], *_: object, **__: object) -> tuple[int, str]:
        line = " ".join(argv)
        self.ran.append(line)
        word = next(word for word in self.answers if word.replace("_", "-") in line)
        return self.answers[word].pop(0) if len(self.answers[word]) > 1 else self.answers[word][0]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Programs], packages.DistributionPackages]:
    def with_(programs: Programs) -> packages.DistributionPackages:
        for name in ("run", "execute"):
            monkeypatch.setattr(commands, name, programs)
        monkeypatch.setattr(commands, "is_installed", lambda program: program == "apt-get")
        monkeypatch.setattr(packages, "_PAUSE", 0)
        monkeypatch.setattr(package_files, "FOLDER", str(tmp_path / "packages"))
        return packages.DistributionPackages(programs, dict, lambda: None)

    return with_


Run = "Callable[[Programs], packages.DistributionPackages]"
LOCKED = (100, "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)")
NOT_FOUND = (100, "E: Unable to locate package x\n")
X1, X2 = (0, "Inst x (1 local [all])\n"), (0, "Inst x (2 local [all])\n")


def test_unknown_packages_are_looked_for_once_the_lists_are_free(run: Run) -> None:
    programs = Programs(simulate=[NOT_FOUND, X1], update=[LOCKED, LOCKED, (0, "")])
    assert run(programs).preview(["x"], sources_change=False) == {"x": "1"}
    assert [line.rpartition(" ")[2] for line in programs.ran] == ["x", "update", "update", "update", "x"]
    assert run(Programs(simulate=[NOT_FOUND])).preview(["x"], sources_change=True) == {"x": UNKNOWN}


def test_lists_that_are_older_than_the_key_of_their_source_are_removed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*names: str) -> None:
        for name in names:
            (tmp_path / name).write_text("")
        time.sleep(0.02)  # a tick of the file system's clock

    assert apt.query_lists("/etc/apt/sources.list.d/x.sources")
    assert apt.query_lists("/etc/apt/keyrings/x.asc") is None
    query = {str(tmp_path / "source"): ["indextargets"]}
    monkeypatch.setattr(apt, "query_lists", query.get)
    programs = Programs(indextargets=[(0, f"{tmp_path}/a_main_Packages main/Packages\n")], update=[(0, "")])
    package_manager = run(programs)
    lists = ("a_InRelease", "a_main_Packages.lz4", "b_InRelease")
    paths = [str(tmp_path / name) for name in ("source", "key")]
    assert not package_manager.renew_sources(paths)  # which are not there
    write("source", "key")
    write(*lists)
    assert not package_manager.renew_sources(paths)
    write("key")
    assert package_manager.renew_sources(paths)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b_InRelease", "key", "source"]
    assert programs.ran[-1].endswith(" update")


def test_errors_of_the_package_manager_are_shown(run: Run) -> None:
    problems = "W: Failed to fetch http://there/Packages\n"
    with pytest.raises(Failure, match="packages: x: E: Unable to locate package x") as raised:
        run(Programs(simulate=[NOT_FOUND], update=[(0, problems)])).preview(["x"], sources_change=False)
    assert raised.value.detail == problems + NOT_FOUND[1]
    with pytest.raises(Failure, match="y would be removed"):
        run(Programs(simulate=[(0, "Remv y [1]\nInst x (1 local [all])")])).preview(["x"], sources_change=False)


def test_what_a_killed_dpkg_has_left_does_not_block_a_removal(run: Run) -> None:
    halfway = "dpkg amd64 installed ok 1\nx all half-installed reinstreq 1\ny all installed ok 1\n"
    interrupted = (100, "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.")
    programs = Programs(query=[(0, halfway)], force=[(0, "")], apt_get=[interrupted, (0, "")], set_selections=[(0, "")])
    run(programs).remove(["y", "x"])
    removal = "apt-get -qq -o DPkg::Lock::Timeout=120 remove --yes --no-auto-remove y"
    forced = "dpkg --force-remove-reinstreq --force-depends --remove x"
    assert programs.ran[1:] == [forced, removal, "dpkg --set-selections", removal]


PURGE = """\
/etc/none.conf
{there}/etc/x.conf
{there}/etc/y.conf
#!/bin/sh
# see /var/lib/comment
[ -d "$DPKG_ROOT/var/lib/x" ] && rm -rf /var/lib/x/ /etc/x || rm -f /var/lib/systemd/x
echo /etc/other >/var/log/x.log
"""


@pytest.mark.parametrize("name", ["x.conf", "y.conf~", "x.conf.dpkg-old", "data", "other"])
def test_what_a_purge_would_delete(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    output = PURGE.format(there=tmp_path)
    assert apt.data(output) == ["/var/lib/x", "/var/lib/x", "/var/log/x.log", "/etc/x"]
    monkeypatch.setattr(apt, "data", lambda _: [f"{tmp_path}/etc/data", f"{tmp_path}/gone"])
    query = (0, "dpkg amd64 installed ok 1\n")
    package_manager = run(Programs(download_only=[(0, "")], query=[query], dpkg_deb=[(0, output)]))
    keep(tmp_path, "x_1_all.deb")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / name).write_text("a person's")
    files = ("/etc/none.conf", f"{tmp_path}/etc/x.conf", f"{tmp_path}/etc/y.conf")
    written = dict.fromkeys((path + end for path in files for end in ("", *apt.BESIDE)), True)
    data = {f"{tmp_path}/etc/data": False} if name == "data" else {}
    found = package_manager.download(["x"], {"x": "1"})
    assert found == ({} if name == "other" else {"x": {**data, **written}})


def test_a_version_that_is_gone_is_not_replaced_by_another(run: Run) -> None:
    now = "dpkg amd64 installed ok 1\nx all installed ok 2\n"
    programs = Programs(download_only=[(0, "")], query=[(0, now)], install=[(0, "")])
    package_manager = run(programs)
    assert package_manager.download(["x"], {"x": "1"}) == {}
    with pytest.raises(Failure, match="package x: version 2 was installed, not 1"):
        package_manager.install(["x"], {"x": "1"})
    assert "x=1" in next(line for line in programs.ran if "--download-only" in line)


def test_the_undo_of_an_upgrade_works_from_kept_files_that_are_intact(run: Run, tmp_path: Path) -> None:
    before = {name: PackageState("installed", "1:1") for name in ("x", "y", "z")}
    now = "dpkg amd64 installed ok 1\nx all installed ok 2\ny all half-installed ok 1:1\nz all installed ok 2\n"
    programs = Programs(query=[(0, now)], showmanual=[(0, "")], dpkg=[(0, "")])
    package_manager = run(programs)
    x, z = (keep(tmp_path, f"{name}_1%3a1_all.deb") for name in ("x", "z"))
    keep(tmp_path, "xy_1%3a1_all.deb")
    z.write_bytes(b"damaged")
    with pytest.raises(Failure, match="version 1:1 of package y is not available any more; ") as raised:
        package_manager.put_back(before)
    assert raised.value.message.endswith(f"version 1:1 of package z cannot be installed: {z} is damaged")
    assert f"dpkg --force-downgrade --force-confold --install {x}" in programs.ran


def test_what_is_installed_from_a_kept_file_has_been_verified(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    there: list[set[str]] = []

    class Apt(Programs):
        def __call__(self, argv: Sequence[str], *args: object, **options: object) -> tuple[int, str]:
            if "--download-only" in argv:
                there.append({file.name for file in folder.glob("*.deb")})
                (folder / "x_2_all.deb").write_bytes(b"another build")
            return super().__call__(argv, *args, **options)

    now = (0, "dpkg amd64 installed ok 1\nx all installed ok 1\n")
    package_manager = run(Apt(download_only=[(0, "")], query=[now], dpkg=[(0, "")]))
    x, y = keep(tmp_path, "x_2_all.deb"), keep(tmp_path, "y_1_all.deb")
    for file in (x, y, keep(tmp_path, "x_1_all.deb")):
        file.write_bytes(b"54321")  # of the same size, so that apt would install it
    (folder / "dep_1_all.deb").write_bytes(b"")  # not recorded, as after a power failure
    package_manager.download(["x"], {"x": "2", "dep": "1"})
    assert there == [{"y_1_all.deb"}, {"x_2_all.deb", "y_1_all.deb"}]  # first what is new, then what was there
    assert package_files.is_intact(str(x))
    assert not package_files.is_intact(str(y))  # as nobody has downloaded it again


def test_package_files_of_kept_generations_are_the_last_to_be_deleted(
    root: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = run(Programs())
    needed, old, new = (keep(tmp_path, name) for name in ("tool_1_all.deb", "b_1_all.deb", "good_1_all.deb"))
    time.sleep(0.02)  # a tick of the file system's clock
    (tmp_path / "packages/c_1_all.deb").write_bytes(b"12345")  # not recorded, as the agent was killed
    monkeypatch.setattr(package_files, "LIMIT", 14)
    it = machine(root)
    monkeypatch.setattr(type(it.system.packages), "tidy", lambda _, needed: kept.tidy(needed))
    it.store.prepare()
    stage(it, GOOD)
    switch(it, GOOD, META, nonce="n", confirm=False)
    assert old.exists()  # an undo may need it
    decide(it)
    assert commit(it)[1] == ["too many package files were kept; deleted: b_1_all.deb, good_1_all.deb"]
    assert {file.name for file in needed.parent.glob("*.deb")} == {"tool_1_all.deb", "c_1_all.deb"}
    monkeypatch.setattr(package_files, "LIMIT", 4)
    assert kept.tidy([("tool", "1")]) == ["c_1_all.deb", "tool_1_all.deb"]
    assert not new.exists()


def keep(tmp_path: Path, name: str) -> Path:
    """Keep a package file."""
    file = tmp_path / "packages" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"12345")
    package_files.record((".deb",), ())
    return file
