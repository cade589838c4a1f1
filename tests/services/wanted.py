"""Packages and files as the inventory writes them, and a check that may fail."""

from collections.abc import Iterator

from rolecall.service import Check, File, Member, Package, Resource, Service, Settings


class NodeSettings(Settings):
    packages: list[str] = []
    purge: list[str] = []
    files: dict[str, str] = {}
    works: bool = True


service = Service("wanted", description="Packages as they are written.")
node = service.role("node", NodeSettings, description="Has them.")


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    for name in me.settings.packages:
        yield Package(name, purge=name in me.settings.purge or None)
    for path, text in me.settings.files.items():
        yield File(path, text, needed_for="packages")


@node.check
def works(me: Member[NodeSettings]) -> Iterator[Check]:
    if not me.settings.works:
        yield Check("works", ("false",))
