"""Interfaces that come with Rolecall, so that services of different authors work together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rolecall.model.addresses import HostAddress  # noqa: TC001 - pydantic reads both when the program runs
from rolecall.model.exports import Interface
from rolecall.service.settings import AbsolutePath  # noqa: TC001


class State(Interface):
    """Folders with data that cannot be generated again; backup services back them up.

    Attributes:
        name: Its name, unique among the states of its publisher.
        folders: Absolute paths.
        before_backup: Argument vector run before the folders are read, or [].
        after_backup: Run after they were read, also when the backup failed.
        before_restore: Run before they are written back.
        after_restore: Run after they were written back, also when the restore failed.
    """

    name: str
    folders: list[AbsolutePath] = Field(min_length=1)
    before_backup: list[str] = []
    after_backup: list[str] = []
    before_restore: list[str] = []
    after_restore: list[str] = []


class Backups(Interface):
    """How one machine's backups are made, listed and restored; what `rolecall backups` runs on it."""

    target: str = Field(
        description="Where they go, e.g. the server's machine name; with the instance it names a repository."
    )
    create: list[str] = Field(
        description="Argument vector that makes an archive now and prints its name as the last line."
    )
    listing: list[str] = Field(
        description='Argument vector that prints a JSON list of `{"name": …, "time": …}`, oldest first.'
    )
    restore: list[str] = Field(
        description="Argument vector to which the archive's name, and optionally paths, are appended."
    )


class Health(Interface):
    """What a member reports about itself in `rolecall status`: a command on its machine that prints a report as JSON.

    The report is an object with `level` (`ok`, `warning` or `error`), `text` (one sentence) and, optionally, `at` (of
    when it is, in seconds since the epoch). A command that fails or prints anything else counts as an error. It must
    change nothing, and end soon.
    """

    name: str = Field(min_length=1, description="What is reported, in a few words, such as `last backup`.")
    command: list[str] = Field(min_length=1, description="Argument vector that prints the report.")
    user: str = Field("root", description="Who runs it.")
    max_age: int = Field(0, ge=0, description="Seconds after `at` from which the report is an error; 0 for none.")
    timeout: int = Field(30, ge=1, description="Seconds after which the command fails.")


class Network(Interface):
    """How a machine is reached in a network: by other machines, and by this computer if it is in the network, too.

    A service that connects machines publishes one for each of them; its instance is the network.
    """

    address: HostAddress = Field(description="Name or IP address of the machine in the network.")
    names: list[HostAddress] = Field([], description="Its names there, which the other members know.")
    priority: int = Field(description="Of several networks, the one with the highest priority is tried first.")
    purpose: str = Field(description="What the network is, in a few words, such as `mesh VPN`.")
    user: str = Field("", description="User to log in as; empty for that of the machine's target.")
    port: int = Field(
        0, description="Port of its SSH server in the network; 0 for that of the machine's target, or 22."
    )
    jump: str = Field("", description="Machine through which this computer reaches it; empty for none.")


class OpenPort(Interface):
    """A port of a machine that others must reach; a firewall service reads those of its machine and lets them in."""

    protocol: Literal["tcp", "udp"] = Field(description="Its protocol.")
    port: int = Field(ge=1, le=65535, description="Its number.")
