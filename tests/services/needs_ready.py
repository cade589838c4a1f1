"""A program that runs only while READY exists. `text` restarts it; `other` changes without touching it."""

from collections.abc import Iterator

from rolecall.service import File, Member, Resource, Service, Settings, service_unit

READY = "/run/ready"


class NodeSettings(Settings):
    text: str = "one"
    other: str = "one"
    fails: bool = False


service = Service("app", description="A program that needs something from elsewhere.")
node = service.role("node", NodeSettings, description="Has it.")


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    text = File("/etc/app.conf", me.settings.text)
    yield text
    yield File("/etc/other.conf", me.settings.other)
    run = f"test -e {READY} && exec sleep infinity"
    yield service_unit("app.service", ["/bin/sh", "-c", run], description="App", restart_on=[text])
    if me.settings.fails:
        yield service_unit("fails.service", ["/bin/false"], description="Fails", settings={"Type": "oneshot"})
