"""The machine that the agent runs on."""
# ruff: noqa: D102 - `system.System` describes the methods

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Dict, Optional, Sequence, Tuple

from rolecall_agent.errors import Failure
from rolecall_agent.systems import commands, validators
from rolecall_agent.systems.accounts import ShadowAccounts
from rolecall_agent.systems.kernel import RealKernel
from rolecall_agent.systems.os_release import read_os_release
from rolecall_agent.systems.packages import DistributionPackages
from rolecall_agent.systems.sshd import Sshd
from rolecall_agent.systems.units import SystemdUnits
from rolecall_agent.tree import Tree

if TYPE_CHECKING:
    from rolecall_agent.creds import Creds


class RealSystem(Tree):
    """This machine, as root.

    Attributes:
        boots: True.
        root: None.

    Args:
        booting: Whether starting units must not wait for them: during a boot, they may wait for the boot unit.
    """

    boots = True
    root: Optional[str] = None

    def __init__(self, *, booting: bool = False) -> None:
        os.environ.update(commands.ENVIRONMENT)
        self.accounts = ShadowAccounts()
        self.units = SystemdUnits(self.ask, booting=booting)
        self._sealing: Optional[Creds] = None
        super().__init__("/")

    def renew(self) -> None:
        super().renew()
        self.packages = DistributionPackages(self.ask, self.os_release, self.units.forget)
        self.kernel = RealKernel(self)
        self._sshd = Sshd(self.ask, self.read, self.names, self.resolve)
        self.notes.answers += self.units.renew()

    # Owners

    def _owner(self, path: str, status: os.stat_result) -> Tuple[str, str]:  # noqa: ARG002
        import grp
        import pwd

        owner, group = str(status.st_uid), str(status.st_gid)
        if status.st_uid == 0 == status.st_gid:
            return "root", "root"
        with contextlib.suppress(KeyError):
            owner = pwd.getpwuid(status.st_uid).pw_name
        with contextlib.suppress(KeyError):
            group = grp.getgrgid(status.st_gid).gr_name
        return owner, group

    def _set_owner(self, fd: int, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        status, ids = os.fstat(fd), _ids(owner, group)
        if ids != (status.st_uid, status.st_gid):  # even without a change, chown(2) takes away capabilities
            os.fchown(fd, *ids)

    def _set_link_owner(self, folder: int, name: str, path: str, owner: str, group: str) -> None:  # noqa: ARG002
        os.chown(name, *_ids(owner, group), dir_fd=folder, follow_symlinks=False)

    def _owner_removed(self, path: str) -> None:
        pass

    # Commands

    def run(self, argv: Sequence[str], timeout: float) -> Tuple[int, str]:
        self.notes.complete = False  # it may have looked at anything
        return commands.run(argv, timeout)

    def ask(self, argv: Sequence[str], *, errors: bool = False, timeout: float = 60) -> Tuple[int, str]:
        status, output = commands.execute(argv, timeout, errors=errors)
        self.notes.answers.append((argv, errors, status, output))
        return status, output

    def validate(self, path: str, data: bytes) -> None:
        validators.validate(path, data)

    def keys_file(self, user: str) -> str:
        return self._sshd.keys_file(user)

    def flush(self) -> None:
        # Not all file systems, of which one may be slow or not reachable.
        if commands.run(["sync", "--file-system", "/etc", "/usr", "/var"], 600)[0]:
            os.sync()

    # Boots

    def boot(self) -> str:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()

    def reboot(self) -> None:
        commands.require(["systemctl", "--no-wall", "--no-block", "reboot"], "the machine does not reboot")

    def is_stopping(self) -> bool:
        return commands.execute(["systemctl", "is-system-running"])[1].strip() == "stopping"

    # Secrets

    def seal(self, name: str, value: bytes) -> Optional[bytes]:
        return self._creds.seal(name, value)

    def unseal(self, name: str, credential: bytes) -> bytes:
        return self._creds.unseal(name, credential)

    @property
    def _creds(self) -> Creds:
        from rolecall_agent.creds import Creds

        self._sealing = self._sealing or Creds()
        return self._sealing

    def os_release(self) -> Dict[str, str]:
        for path in ("/etc/os-release", "/usr/lib/os-release"):
            with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
                return read_os_release(file.read())
        return {}


def _ids(owner: str, group: str) -> Tuple[int, int]:
    """Return user and group id.

    Raises:
        Failure: When the user or group does not exist.
    """
    import grp
    import pwd

    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise Failure(f"user {owner} does not exist") from None
    try:
        return uid, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise Failure(f"group {group} does not exist") from None
