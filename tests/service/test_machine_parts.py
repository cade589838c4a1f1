"""Functions that make parts of a machine of several resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall.service import apt_repository, hosts, locale, mount_unit, nftables_table, time_zone
from rolecall_agent.resources.checks import DefinitionError
from rolecall_agent.unit_types import mount_point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rolecall.service import Resource

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"


def texts(resources: Iterable[Resource]) -> dict[str, str]:
    """Return the public contents of resources by key."""
    return {each.key: b"".join(getattr(part, "data", b"") for part in each.parts).decode() for each in resources}


def test_hosts() -> None:
    block = hosts("peers", {"10.0.0.1": ["db", "db.example"], "fe80::1%eth0": ["x_y"]})
    assert texts([block]) == {"block:/etc/hosts:peers": "10.0.0.1 db db.example\nfe80::1%eth0 x_y\n"}


@pytest.mark.parametrize(
    ("path", "name"),  # as systemd-escape --path prints them
    [
        ("/srv/data", "srv-data.mount"),
        ("/srv/a-b/c d", "srv-a\\x2db-c\\x20d.mount"),
        ("/.hidden/ü", "\\x2ehidden-\\xc3\\xbc.mount"),
    ],
)
def test_names_of_mounts(path: str, name: str) -> None:
    assert mount_unit(path, "/dev/sdb1", type="ext4").name == name
    assert mount_point(name) == path


def test_mounts() -> None:
    unit = mount_unit("/srv/100%", "nas:/x", type="nfs", options=["ro", "_netdev"])
    [text] = texts([unit]).values()
    assert "What=nas:/x\nWhere=/srv/100%%\nType=nfs\nOptions=ro,_netdev\n" in text
    assert "WantedBy=remote-fs.target" in text
    assert unit.enabled
    assert unit.started


def test_a_table_of_nftables() -> None:
    package, table, unit = nftables_table("mine", 'chain a { comment "}" ; } # }')
    name = "table inet mine"
    assert texts([table, unit]) == {
        "nftables-table:inet mine": f'{name}\ndelete {name}\n{name} {{\nchain a {{ comment "}}" ; }} # }}\n}}\n',
        "unit:nftables-inet-mine.service": texts([unit])[unit.key],
    }
    assert "ExecStart=/usr/sbin/nft --file /etc/rolecall/nftables/inet-mine.nft\n" in texts([unit])[unit.key]
    assert package.key == "package:nftables"


def test_a_repository() -> None:
    made = apt_repository("x", uri="https://deb.example/d", suites=["stable"], components=["main"], key=KEY)
    assert [resource.needed_early for resource in made] == [True, True]
    assert texts(made)["file:/etc/apt/sources.list.d/x.sources"].splitlines() == [
        "Types: deb",
        "URIs: https://deb.example/d",
        "Suites: stable",
        "Components: main",
        "Signed-By: /etc/apt/keyrings/x.asc",
    ]


def test_places_and_languages() -> None:
    keys = [each.key for each in time_zone("America/Argentina/Ushuaia")]
    assert keys == ["package:tzdata", "symlink:/etc/localtime", "file:/etc/timezone"]
    assert [each.key for each in locale("C.UTF-8")] == ["file:/etc/default/locale"]
    german = texts(locale("de_DE.UTF-8@euro", language="de:en"))
    assert german["block:/etc/locale.gen:locale"] == "de_DE.UTF-8@euro UTF-8\n"
    assert german["file:/etc/default/locale"] == "LANG=de_DE.UTF-8@euro\nLANGUAGE=de:en\n"
    assert "action:locale de_DE.UTF-8@euro" in german


@pytest.mark.parametrize(
    ("define", "problem"),
    [
        (lambda: hosts("a", {"db": ["x"]}), "'db' is not an IP address"),
        (lambda: hosts("a", {"::1": "x"}), "needs a list of names"),
        (lambda: hosts("a", {"::1": ["x y"]}), "'x y' is not a host name"),
        (lambda: mount_unit("/", "x", type="ext4"), "root directory"),
        (lambda: nftables_table("a", "chain b { } } table ip other {"), "braces in its rules do not match"),
        (lambda: nftables_table("a", "", family="ipx"), "not a family of nftables"),
        (lambda: apt_repository("a", uri="x", suites=["y"], key="abc"), "not an armored key"),
        (lambda: apt_repository("a", uri="x\ny", suites=["y"], key=KEY), "not a single line"),
        (lambda: time_zone("../etc/passwd"), "not allowed"),
        (lambda: locale("de_DE"), "name its character set"),
    ],
)
def test_what_no_machine_would_take(define: Callable[[], object], problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem):
        define()
