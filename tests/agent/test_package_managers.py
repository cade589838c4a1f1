"""What package managers other than apt print, and how it is read."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rolecall_agent.errors import Failure
from rolecall_agent.seam.packages import PackageState
from rolecall_agent.systems import commands, packages
from rolecall_agent.systems.managers import Changes, Manager, apk, apt, dnf, dnf5, pacman, zypper

if TYPE_CHECKING:
    from collections.abc import Sequence

# Printed by dnf 4.14.0, rpm 4.18.0, zypper 1.14.42 and pacman 6.0.2, as Debian 12 has them, for packages of a local
# repository: `app` needs `dep` and version 2 of `lib`; `rival` conflicts with `lib`; the script of `bad` fails.
RPM_QUERY = """\
dep noarch 0:1-1
package nope is not installed
epo noarch 2:1-1
glibc i686 0:2.40-14.fc41
glibc x86_64 0:2.40-14.fc41
gpg-pubkey (none) 0:be1229cf-5631588c
"""
DNF_INSTALL = """\
Last metadata expiration check: 0:00:17 ago on Sun Nov 29 14:03:17 2026.
Dependencies resolved.
================================================================================
 Package         Architecture       Version             Repository         Size
================================================================================
Installing:
 app             noarch             1-1                 local             5.9 k
 epo             noarch             2:1-1               local             5.9 k
Upgrading:
 lib             noarch             2-1                 local             5.9 k
Installing dependencies:
 dep             noarch             1-1                 local             5.9 k

Transaction Summary
================================================================================
Install  3 Packages
Upgrade  1 Package

Total size: 24 k
Operation aborted.
"""
DNF_REMOVE = """\
Dependencies resolved.
================================================================================
 Package         Architecture       Version            Repository          Size
================================================================================
Removing:
 app             noarch             1-1                @local              10  
Removing unused dependencies:
 dep             noarch             1-1                @local               9  

Transaction Summary
================================================================================
Remove  2 Packages

Freed space: 19  
Operation aborted.
"""  # noqa: W291 - as printed
# Shortened from https://github.com/nmilosev/termux-fedora/issues/32: the columns of a long name wrap. The replaced
# package is written as dnf/cli/output.py does.
DNF_WRAPPED = """\
Upgrading:
 qt5-qtconnectivity             x86_64 5.9.4-1.fc26              updates  467 k
     replacing  old-name.x86_64 1.0-1.fc26
 spirv-tools-libs               i686   2018.1-0.2.20180205.git9e19fc0.fc26
                                                                 updates  614 k
Installing weak dependencies:
 python3-numpy-stl              x86_64 2.2.3-1.fc26              fedora    62 k
Removing:
 kernel-devel                   x86_64 4.15.3-200.fc26           @updates  58 M
"""
# Shortened from https://github.com/rpm-software-management/dnf5/issues/1898; the summary as in
# https://github.com/xsuchy/fedora-upgrade/issues/47
DNF5_UPGRADE = """\
Package                      Arch   Version                 Repository      Size
Upgrading:
 efi-filesystem              noarch 5-13.fc41               updates      0.0   B
   replacing efi-filesystem  noarch 5-12.fc41               fedora       0.0   B
 unbound-libs                i686   1.22.0-8.fc41           updates      1.5 MiB
   replacing unbound-libs    i686   1.21.1-1.fc41           fedora       1.5 MiB
 qemu-img                    x86_64 2:9.1.2-1.fc41          updates     22.9 MiB

Transaction Summary:
 Installing:       69 packages
 Upgrading:      4460 packages
Operation aborted by the user.
"""
ZYPPER_INSTALL = """\
<?xml version='1.0'?>
<stream>
<message type="info">Resolving package dependencies...</message>
<install-summary download-size="24221" space-usage-diff="28" packages-to-change="4">
<to-upgrade>
<solvable type="package" name="lib" edition="2-1" arch="noarch" edition-old="1-1" arch-old="noarch" summary="lib">
<description>x</description></solvable>
</to-upgrade>
<to-install>
<solvable type="package" name="app" edition="1-1" arch="noarch" summary="good">
<description>x</description></solvable>
<solvable type="package" name="epo" edition="2:1-1" arch="noarch" summary="epo">
<description>x</description></solvable>
</to-install>
</install-summary>
</stream>
"""
ZYPPER_REMOVE = """\
<to-remove>
<solvable type="package" name="app" edition="1-1" arch="noarch" summary="good">
</to-remove>
"""
ZYPPER_UNKNOWN = """\
<message type="info">&apos;nope&apos; not found in package names. Trying capabilities.</message>
<message type="error">No provider of &apos;nope&apos; found.</message>
"""
ZYPPER_SCRIPT = "warning: %post(bad-1-1.noarch) scriptlet failed, exit status 1"
AUTO_INSTALLED = "# AutoInstalled generated Sun Nov 29 14:04:57 2026\n#\ndep\n#\n"
PACMAN_LOCKED = """\
error: failed to init transaction (unable to lock database)
error: could not lock database: File exists
"""
# Not printed by the real program here. The lines with versions are from https://github.com/ish-app/ish/issues/1232,
# the first error from https://github.com/google/mtail/issues/761; the rest is written as src/print.c and src/commit.c
# of apk-tools do.
APK_STEPS = """\
( 9/10) Upgrading lld (10.0.0-r0 -> 10.0.1-r0)
(10/10) Installing py3-six (1.15.0-r0)
(1/1) Purging pcre (8.44-r0)
OK: 8 MiB in 15 packages
"""
APK_UNKNOWN = """\
ERROR: unable to select packages:
  git (no such package):
    required by: world[git]
