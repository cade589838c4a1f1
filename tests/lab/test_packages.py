"""Packages on a real machine, from a repository of its own, whose packages fail, take long, and need each other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Desk

SERVICE, MODULE = "wanted", "wanted"


# Builds packages into a repository, and serves it: NAME VERSION, then lines of `control`, then scripts.
REPOSITORY = r"""
cd /srv/repository
package() {
    mkdir -p tree/DEBIAN tree/etc
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody\nDescription: %s\n' "$1" "$2" "$1" \
        >tree/DEBIAN/control
    [ -z "$3" ] || echo "$3" >>tree/DEBIAN/control
    echo "of $1 $2" >tree/etc/$1.conf
    echo "/etc/$1.conf" >tree/DEBIAN/conffiles
    [ -z "$4" ] || { printf '#!/bin/sh\n%s\n' "$4" >tree/DEBIAN/postinst; chmod +x tree/DEBIAN/postinst; }
    [ -z "$5" ] || { printf '#!/bin/sh\n%s\n' "$5" >tree/DEBIAN/postrm; chmod +x tree/DEBIAN/postrm; }
    file=$1_$2_all.deb
    dpkg-deb --root-owner-group --build tree $file >/dev/null
    { cat tree/DEBIAN/control; echo "Filename: $file"; stat -c 'Size: %s' $file
      echo "SHA256: $(sha256sum $file | cut -d' ' -f1)"; echo; } >>Packages
    rm -r tree
}
"""
PACKAGES = r"""
package dep 1
package good 1 'Depends: dep, tool'
package tool 1
package broken 1 'Depends: dep' 'exit 1'
package slow 1 'Depends: dep' 'while [ -e /run/hold ]; do echo >/run/held; sleep 0.1; done'
package stuck 1 'Depends: dep' '' 'while [ -e /run/hold ]; do echo >/run/held; sleep 0.1; done'
package left 1 'Depends: right'
package right 1 'Depends: left'
package common 1
package light 1 'Depends: common, meta'
package meta 1 'Depends: light'
package persons 1 'Depends: dep'
package lib 1
package rival 1 'Conflicts: lib'
package data 1 'Depends: dep' 'chmod 600 /etc/data.conf' '[ $1 != purge ] || rm -rf /srv/data'
"""
SECOND = r"""
package lib 2
package app 1 'Depends: lib (>= 2)'
"""
SETUP = """
mkdir -p /srv/repository
mv /etc/apt/sources.list /etc/apt/sources.list.d /root/
mkdir /etc/apt/sources.list.d
echo 'deb [trusted=yes] http://127.0.0.1:8000/ ./' >/etc/apt/sources.list
echo 'Acquire::http::Proxy::127.0.0.1 "DIRECT";' >/etc/apt/apt.conf.d/99local
systemd-run --quiet --working-directory=/srv/repository python3 -m http.server 8000 --bind 127.0.0.1
"""
STATE = """
dpkg-query -W -f '${binary:Package} ${db:Status-Abbrev} ${Version}\\n'
apt-mark showmanual; dpkg --audit; ls /etc/*.conf /var/lib/dpkg/updates
"""
LOOK = "stat -c '%n %U:%G %a %y' /etc/data.conf*; cat /etc/data.conf; ls -d /srv/data; ls /etc/dep.conf || true"
TIDY = """
rm -f /run/hold; apt-get -qq update
apt-get -qq purge persons
dpkg-query -W -f '${Package} ${db:Status-Status}\\n' | sed -n 's/ config-files//p' | xargs -r dpkg --purge
"""


@pytest.fixture(scope="module")
def office(office: Desk) -> Desk:
    office.on("jon", SETUP + REPOSITORY + PACKAGES)
    return office


@pytest.fixture
def desk(office: Desk) -> Iterator[Desk]:
    """A machine for which nothing is declared, and that has what it had before the test."""
    before = state(office)
    yield office
    declare(office)
    office.rolecall("update", "--yes")
    office.on("jon", TIDY)
    assert state(office) == before


def declare(desk: Desk, *packages: str, purge: tuple[str, ...] = (), works: bool = True, **files: str) -> None:
    settings = {"packages": packages, "purge": purge, "works": works, "files": files}
    wanted = {"module": {"name": MODULE, "input": "self"}}
    desk.write(
        machines={"jon": {}},
        instances={"wanted": {**wanted, "roles": {"node": {"settings": settings, "machines": {"jon": {}}}}}}
        if packages or files
        else {},
    )


def state(desk: Desk) -> str:
    return desk.on("jon", STATE)


def installed(desk: Desk) -> dict[str, str]:
    """Return the versions of what the repository has, as far as it is installed."""
    shown = desk.on("jon", "dpkg-query -W -f '${Package} ${db:Status-Status} ${Version} ${Maintainer}\\n'")
    lines = [line.split(" ", 3) for line in shown.splitlines()]
    return {name: version for name, status, version, by in lines if status == "installed" and by == "nobody"}


def test_versions_are_planned_and_dependencies_come_and_go(desk: Desk) -> None:
    declare(desk, "good")
    desk.on("jon", "rm -rf /var/lib/apt/lists/*")  # as on a new machine
    planned = desk.rolecall("plan").stdout
    assert "+ package good" in planned
    assert "1; with 2 other packages: dep 1, tool 1" in planned
    assert installed(desk) == {}
    desk.rolecall("update", "--yes")
    assert installed(desk) == {"dep": "1", "good": "1", "tool": "1"}
    assert "good\n" in desk.on("jon", "apt-mark showmanual dep good tool")
    assert desk.on("jon", "apt-mark showauto dep good tool") == "dep\ntool\n"
    assert "nothing changes" in desk.rolecall("plan").stdout
    desk.on("jon", "apt-get -qq install persons; apt-mark -qq manual tool")
    declare(desk)
    assert "its configuration files are kept" in desk.rolecall("plan").stdout
    updated = desk.rolecall("update", "--yes").stdout
    assert "package good was removed; its configuration files were kept" in updated
    assert installed(desk) == {"dep": "1", "persons": "1", "tool": "1"}
    desk.on("jon", "apt-get -qq purge tool dep")


def test_packages_that_need_each_other_are_removed_as_one_set(desk: Desk) -> None:
    before = state(desk)
    every = ("common", "left", "light", "right")
    declare(desk, *every, purge=every)
    desk.rolecall("update", "--yes")
    assert installed(desk).keys() == {*every, "meta"}
    declare(desk)
    assert "with 1 other package: meta" in desk.rolecall("plan").stdout
    desk.rolecall("update", "--yes")
    assert state(desk) == before


def test_a_package_that_a_persons_package_needs_is_kept(desk: Desk) -> None:
    declare(desk, "dep", "good")
    desk.rolecall("update", "--yes")
    desk.on("jon", "apt-get -qq install persons")
    declare(desk)
    assert "it is kept: persons would be removed with it" in desk.rolecall("plan").stdout
    assert "package dep was kept: persons would be removed with it" in desk.rolecall("update", "--yes").stdout
    assert installed(desk) == {"dep": "1", "persons": "1"}
    desk.on("jon", "apt-get -qq purge dep")


@pytest.mark.parametrize("works", [True, False], ids=["a package that fails", "a check that fails"])
def test_a_failed_switch_leaves_no_package(desk: Desk, *, works: bool) -> None:
    before = state(desk)
    declare(desk, "good", *(["broken"] if works else []), works=works)
    failed = desk.rolecall("update", "--yes", status=1).stdout
    assert "failed; every machine is as it was before" in failed
    assert ("cannot install packages: broken good" in failed) is works
    assert state(desk) == before
    declare(desk, "tool")
    desk.rolecall("update", "--yes")
    assert installed(desk) == {"tool": "1"}


def test_an_agent_that_is_killed_during_an_installation(desk: Desk) -> None:
    before = state(desk)
    declare(desk, "slow")
    desk.on("jon", "rm -f /run/held; touch /run/hold")
    update = desk.begin("update", "--yes")
    desk.on("jon", "timeout 60 sh -c 'until [ -e /run/held ]; do sleep 0.1; done'")
    assert state(desk) != before
    desk.on("jon", "systemctl kill --signal=KILL --kill-whom=main 'rolecall-agent-*.service'; sleep 0.5; rm /run/hold")
    output, _ = update.communicate(timeout=120)
    assert "every machine is as it was before" in output
    assert state(desk) == before
    time.sleep(1)
    assert state(desk) == before


def test_an_agent_that_is_killed_during_a_removal(desk: Desk) -> None:
    before = state(desk)
    declare(desk, "stuck", purge=("stuck",))
    desk.rolecall("update", "--yes")
    declare(desk)
    desk.on("jon", "rm -f /run/held; touch /run/hold")
    update = desk.begin("update", "--yes")
    desk.on("jon", "timeout 60 sh -c 'until [ -e /run/held ]; do sleep 0.1; done'")
    desk.on("jon", "systemctl kill --signal=KILL 'rolecall-agent-*.service'; sleep 0.5; rm /run/hold")
    update.communicate(timeout=120)
    desk.rolecall("update", "--yes")
    assert state(desk) == before


def test_an_undo_keeps_a_persons_file_and_data(desk: Desk) -> None:
    desk.on("jon", "mkdir /srv/data; echo mine >/etc/data.conf; chmod 640 /etc/data.conf; chgrp adm /etc/data.conf")
    before = desk.on("jon", LOOK)
    declare(desk, "data", works=False)
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert desk.on("jon", LOOK) == before
    assert installed(desk) == {}
    declare(desk, "data")
    desk.rolecall("update", "--yes")
    assert installed(desk) == {"data": "1", "dep": "1"}
    assert desk.on("jon", "cat /etc/data.conf") == "mine\n"


@pytest.mark.parametrize("kept", ["/srv/data/file", "/etc/data.conf.bak"])
def test_an_undo_keeps_what_only_a_purge_would_delete(desk: Desk, kept: str) -> None:
    desk.on("jon", 'mkdir -p "${1%/*}"; echo mine >"$1"', kept)
    declare(desk, "data", works=False)
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert desk.on("jon", 'cat "$1"', kept) == "mine\n"
    assert desk.on("jon", "find /etc -name 'data.conf*' ! -name '*.bak'") == ""
    assert installed(desk) == {}


def test_a_broken_package_is_drift(desk: Desk) -> None:
    declare(desk, "good")
    desk.rolecall("update", "--yes")
    desk.on("jon", "dpkg --unpack /srv/repository/good_1_all.deb")
    assert "unpacked" in desk.rolecall("plan").stdout
    desk.rolecall("update", "--yes")
    assert installed(desk)["good"] == "1"


def test_an_update_waits_for_the_lists_and_says_why_they_cannot_be_had(desk: Desk) -> None:
    declare(desk, "tool")
    hold = "import fcntl,time; f=open('/var/lib/apt/lists/lock','a'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(8)"
    desk.on("jon", "find /var/lib/apt/lists -type f ! -name lock -delete")
    desk.on("jon", 'systemd-run --quiet python3 -c "$1"', hold)
    desk.rolecall("update", "--yes")
    assert installed(desk) == {"tool": "1"}
    desk.on("jon", "mv /srv/repository/Packages /srv/repository/kept")
    desk.on("jon", "find /var/lib/apt/lists -type f ! -name lock -delete")
    declare(desk, "tool", "good")
    failed = desk.rolecall("update", "--yes", status=1)
    desk.on("jon", "mv /srv/repository/kept /srv/repository/Packages")
    assert "127.0.0.1:8000" in failed.stdout + failed.stderr
    assert "404" in failed.stdout + failed.stderr


def test_packages_that_would_remove_others_are_refused(desk: Desk) -> None:
    desk.on("jon", "apt-get -qq install lib")
    declare(desk, "rival")
    refused = desk.rolecall("plan", status=1)
    assert "lib would be removed" in refused.stdout + refused.stderr
    assert installed(desk) == {"lib": "1"}
    desk.on("jon", "apt-get -qq purge lib")


def test_the_undo_of_an_upgrade_brings_the_earlier_version_back(desk: Desk) -> None:
    desk.on("jon", "apt-get -qq install lib; apt-mark -qq auto lib")
    before = state(desk)
    desk.on("jon", REPOSITORY + SECOND)  # apt does not know these until it must
    declare(desk, "app")
    assert "with 1 other package: lib 1 → 2" in desk.rolecall("plan").stdout
    declare(desk, "app", works=False)
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert state(desk) == before
    declare(desk, "app")
    desk.rolecall("update", "--yes")
    assert installed(desk) == {"app": "1", "lib": "2"}
    declare(desk)
    desk.rolecall("update", "--yes")
    assert installed(desk) == {"lib": "2"}
    desk.on("jon", "apt-get -qq purge lib")


def test_a_source_that_comes_with_the_same_update(desk: Desk) -> None:
    moved = "deb [trusted=yes] http://127.0.0.1:8000/ ./\n"
    desk.on("jon", "mv /etc/apt/sources.list /etc/apt/kept; rm -rf /var/lib/apt/lists/*")
    declare(desk, "tool", **{"/etc/apt/sources.list.d/extra.list": moved})
    assert "version not known before its source is added" in desk.rolecall("plan").stdout
    desk.rolecall("update", "--yes")
    assert installed(desk) == {"tool": "1"}
    desk.on("jon", "mv /etc/apt/kept /etc/apt/sources.list")
