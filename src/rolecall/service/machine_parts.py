"""Parts of a machine that several resources make together; write ``yield from`` before those that return a list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rolecall.model.addresses import is_host_address, is_ip
from rolecall_agent.resources import Action, Block, File, NftablesTable, Package, Symlink, Unit
from rolecall_agent.resources.checks import absolute_path, matching, require, single_line
from rolecall_agent.resources.unit import unit_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall_agent.resources import Resource

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*)*\Z")
_LOCALE = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z0-9-]+)?(?:@[a-z]+)?\Z")
_NETWORK_FILE_SYSTEMS = re.compile(r"(nfs4?|cifs|smb3|ceph|glusterfs|fuse\.sshfs|9p)\Z")

# Not with locale-gen, which generates what /etc/locale.gen has now: an undo restores that only later.
_IS_GENERATED = 'locale -a | grep -qxF -- "$4"'
_GENERATE_LOCALE = (
    f'{_IS_GENERATED} || localedef -c -i "$1" -f "$2" -A /usr/share/locale/locale.alias "$3" || {_IS_GENERATED}'
)
_REMOVE_LOCALE = (
    'sed "/BEGIN Rolecall locale$/,/END Rolecall locale$/d" /etc/locale.gen | grep -qxF -- "$3 $2" || '
    f'localedef --delete-from-archive "$4" || ! {_IS_GENERATED}'
)


def hosts(name: str, entries: Mapping[str, Sequence[str]]) -> Block:
    """Return lines in /etc/hosts: host names by address.

    Args:
        name: Name of the lines among all in the file, such as ``me.name("peers")``.
        entries: Host names by IP address.
    """
    lines = []
    for address, names in entries.items():
        require(is_ip(address), f"hosts {name}: {address!r} is not an IP address")
        require(not isinstance(names, str) and names, f"hosts {name}: {address} needs a list of names")
        for each in names:
            require(is_host_address(each) and not is_ip(each), f"hosts {name}: {each!r} is not a host name")
        lines.append(" ".join([address, *names]))
    return Block("/etc/hosts", name, "".join(f"{line}\n" for line in lines))


def mount_unit(path: str, source: str, *, type: str, options: Sequence[str] = ()) -> Unit:  # noqa: A002 - as in fstab
    """Return the unit that mounts a file system, now and at each boot.

    When its options alone change, it is remounted.

    Args:
        path: Where it is mounted; created if missing.
        source: What is mounted: a device, ``UUID=…``, ``SERVER:/PATH``.
        type: The file system, such as ``ext4``, ``nfs`` or ``tmpfs``.
        options: Options of mount(8).
    """
    absolute_path(path, "mount")
    require(path != "/", "mount /: the root directory cannot be mounted")
    network = "_netdev" in options or bool(_NETWORK_FILE_SYSTEMS.match(type))
    mount: dict[str, str | Sequence[str]] = {"What": _specifier(source), "Where": _specifier(path), "Type": type}
    if options:
        mount["Options"] = _specifier(",".join(options))
    sections: dict[str, Mapping[str, str | Sequence[str]]] = {
        "Unit": {"Description": f"Mount of {_specifier(path)}"},
        "Mount": mount,
        "Install": {"WantedBy": "remote-fs.target" if network else "local-fs.target"},
    }
    return Unit(f"{_escaped(path)}.mount", unit_text(sections), enabled=True, started=True)


def nftables_table(name: str, rules: str, *, family: str = "inet") -> list[Resource]:
    """Return a table of nftables: loaded now as one change, and at each boot before the network; other tables stay.

    Args:
        name: Name of the table.
        rules: What is in it: chains, sets, maps, as nft(8) writes them between the braces.
        family: Its family.
    """
    table = NftablesTable(name, rules, family)
    load = f"/usr/sbin/nft --file {table.file.path}"
    sections: dict[str, Mapping[str, str | Sequence[str]]] = {
        "Unit": {
            "Description": f"nftables table {table.subject}",
            "DefaultDependencies": "no",
            # That unit loads the rules of a person, which often begin with `flush ruleset`.
            "After": "nftables.service",
            "PartOf": "nftables.service",
            "Before": "network-pre.target shutdown.target",
            "Wants": "network-pre.target",
            "Conflicts": "shutdown.target",
        },
        "Service": {
            "Type": "oneshot",
            "RemainAfterExit": "yes",
            "ExecStart": load,
            "ExecStop": f"-/usr/sbin/nft delete table {table.subject}",
        },
        "Install": {"WantedBy": "sysinit.target"},
    }
    unit = Unit(f"nftables-{family}-{name}.service", unit_text(sections), enabled=True, started=True)
    return [Package("nftables"), table, unit]


def apt_repository(
    name: str,
    *,
    uri: str,
    suites: Sequence[str],
    key: str,
    components: Sequence[str] = (),
    architectures: Sequence[str] = (),
) -> list[Resource]:
    """Return a package repository with its key, for Debian and its relatives; there before packages are installed.

    Args:
        name: Name of its files.
        uri: Where it is.
        suites: Such as ``["bookworm"]``, or a path that ends with a slash.
        key: The key that signs it: the text that begins with ``-----BEGIN PGP PUBLIC KEY BLOCK-----``.
        components: Such as ``["main"]``.
        architectures: Such as ``["amd64"]``; by default those of the machine.
    """
    what = f"repository {name}"
    matching(_NAME, name, "repository")
    require(key.lstrip().startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----"), f"{what}: the key is not an armored key")
    key_file = File(f"/etc/apt/keyrings/{name}.asc", key, needed_for="packages")
    fields = {
        "Types": "deb",
        "URIs": uri,
        "Suites": " ".join(suites),
        "Components": " ".join(components),
        "Architectures": " ".join(architectures),
        "Signed-By": key_file.path,
    }
    require(suites, f"{what}: it needs a suite")
    lines = [f"{field}: {single_line(value, what)}\n" for field, value in fields.items() if value]
    return [key_file, File(f"/etc/apt/sources.list.d/{name}.sources", "".join(lines), needed_for="packages")]


def time_zone(name: str) -> list[Resource]:
    """Return the time zone of a machine, such as ``Europe/Berlin``; programs take it when they start."""
    matching(_ZONE, name, "time zone")
    link = Symlink("/etc/localtime", f"/usr/share/zoneinfo/{name}", needs_target=True)
    return [Package("tzdata"), link, File("/etc/timezone", f"{name}\n")]  # which older programs of Debian read


def locale(name: str, *, language: str = "") -> list[Resource]:
    """Return the locale of a Debian machine, generated unless it is one of the C library; for logins and services.

    Args:
        name: Such as ``de_DE.UTF-8`` or ``C.UTF-8``.
        language: Priority list of languages, such as ``de:en``.
    """
    matching(_LOCALE, name, "locale")
    text = f"LANG={name}\n" + (f"LANGUAGE={single_line(language, 'locale')}\n" if language else "")
    file = File("/etc/default/locale", text)
    if name in {"C", "POSIX", "C.UTF-8"}:
        return [file]
    charset = name.partition("@")[0].partition(".")[2]
    require(charset, f"locale {name}: name its character set, as in {name}.UTF-8")
    line = Block("/etc/locale.gen", "locale", f"{name} {charset}")  # for upgrades, which generate all again
    source = name.replace(f".{charset}", "")
    listed = name.replace(charset, re.sub("[^a-z0-9]", "", charset.lower()))  # as `locale -a` does
    words = ("sh", source, charset, name, listed)
    undo = ("sh", "-c", _REMOVE_LOCALE, *words)
    return [Package("locales"), line, Action(f"locale {name}", ("sh", "-c", _GENERATE_LOCALE, *words), (), undo), file]


def _escaped(path: str) -> str:
    """Return a path as the name of a unit. Source: systemd.unit(5), STRING ESCAPING FOR INCLUSION IN UNIT NAMES."""
    raw = path.strip("/").encode()
    plain = re.compile(rb"[A-Za-z0-9:_.]")
    one_by_one = (raw[index : index + 1] for index in range(len(raw)))
    escaped = "".join(
        "-" if byte == b"/" else byte.decode() if plain.match(byte) else f"\\x{byte[0]:02x}" for byte in one_by_one
    )
    return f"\\x2e{escaped[1:]}" if escaped.startswith(".") else escaped


def _specifier(text: str) -> str:
    return text.replace("%", "%%")
