"""One resource of each kind, over what people may have put there before; the exactness test undoes them all."""

from collections.abc import Iterator

from rolecall.service import (
    Action,
    AuthorizedKey,
    Directory,
    File,
    Group,
    Member,
    Package,
    Resource,
    Service,
    User,
    service_unit,
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbvUGcQyKCe2ERyH1DtASpCnMmLPbbpOzJvRKBKNUFR"

service = Service("every", description="One resource of each kind.")
node = service.role("node", description="Has them.")


@node.configure
def have(me: Member) -> Iterator[Resource]:
    yield Package("tree")
    yield Group("fresh")
    yield User("fresh", home="/srv/fresh", groups=("fresh",))
    yield Directory("/srv/made/deep", owner="fresh", mode=0o700)
    yield Directory("/srv/person", mode=0o711)
    file = File("/etc/every.conf", f"of {me.machine}\n", owner="fresh", mode=0o640)
    yield from (file, File("/etc/person.conf", "ours\n"), File("/etc/linked.conf", "ours\n"))
    yield AuthorizedKey("person", KEY)
    yield service_unit(me.name("daemon.service"), ["/bin/sleep", "infinity"], description="A daemon", restart_on=[file])
    yield service_unit("person.service", ["/bin/sleep", "infinity"], description="Ours", restart_on=[file])
    yield Action("once", ("touch", "/srv/touched"), undo=("rm", "-f", "/srv/touched"))