"""
APK_WORLD = "alpine-base\nnginx>1.20\nopenssl@edge\npinned=1-r0\n"


def versions(manager: Manager, output: str) -> dict[str, str]:
    return {name: state.version for name, state in manager.states(output).items()}


def test_what_is_installed() -> None:
    installed = {"dep": "1-1", "epo": "2:1-1", "glibc": "2.40-14.fc41", "glibc.i686": "2.40-14.fc41"}
    assert dnf.states(RPM_QUERY) == {name: PackageState("installed", version) for name, version in installed.items()}
    assert versions(pacman, "lib 1-1\nepo 2:1-1\n") == {"lib": "1-1", "epo": "2:1-1"}
    assert versions(apk, "musl-1.2.4-r2\npy3-six-1.15.0-r0\n") == {"musl": "1.2.4-r2", "py3-six": "1.15.0-r0"}


@pytest.mark.parametrize(
    ("manager", "output", "after", "removed"),
    [
        (dnf, DNF_INSTALL, {"app": "1-1", "epo": "2:1-1", "lib": "2-1", "dep": "1-1"}, {}),
        (dnf, DNF_REMOVE, {}, {"app", "dep"}),
        (
            dnf,
            DNF_WRAPPED,
            {
                "qt5-qtconnectivity": "5.9.4-1.fc26",
                "spirv-tools-libs.i686": "2018.1-0.2.20180205.git9e19fc0.fc26",
                "python3-numpy-stl": "2.2.3-1.fc26",
            },
            {"old-name", "kernel-devel"},
        ),
        (
            dnf5,
            DNF5_UPGRADE,
            {"efi-filesystem": "5-13.fc41", "unbound-libs.i686": "1.22.0-8.fc41", "qemu-img": "2:9.1.2-1.fc41"},
            {},
        ),
        (zypper, ZYPPER_INSTALL, {"lib": "2-1", "app": "1-1", "epo": "2:1-1"}, {}),
        (zypper, ZYPPER_REMOVE, {}, {"app"}),
        (pacman, "install dep 1-1\ninstall epo 2:1-1\n", {"dep": "1-1", "epo": "2:1-1"}, {}),
        (pacman, "remove app 1-1\nremove dep 1-1\n", {}, {"app", "dep"}),
        (apk, APK_STEPS, {"lld": "10.0.1-r0", "py3-six": "1.15.0-r0"}, {"pcre"}),
    ],
)
def test_what_would_change(manager: Manager, output: str, after: dict[str, str], removed: set[str]) -> None:
    assert manager.changes(output) == Changes(after, frozenset(removed))


@pytest.mark.parametrize(
    ("manager", "output", "manual"),
    [
        (dnf, "app lib sh ", {"app", "lib"}),
        (zypper, AUTO_INSTALLED, {"app", "lib"}),
        (pacman, "app\nlib\n", {"app", "lib"}),
        (apk, APK_WORLD.replace("pinned", "app"), {"app"}),
        (apk, APK_WORLD.replace("nginx", "lib").replace("openssl", "app"), {"app", "lib"}),
        (apt, "app\n", {"app"}),
    ],
)
def test_what_a_person_wants(manager: Manager, output: str, manual: set[str]) -> None:
    assert manager.manual(["app", "dep", "lib"], output) == manual


@pytest.mark.parametrize(
    ("manager", "status", "output", "error"),
    [
        (dnf, 1, DNF_INSTALL, None),
        (dnf5, 1, DNF5_UPGRADE, None),
        (dnf, 0, "Dependencies resolved.\nNothing to do.\nComplete!\n", None),
        (dnf, 1, "No match for argument: nope\nError: Unable to find a match: nope\n", "No match for argument: nope"),
        (dnf, 1, "Error: \n Problem: conflicting requests\n", "Problem: conflicting requests"),
        (dnf, 0, "Error in POSTIN scriptlet in rpm package bad\n", "Error in POSTIN scriptlet in rpm package bad"),
        (dnf5, 1, "Operation aborted. Pass --setopt=usr_drift_protected_paths= to override\n", ""),
        (zypper, 0, ZYPPER_INSTALL, None),
        (zypper, 103, "", None),
        (zypper, 104, ZYPPER_UNKNOWN, "No provider of 'nope' found."),
        (zypper, 107, f"Additional rpm output:\n{ZYPPER_SCRIPT}\n", ZYPPER_SCRIPT),
        (
            zypper,
            4,
            "<description>Problem: app-1-1.noarch requires lib &gt;= 2, but this requirement cannot be provided\n",
            "Problem: app-1-1.noarch requires lib >= 2, but this requirement cannot be provided",
        ),
        (zypper, 8, "error: pre-1-1.noarch: install failed\n", "error: pre-1-1.noarch: install failed"),
        (pacman, 0, "install good 1-1\n", None),
        (pacman, 1, "error: target not found: nope\n", "error: target not found: nope"),
        (
            pacman,
            0,
            "installing bad...\nerror: command failed to execute correctly\n",
            "error: command failed to execute correctly",
        ),
        (apk, 0, APK_STEPS, None),
        (apk, 1, APK_UNKNOWN, "ERROR: unable to select packages:"),
    ],
)
def test_whether_a_command_did_what_it_should(manager: Manager, status: int, output: str, error: str | None) -> None:
    assert manager.succeeded(status, output) is (error is None)
    assert manager.error(output) == (error or "")


@pytest.mark.parametrize(
    ("manager", "output"),
    [
        (dnf, "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)"),
        (zypper, "System management is locked by the application with pid 812 (zypper)."),
        (pacman, PACMAN_LOCKED),
        (apk, "ERROR: Unable to lock database: Resource temporarily unavailable"),
    ],
)
def test_whether_another_command_is_at_work(manager: Manager, output: str) -> None:
    assert manager.is_locked(output)
    assert not manager.is_locked("")


def test_names_of_package_files() -> None:
    assert dnf.file_name("epo", "2:1-1") == zypper.file_name("epo", "2:1-1") == "epo-1-1."  # epo-1-1.noarch.rpm
    assert pacman.file_name("epo", "2:1-1") == "epo-2:1-1-"  # epo-2:1-1-any.pkg.tar.zst
    assert apk.file_name("musl", "1.2.4-r2") == "musl-1.2.4-r2."


def test_files_of_versions_that_only_pacman_still_has() -> None:
    find = " ".join(pacman.download_again(["lib=1-1", "epo=2:1-1"], "/f") or [])
    assert "( -name lib-1-1-*.pkg.tar.* -o -name epo-2:1-1-*.pkg.tar.* ) ! -name *.sig" in find


def test_configuration_files_of_package_files() -> None:
    assert dnf.conffiles("/etc/app.conf\n") == zypper.conffiles("/etc/app.conf\n") == ["/etc/app.conf"]
    assert dnf.conffiles("(contains no files)\n") == []
    assert {*map(len, (each.data("/srv/x") for each in (dnf, dnf5, zypper, pacman, apk)))} == {0}
    assert pacman.conffiles("pkgname = app\nbackup = etc/app.conf\nsize = 10\n") == ["/etc/app.conf"]
    assert apt.conffiles("/etc/a.conf\nremove-on-upgrade /etc/b.conf\n/etc/c d\n") == ["/etc/a.conf", "/etc/c d"]
    assert apt.conffiles("dpkg-deb: error: 'x.deb' contains no control component 'conffiles'\n") == []


def test_what_a_manager_cannot_do() -> None:
    for manager in (dnf, dnf5, zypper, pacman, apk):
        assert manager.purge(["x"]) is manager.configure(["x"]) is manager.repair("dpkg was interrupted") is None
    assert zypper.mark(["x"], manual=True) is None
    assert apk.download(["x"], "/f") is apk.download_again(["x"], "/f") is None
    assert apk.query_conffiles("/f/x") is None
    assert (dnf.mark(["x"], manual=True) or [])[-2:] == ["install", "x"]
    assert (dnf5.mark(["x"], manual=False) or [])[-2:] == ["dependency", "x"]


def test_only_the_manager_that_is_installed_is_imported() -> None:
    code = "import sys, rolecall_agent.__main__, rolecall_agent.systems.real; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "rolecall_agent.systems.packages" in loaded
    assert not [name for name in loaded if name.startswith("rolecall_agent.systems.managers")]
    every: tuple[Manager, ...] = (apt, dnf5, dnf, zypper, pacman, apk)
    assert [each.__name__.rpartition(".")[2] for each in every] == [*packages.MANAGERS.values()]  # type: ignore[attr-defined]


def test_the_first_manager_that_is_installed_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(*installed: str) -> str:
        ran: list[str] = []

        def run(argv: Sequence[str], *_: object, **__: object) -> tuple[int, str]:
            ran.extend(argv)
            return 1, ""

        monkeypatch.setattr(commands, "is_installed", installed.__contains__)
        monkeypatch.setattr(commands, "execute", run)
        monkeypatch.setattr(commands, "run", run)
        with pytest.raises(Failure):
            packages.DistributionPackages(run, lambda: {"ID": "mine"}, lambda: None).preview(
                ["x"], sources_change=False
            )
        return ran[0] if ran else ""

    assert chosen("dnf", "apt-get", "pacman") == "apt-get"
    assert chosen("dnf", "zypper") == "dnf"
    assert chosen("apk") == "apk"
    assert chosen() == ""
