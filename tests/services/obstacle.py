"""A file at any path, and a command that leaves a daemon in the background."""

from collections.abc import Iterator

from rolecall.service import Action, File, Member, Resource, Service, Settings


class NodeSettings(Settings):
    path: str = "/etc/app.conf"
    text: str = "one"
    daemon: bool = False


service = Service("app", description="A file, and a command that leaves something in the background.")
node = service.role("node", NodeSettings, description="Has it.")


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    yield File(me.settings.path, me.settings.text)
    if me.settings.daemon:
        yield Action("daemon", ("sh", "-c", "sleep 1000 & echo started"))
