"""Files, keys and a folder that a local user can get in the way of."""

from collections.abc import Iterator

from rolecall.service import AuthorizedKey, Directory, File, Member, Resource, Service, Settings, User

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


class NodeSettings(Settings):
    text: str = "one"
    key: bool = False
    folder: bool = False


service = Service("app", description="What a user of the machine can get at.")
node = service.role("node", NodeSettings, description="Has it.")


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    yield User("app", home="/srv/app")
    yield File("/etc/aa", me.settings.text)
    yield File("/srv/app/conf", me.settings.text)
    yield File("/etc/zz", me.settings.text)
    if me.settings.key:
        yield AuthorizedKey("app", KEY)
    if me.settings.folder:
        yield Directory("/srv/app/logs", owner="app", mode=0o750)
