"""The service of evaluation.py: a file, a unit and a timer for each client; a file with all clients for each server."""

from collections.abc import Iterator

from rolecall.service import CalendarEvent, File, Member, Resource, Service, Settings, service_unit, timer_unit

service = Service("relay", description="Clients that know their servers, servers that know their clients.")


class ClientSettings(Settings):
    """The same fields as borgbackup's, so that the same inventory works for both."""

    start_at: CalendarEvent = "*-*-* 01:00:00"
    exclude: list[str] = []


server = service.role("server", description="Knows its clients.", minimum=1)
client = service.role("client", ClientSettings, description="Knows its servers.")


@server.configure
def serve(me: Member[Settings]) -> Iterator[Resource]:
    """Yield the names and addresses of all clients."""
    yield File(me.path("clients"), "".join(f"{peer.machine} {peer.address}\n" for peer in me.members(client)))


@client.configure
def use(me: Member[ClientSettings]) -> Iterator[Resource]:
    """Yield the resources of a client."""
    servers = " ".join(peer.address for peer in me.members(server))
    file = File(me.path("conf"), f"machine={me.machine}\nservers={servers}\nexclude={me.settings.exclude}\n")
    command = ["cat", file.path]
    job = service_unit(me.name("job.service"), command, description="A job", oneshot=True, restart_on=[file])
    yield from (file, job, timer_unit(job, me.settings.start_at, description="Starts the job"))
