"""The root file system that all machines share, built once and cached under a hash of its recipe."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rolecall.errors import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

GATEWAY = "10.77.0.1"
"""The lab's own address in the machines' network; the same in every lab, since their networks are separate."""
PROXY_PORT = 3128

_PACKAGES = (
    "systemd systemd-sysv dbus libpam-systemd openssh-server python3 iproute2 iputils-ping sudo nftables "
    "procps kmod netbase ca-certificates curl less wireguard-tools wireguard-go"
)
# Packages of these that a release does not have.
_LACKING = {"bullseye": {"wireguard-go"}}
_WITHOUT_UPDATES = {"sid", "unstable"}

# Runs in the new root. Keeps the package lists, so that `apt-get install` works in a fresh machine at once. The mirror
# may be old, since nothing else can reach the machines.
_PREPARE = f"""
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive
apt-get update -qq -o Acquire::Check-Valid-Until=false
apt-get clean
systemctl enable --quiet ssh systemd-networkd
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \\
    e2scrub_all.timer e2scrub_reap.service \\
    console-getty.service systemd-networkd-wait-online.service getty.target
useradd --create-home --shell /bin/bash --groups sudo admin
echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin
echo 'HostKey /etc/ssh/ssh_host_ed25519_key' > /etc/ssh/sshd_config.d/lab.conf
printf 'Acquire::http::Proxy "http://{GATEWAY}:{PROXY_PORT}";\\nAPT::Periodic::Enable "0";
APT::Keep-Downloaded-Packages "false"; Acquire::Check-Valid-Until "false";\\n' > /etc/apt/apt.conf.d/00lab
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/lab
rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/lib/dbus/machine-id /etc/resolv.conf
touch /etc/resolv.conf /etc/default/locale /etc/.updated /var/.updated
apt-cache gencaches -q
"""


@dataclass(frozen=True, slots=True)
class Source:
    """One Debian package source of this computer.

    Attributes:
        uri: Where the mirror is, ``http`` or ``https``, without a slash at its end.
        suite: E.g. ``bookworm-updates``.
        components: E.g. ``("main",)``.
    """

    uri: str
    suite: str
    components: tuple[str, ...]

    @property
    def plain(self) -> str:
        """The address that machines use: always plain http, so that the proxy can cache what passes."""
        return self.uri.replace("https://", "http://", 1)

    def __str__(self) -> str:
        """Return the line of a machine's ``sources.list``."""
        return f"deb {self.plain} {self.suite} {' '.join(self.components)}"


def cache() -> Path:
    """Return the folder of bases and packages: ``$ROLECALL_CACHE``, else ``rolecall`` in XDG's cache directory."""
    if own := os.environ.get("ROLECALL_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "rolecall"


def codename(os_release: Path = Path("/etc/os-release")) -> str:
    """Return this Debian's name, e.g. ``bookworm``, which machines run too by default."""
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)', os_release.read_text(), re.MULTILINE)
    return match[1] if match else "bookworm"


def sources(apt: Path = Path("/etc/apt"), *, suite: str, own: str = "") -> list[Source]:
    """Return this computer's Debian sources of one release, its updates and its security fixes.

    A release that they do not have is taken from the same mirrors as the release of this computer.

    Args:
        apt: The directory of apt's configuration; both of its formats (sources.list(5)) are read.
        suite: The release, e.g. ``bookworm``. Other vendors' sources have other suites and are left out.
        own: The release of this computer.

    Raises:
        Faults: No source has that release, nor that of this computer.
    """
    every: dict[Source, None] = {}
    for file in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if (read := {".list": _lines, ".sources": _stanzas}.get(file.suffix)) and file.is_file():
            every |= dict.fromkeys(read(file.read_text()))
    kinds = ("",) if suite in _WITHOUT_UPDATES else ("", "-updates", "-security")
    for known in (suite, own):
        matching = [source for kind in kinds for source in every if source.suite == known + kind]
        if any(source.suite == known for source in matching):
            return [replace(each, suite=suite + each.suite.removeprefix(known)) for each in matching]
    raise fault(
        f"the apt sources of this computer have no {suite}",
        hint=f"the lab builds its machines from the Debian mirror in {apt}; use an http or https source",
    )


