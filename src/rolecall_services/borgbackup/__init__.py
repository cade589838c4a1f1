"""Encrypted, deduplicated backups with BorgBackup.

Every client pushes the state that its machine declares to every server, each into a repository of its own that no
other client can reach: the server knows each client's key in advance and ties it to that one repository.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from pydantic import Field
from pydantic_core import to_json

from rolecall.service import (
    AbsolutePath,
    AuthorizedKey,
    Backups,
    CalendarEvent,
    Check,
    Directory,
    File,
    Health,
    HostAddress,
    Member,
    Package,
    Passphrase,
    Resource,
    Service,
    Settings,
    SSHKeyPair,
    State,
    User,
    host_and_port,
    known_hosts,
    secret_file,
    service_unit,
    timer_unit,
)

service = Service("borgbackup", description="Encrypted, deduplicated backups of every client to every server.")

USER = "borg"
BORG = Package("borgbackup", names={"arch": "borg", "alpine": "borgbackup"})
SSH = Package("openssh-client", names={"arch": "openssh", "fedora": "openssh-clients", "rhel": "openssh-clients"})


class ServerSettings(Settings):
    """Where the backups are stored."""

    directory: AbsolutePath = Field(
        AbsolutePath("/var/lib/borgbackup"),
        description="Holds the repositories: DIRECTORY/INSTANCE/CLIENT, under the first name of the instance.",
    )
    address: HostAddress | None = Field(
        None, description="Name or address under which clients reach it; without one, the machine's own."
    )
    network: str | None = Field(
        None, description="Instance of a VPN or other network by which clients reach it, instead of `address`."
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="Port of its SSH server for clients; without one, the machine's own."
    )


class Retention(Settings):
    """Which archives are kept; see borg-prune(1)."""

    within: str = Field("1d", pattern=r"^[1-9][0-9]*[Hdwmy]$", description="Everything younger than this.")
    daily: int = Field(7, ge=0, description="Last archive of that many days.")
    weekly: int = Field(4, ge=0, description="Last archive of that many weeks.")
    monthly: int = Field(6, ge=0, description="Last archive of that many months.")


class ClientSettings(Settings):
    """When to back up, and what to leave out."""

    start_at: CalendarEvent = Field("*-*-* 01:00:00", description="When it runs, as systemd.time(7) writes it.")
    exclude: list[str] = Field([], description="Patterns of what to leave out; see borg-patterns(1).")
    keep: Retention = Field(Retention(), description="Which archives are kept.")
    stale_after: int = Field(
        50, ge=1, description="Hours after which `rolecall status` reports that the last good backup is too old."
    )


server = service.role("server", ServerSettings, description="Stores the backups of all clients.", minimum=1)
client = service.role("client", ClientSettings, description="Backs up its declared state to every server.")

ssh_key = client.var("ssh", SSHKeyPair(), accepted=True)
passphrase = client.var("repokey", Passphrase(words=6), binds="the repositories are encrypted with it")


@server.configure
def store_backups(me: Member[ServerSettings]) -> Iterator[Resource]:
    """Yield a user that owns the repositories, and for each client a key that opens its own repository alone."""
    yield BORG
    yield User(USER, home="/var/lib/borg", shell="/bin/sh")  # noqa: S604 - a login shell: sshd runs the key's command by it
    yield Directory(me.settings.directory / me.data_name, owner=USER, group=USER, mode=0o700)
    for peer in me.members(client):
        repository = me.settings.directory / me.data_name / peer.machine
        command = ["borg", "serve", "--restrict-to-repository", repository]
        for key in peer.accepted(ssh_key):
            yield AuthorizedKey(USER, key.public, command=command)


@client.configure
def back_up(me: Member[ClientSettings]) -> Iterator[Resource]:
    """Yield the keys, the plan of what to back up where, the program that does it, and its timer."""
    servers = me.members(server)
    states = [export.value for export in me.exports(State, machine=me.machine)]
    # Before any var, so that `rolecall check` sees which addresses are needed even while vars are missing.
    trusted = File(me.path("known_hosts"), "".join(known_hosts(*_reached(peer), peer.host_keys) for peer in servers))
    key = secret_file(me[ssh_key].private)
    words = secret_file(me[passphrase].secret)
    plan = {
        "instance": me.instance,
        "machine": me.machine,
        "cache": f"/var/cache/rolecall/{me.data_name}",
        "key": key.path,
        "passphrase": words.path,
        "known_hosts": trusted.path,
        "repositories": {
            peer.machine: _url(peer, peer.settings.directory / me.data_name / me.machine) for peer in servers
        },
        "states": [state.model_dump() for state in states],
        "exclude": me.settings.exclude,
        "keep": me.settings.keep.model_dump(),
    }
    program = File(me.path("backup"), job_program(), mode=0o755)
    job = service_unit(
        me.name("backup.service"),
        [program.path, "create"],
        description=f"Backup of {me.machine} ({me.instance})",
        oneshot=True,
    )
    yield from (BORG, SSH, key, words, trusted, program, job)
    yield File(me.path("backup.json"), to_json(plan, indent=2) + b"\n")
    yield timer_unit(job, me.settings.start_at, description=f"Start the backup of {me.machine} ({me.instance})")


@client.exports(Backups)
def offer_backups(me: Member[ClientSettings]) -> Iterator[Backups]:
    """Yield what `rolecall backups` runs on a client, for each server."""
    for peer in me.members(server):
        run = [me.path("backup"), "--server", peer.machine]
        yield Backups(target=peer.machine, create=[*run, "create"], listing=[*run, "list"], restore=[*run, "restore"])


@client.exports(Health)
def report_backups(me: Member[ClientSettings]) -> Iterator[Health]:
    """Yield for each server how `rolecall status` learns when the last good backup was made."""
    for peer in me.members(server):
        command = [me.path("backup"), "--server", peer.machine, "health"]
        yield Health(name=f"backup to {peer.machine}", command=command, max_age=me.settings.stale_after * 3600)


@client.check
def borg_runs(me: Member[ClientSettings]) -> Iterator[Check]:
    """Check that the program and its borg start, and that every server accepts this client."""
    yield Check("borg starts", (me.path("backup"), "version"))
    yield Check("servers answer", (me.path("backup"), "probe"), peers=True, timeout=60)


def _reached(peer: Member[ServerSettings]) -> tuple[str, int]:
    """Return address and port of a server's SSH, as clients reach it."""
    settings = peer.settings
    if settings.network and settings.address:
        raise ValueError(f"{peer.machine} has both an `address` and a `network` for its clients; remove one of them")
    return settings.address or peer.address_in(settings.network), settings.port or peer.port_in(settings.network)


def _url(peer: Member[ServerSettings], path: str) -> str:
    """Return a repository as borg(1) writes it, with braces doubled (borg-placeholders(1))."""
    return f"ssh://{USER}@{host_and_port(*_reached(peer))}{path.replace('{', '{{').replace('}', '}}')}"


@cache
def job_program() -> bytes:
    """Return the program that runs on clients: job.py beside this file."""
    return (files(__package__) / "job.py").read_bytes()
