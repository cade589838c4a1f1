"""Prepare a freshly installed machine for Rolecall, with ssh(1) and a shell alone, since it may lack Python."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rolecall.deploy import pins
from rolecall.deploy.connection import ssh_problem
from rolecall.errors import fault, printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rolecall.deploy.target import Target

_LOGIN = 120.0  # seconds to log in; a user may have to type a password
_PUBLIC_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*)(?: [^\n]*)?\s*\Z")
_BEGIN = "ROLECALL-BEGINS"  # before it, a login shell may print anything
_NEED = "Rolecall needs systemd, Python 3.9 or newer, and a login as root or as a user who may use sudo"

# Prints what a machine is like, a line NAME=VALUE each.
_LOOK = f"""
LC_ALL=C; export LC_ALL
echo {_BEGIN}
echo "user=$(id -un)"
[ "$(id -u)" = 0 ] && echo sudo=root
echo "hostname=$(cat /proc/sys/kernel/hostname)"
[ -d /run/systemd/system ] && echo systemd=yes
if ! command -v python3 >/dev/null; then echo python=missing
elif python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then echo python=usable
else echo python=old
fi
for each in apt-get dnf zypper pacman apk; do
    command -v $each >/dev/null && {{ echo "manager=$each"; break; }}
done
if command -v sudo >/dev/null; then
    if sudo -n true 2>/dev/null; then echo sudo=free; else echo sudo=asks; fi
fi
[ -f ~/.ssh/authorized_keys ] && sed 's/^/key=/' ~/.ssh/authorized_keys
true
"""

# Adds its arguments to the keys that may log in.
_ADD_KEYS = """
set -eu
umask 077
mkdir -p ~/.ssh
file=~/.ssh/authorized_keys
[ ! -s $file ] || [ -z "$(tail -c 1 $file)" ] || echo >>$file
printf '%s\\n' "$@" >>$file
"""

# Runs as root, with a package manager, a hostname and a user, each "" for nothing to do. Only failures print something.
_PREPARE = """
set -eu
LC_ALL=C DEBIAN_FRONTEND=noninteractive; export LC_ALL DEBIAN_FRONTEND
log=$(mktemp)
trap 'status=$?; [ $status = 0 ] || tail -n 20 "$log" >&2; rm -f "$log"' EXIT
{
    case $1 in
        apt-get) apt-get -qy update; apt-get -qy install --no-install-recommends python3 ;;
        dnf) dnf -qy install python3 ;;
        zypper) zypper -n install python3 ;;
        pacman) pacman -Sy --noconfirm python ;;
        apk) apk add python3 ;;
    esac
    if [ -n "$2" ]; then
        hostnamectl set-hostname "$2"
        getent hosts "$2" || printf '127.0.1.1\\t%s\\n' "$2" >>/etc/hosts
    fi
    if [ -n "$3" ]; then
        file=/etc/sudoers.d/rolecall-$(id -u "$3")
        umask 337
        printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\\n' "$3" >"$file.new"
        visudo -cqf "$file.new"
        mv "$file.new" "$file"
    fi
} >"$log" 2>&1
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What a machine is like before Rolecall.

    Attributes:
        user: Who has logged in.
        sudo: ``root`` if the user is root; if the user has sudo, ``free`` (without a password) or ``asks``; else "".
        hostname: Its name.
        systemd: Whether systemd runs it.
        python: ``usable``, ``old`` or ``missing``.
        manager: The command that installs packages, or "".
        keys: The lines of the user's authorized_keys.
    """

    user: str
    sudo: str
    hostname: str
    systemd: bool
    python: str
    manager: str
    keys: tuple[str, ...]


def read_found(text: str) -> Found:
    """Return what a machine is like, as `_LOOK` prints it."""
    lines = [line.partition("=") for line in text.rpartition(f"{_BEGIN}\n")[2].splitlines()]
    first: dict[str, str] = {}
    for name, _, value in lines:
        first.setdefault(name, printable(value))
    keys = tuple(value for name, _, value in lines if name == "key")
    return Found(
        *(first.get("user", ""), first.get("sudo", ""), first.get("hostname", ""), "systemd" in first),
        *(first.get("python", ""), first.get("manager", ""), keys),
    )


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a machine lacks for Rolecall.

    Attributes:
        found: What it is like.
        python: Whether Python is to be installed.
        hostname: Its new name, or "" if that stays.
        sudo: Whether its user is to use sudo without a password from now on.
        keys: The public keys that are to log in from now on.
    """

    found: Found
    python: bool
    hostname: str
    sudo: bool
    keys: tuple[str, ...]

    def __str__(self) -> str:
        """Return a line for each thing to do; "" for nothing."""
        user = self.found.user
        lines = [f"let {_shown(key)} log in as {user}" for key in self.keys]
        lines += [f"install Python with {self.found.manager}"] if self.python else []
        lines += [f"set the hostname to {self.hostname} (now {self.found.hostname})"] if self.hostname else []
        lines += [f"let {user} use sudo without a password"] if self.sudo else []
        return "\n".join(lines)


def _shown(key: str) -> str:
    kind_and_data = " ".join(key.split()[:2])
    comment = printable(key[len(kind_and_data) :].strip())
    return f"the key {pins.fingerprint(kind_and_data)}" + (f" ({comment})" if comment else "")


