"""Files, units and packages as the inventory writes them."""

from collections.abc import Iterator

from rolecall.service import File, Member, Package, Resource, Service, Settings, Unit


class OneUnit(Settings):
    text: str
    enabled: bool = False
    started: bool = False
    restart_on: list[str] = []
    reload_on: list[str] = []
    settle_seconds: float | None = None


class NodeSettings(Settings):
    files: dict[str, str] = {}
    units: dict[str, OneUnit] = {}
    packages: list[str] = []


service = Service("raw", description="Files, units and packages as they are written.")
node = service.role("node", NodeSettings, description="Has them.")


@node.configure
def have(me: Member[NodeSettings]) -> Iterator[Resource]:
    yield from map(Package, me.settings.packages)
    for path, text in me.settings.files.items():
        yield File(path, text)
    for name, unit in me.settings.units.items():
        restart, reload = tuple(unit.restart_on), tuple(unit.reload_on)
        yield Unit(name, unit.text, unit.enabled, unit.started, restart, reload, unit.settle_seconds)