def _lines(text: str) -> Iterator[Source]:
    """Read the one-line format: ``deb [option=value …] URI SUITE COMPONENT…``."""
    for uri, suite, components in re.findall(
        r"^\s*deb\s+(?:\[[^\]]*\]\s*)?(https?://\S+?)/?\s+(\S+)\s+([^#\n]+)", text, re.MULTILINE
    ):
        yield Source(uri, suite, tuple(components.split()))


def _stanzas(text: str) -> Iterator[Source]:
    """Read the deb822 format: paragraphs of ``Field: values``, where indented lines continue a field."""
    text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        pairs = re.findall(r"^([A-Za-z0-9-]+):((?:.*)(?:\n[ \t]+.*)*)", paragraph, re.MULTILINE)
        fields = {name.lower(): value.split() for name, value in pairs}
        if "deb" not in fields.get("types", ()) or fields.get("enabled") == ["no"]:
            continue
        for uri in fields.get("uris", ()):
            for suite in fields.get("suites", ()):
                if uri.startswith(("http://", "https://")):
                    yield Source(uri.rstrip("/"), suite, tuple(fields.get("components", ())))


def bases(releases: Iterable[str], progress: Callable[[str], None]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the base of each release, built if there is none, and the mirrors that machines with these may use.

    Args:
        releases: E.g. ``trixie``.
        progress: As for `build`.

    Returns:
        Directories by release; real prefixes of addresses by the prefix that machines use.

    Raises:
        Faults: As `sources` and `build`.
    """
    found: dict[str, str] = {}
    mirrors: dict[str, str] = {}
    for release in sorted(releases):
        known = sources(suite=release, own=codename())
        found[release] = str(build(release, known, progress))
        mirrors |= {source.plain: source.uri for source in known}
    return found, mirrors


def build(suite: str, mirrors: list[Source], progress: Callable[[str], None]) -> Path:
    """Return the base's directory, after building it if it does not exist, which takes about a minute.

    Args:
        suite: The release, e.g. ``bookworm``.
        mirrors: Its `sources`.
        progress: Called with a few words on how far the build is.

    Raises:
        Faults: When debootstrap does not know the release, or fails; the hint names its log.
    """
    if not Path(f"/usr/share/debootstrap/scripts/{suite}").exists():
        raise fault(f"{suite!r} is not a release of Debian", hint="use a name such as `trixie`")
    recipe = "\n".join([_PACKAGES, _PREPARE, *map(str, mirrors)])
    base = cache() / "lab" / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if base.is_dir():
        return base
    base.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with base.with_suffix(".lock").open("w") as lock:
        progress("base system: waiting for another build")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not base.is_dir():
            _debootstrap(base, suite, mirrors, lock, progress)
    return base


def _debootstrap(base: Path, suite: str, mirrors: list[Source], lock: IO[str], progress: Callable[[str], None]) -> None:
    """Build the base in a temporary folder, and rename it when it is complete."""
    new = base.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    mirror = next(source.uri for source in mirrors if source.suite == suite)
    include = "--include=" + ",".join(name for name in _PACKAGES.split() if name not in _LACKING.get(suite, ()))
    with base.with_suffix(".log").open("w") as log:
        _step(["debootstrap", "--variant=minbase", include, suite, str(new), mirror], lock, log, progress)
        (new / "etc/apt/sources.list").write_text("".join(f"{source}\n" for source in mirrors))
        shutil.copy("/etc/resolv.conf", new / "etc/resolv.conf")
        _step(["chroot", str(new), "sh", "-ec", _PREPARE], lock, log, progress)
    new.rename(base)


def _step(argv: list[str], lock: IO[str], log: IO[str], progress: Callable[[str], None]) -> None:
    """Run one command of the build.

    It runs in namespaces of its own, so that its mounts end with it. It holds the lock, so that no other build starts
    if this process is killed and the command continues.
    """
    last: deque[str] = deque(maxlen=3)
    with subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        umask=0o022,
        pass_fds=(lock.fileno(),),
    ) as running:
        for number, line in enumerate(running.stdout or ()):
            log.write(line)
            last.append(line.strip())
            if number % 25 == 0:
                progress(f"base system, built once: {line.removeprefix('I: ').strip()[:70]}")
    if running.returncode:
        raise fault(
            f"the base system of the lab could not be built: {argv[0]}: {' / '.join(last)}",
            hint=f"see {log.name}; the lab needs this computer's Debian mirror once",
        )