def needed(machine: str, found: Found, hostname: str, keys: list[str]) -> Preparation:
    """Return what a machine lacks.

    Args:
        machine: Its name.
        found: What it is like.
        hostname: The hostname that it is to have, or "" for any.
        keys: The public keys with which its user is to log in.

    Raises:
        Faults: When Rolecall cannot use it.
    """
    problem = ""
    if not found.systemd:
        problem = "does not run systemd"
    elif not found.sudo:
        problem = f"lets {found.user} log in, who is not root, and it has no sudo"
    elif found.python == "old":
        problem = "has a Python that is older than 3.9"
    elif found.python != "usable" and not found.manager:
        problem = "has no Python, and no package manager that Rolecall knows"
    if problem:
        raise fault(f"{machine} {problem}", hint=_NEED)
    known = {word for line in found.keys for word in line.split()}
    return Preparation(
        found,
        python=found.python != "usable",
        hostname="" if hostname == found.hostname.partition(".")[0] else hostname,
        sudo=found.sudo == "asks",
        keys=tuple(key for key in keys if key.split()[1] not in known),
    )


def own_keys(target: Target, file: Path | None) -> list[str]:
    """Return the SSH public keys with which the user logs in, each a line of authorized_keys(5).

    Args:
        target: The machine.
        file: The file of the key; None for those that ssh(1) would use: of the SSH agent, else its identity files.

    Raises:
        Faults: When there is none, or the file is not a key.
    """
    if file:
        beside = file.with_name(f"{file.name}.pub")  # of a private key, which never leaves this computer
        for path in (file, beside):
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            if _PUBLIC_KEY.match(text):
                return [text.strip()]
        raise fault(f"{file} is not an SSH public key", hint="give the file that ends in `.pub`")
    agent = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, check=False)
    lines = agent.stdout.splitlines() if agent.returncode == 0 else []
    if not lines:
        settings = pins.ssh_settings(target, ours=False)
        paths = [Path(f"{each}.pub").expanduser() for each in settings.get("identityfile", "").splitlines()]
        lines = [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]
    keys = [line.strip() for line in lines if _PUBLIC_KEY.match(line)]
    if not keys:
        raise fault("you have no SSH key", hint="create one: `ssh-keygen -t ed25519`, or give one: `--ssh-key FILE`")
    return keys


class Login:
    """One login on a machine, over which all commands of an installation run, so that it asks for a password once.

    Args:
        target: The machine.

    Attributes:
        by_key: Whether it needed no password.

    Raises:
        Faults: When the machine cannot be reached, or the login fails.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._folder = tempfile.TemporaryDirectory(prefix="ssh-")
        self._socket = Path(self._folder.name) / "s"
        self._process = self._log_in("yes")
        self.by_key = self._process is not None
        if not self._process:
            self._process = self._log_in("no")
        if not self._process:
            problem = ssh_problem(target.machine, self._printed) or "ssh(1) failed"
            self._folder.cleanup()
            raise fault(f"cannot log in to {target.machine} ({target.text}): {problem}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
        self._folder.cleanup()

    def _log_in(self, batch: str) -> subprocess.Popen[bytes] | None:
        """Start the connection that others share; return None when the login fails."""
        argv = [
            "ssh",
            "-NT",
            "-o",
            f"BatchMode={batch}",
            "-o",
            "ControlMaster=yes",
            "-o",
            f"ControlPath={self._socket}",
        ]
        errors = Path(self._folder.name) / "errors"
        with errors.open("wb") as log:
            process = subprocess.Popen([*argv, *self._target.ssh], stdin=subprocess.DEVNULL, stderr=log)
        until = time.monotonic() + _LOGIN
        try:
            while process.poll() is None and time.monotonic() < until:
                if self._socket.exists():
                    return process
                time.sleep(0.02)
        except BaseException:
            process.kill()
            raise
        if process.poll() is None:
            process.kill()
        process.wait()
        self._printed = printable(errors.read_text(errors="replace").strip(), keep="\n")
        return None

    def look(self) -> Found:
        """Return what the machine is like."""
        return read_found(self._run(["sh", "-c", _LOOK]))

    def prepare(self, lacking: Preparation) -> None:
        """Give a machine what it lacks. sudo(8) may ask for a password on the terminal.

        Raises:
            Faults: When that fails. It can be repeated.
        """
        found = lacking.found
        if lacking.keys:
            self._run(["sh", "-c", _ADD_KEYS, "sh", *lacking.keys])
        if not (lacking.python or lacking.hostname or lacking.sudo):
            return
        manager, user = found.manager if lacking.python else "", found.user if lacking.sudo else ""
        script = ["sh", "-c", _PREPARE, "sh", manager, lacking.hostname, user]
        if found.sudo == "root":
            self._run(script)
        elif found.sudo == "free":
            self._run(["sudo", "-n", "--", *script])
        elif not sys.stdin.isatty():
            message = f"sudo on {self._target.machine} asks for the password of {found.user}: not a terminal"
            raise fault(message, hint="run the command in a terminal, or let that user use sudo without a password")
        else:
            prompt = f"[sudo] password for %p on {self._target.machine}: "
            self._run(["sudo", "-p", prompt, "--", *script], terminal=True)

    def _run(self, argv: list[str], *, terminal: bool = False) -> str:
        """Run a command on the machine, and return what it prints.

        Args:
            argv: The command.
            terminal: Whether it runs on the user's terminal, where all that it prints is seen.

        Raises:
            Faults: When it fails.
        """
        own = ["-o", f"ControlPath={self._socket}", "-o", "ControlMaster=no"]
        command = ["ssh", "-tt" if terminal else "-T", *own, *self._target.ssh, shlex.join(argv)]
        if terminal:
            status, printed, errors = subprocess.run(command, check=False).returncode, "", ""
        else:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            texts = (printable(each.decode(errors="replace"), keep="\n") for each in (done.stdout, done.stderr))
            status, (printed, errors) = done.returncode, texts
        if status:
            raise fault(f"{self._target.machine} could not be prepared: " + (errors.strip() or f"exit status {status}"))
        return printed
