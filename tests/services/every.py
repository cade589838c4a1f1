"""One resource of each kind, over what people may have put there before; the exactness test undoes them all.

But for kernel modules: all machines of a lab share one kernel. They can load none, nor see which it has.
"""

from collections.abc import Iterator

from rolecall.service import (
    Action,
    AuthorizedKey,
    Block,
    Directory,
    File,
    Group,
    Hostname,
    Member,
    NoSettings,
    Package,
    Resource,
    Service,
    Symlink,
    Sysctl,
    Unit,
    User,
    hosts,
    locale,
    mount_unit,
    nftables_table,
    service_unit,
    time_zone,
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbvUGcQyKCe2ERyH1DtASpCnMmLPbbpOzJvRKBKNUFR"

service = Service("every", description="One resource of each kind.")
node = service.role("node", description="Has them.")


@node.configure
def have(me: Member[NoSettings]) -> Iterator[Resource]:
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
    yield from (Symlink("/etc/link.conf", "every.conf"), Symlink("/etc/person.link", "every.conf"))
    yield from (Block("/etc/profile", me.name("block"), "# ours\n"), hosts(me.name("hosts"), {"192.0.2.1": ["every"]}))
    yield from (Sysctl("net.ipv4.ip_forward", "1"), Hostname(f"every-{me.machine}"))
    yield mount_unit("/srv/mounted", "tmpfs", type="tmpfs", options=["mode=0700"])
    yield from nftables_table("every", "chain input { type filter hook input priority 0; }")
    yield from (*time_zone("Asia/Tokyo"), *locale("C.UTF-8"))
    yield from (Unit("systemd-pstore.service", masked=True), Unit("nftables.service", enabled=True))
    yield Action("once", ("touch", "/srv/touched"), undo=("rm", "-f", "/srv/touched"))
