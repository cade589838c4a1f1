"""Kinds of resources on a real machine: what it has then, and that undeclaring them brings back what it had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from any_resources import declare, resource, update

if TYPE_CHECKING:
    from conftest import Desk

SERVICE, MODULE = "any_resources", "any"
ACCOUNTS = "getent passwd {0}; id -nG {0}; getent shadow {0} | cut -d: -f2,8"


def test_accounts(desk: Desk) -> None:
    """Users in the groups of each other, ids, primary groups, comments and passwords; a person who was there before."""
    desk.on("jon", "useradd -m -c Person -s /bin/bash person; echo person:before | chpasswd")
    desk.on("jon", "install -o person /dev/null ~person/own")
    before = desk.on("jon", ACCOUNTS.format("person") + "; stat -c %U:%G:%u ~person/own")
    update(
        desk,
        resource("Group", name="crew", gid=4300),
        resource("User", name="both", groups=["web.app", "crew"]),
        resource("User", name="web.app", groups=["both"], uid=4200, comment="Web, app", home="/srv/web"),
        resource("User", name="plain", group="crew", home="/srv/plain"),
        resource("User", name="person", home="/home/person", shell="/bin/sh", uid=4242, with_password=True),  # noqa: S604
    )
    assert desk.on("jon", "getent passwd web.app; id -nu 4200; id -ng web.app; id -ng plain; getent group crew") == (
        "web.app:x:4200:{}:Web, app:/srv/web:/usr/sbin/nologin\nweb.app\nweb.app\ncrew\ncrew:x:4300:both\n"
    ).format(desk.on("jon", "id -g web.app").strip())
    assert set(desk.on("jon", "id -nG both").split()) == {"both", "web.app", "crew"}
    assert set(desk.on("jon", "id -nG web.app").split()) == {"web.app", "both"}
    assert desk.on("jon", "stat -c %U:%G /srv/plain") == "plain:crew\n"
    assert desk.on("jon", "getent shadow person | cut -d: -f2").startswith("$2")
    assert desk.on("jon", "stat -c %u ~person/own") == "4242\n"
    update(desk)
    assert desk.on("jon", ACCOUNTS.format("person") + "; stat -c %U:%G:%u ~person/own") == before
    assert desk.on("jon", "ls -d /srv/web /srv/plain", status=2)
    assert desk.on("jon", "getent shadow both | cut -d: -f8") == "1\n"


def test_units_that_run_as_a_user_stop_before_it_changes(desk: Desk) -> None:
    unit = "[Service]\nUser=app\nExecStart=/bin/sleep 1000\n"
    desk.on("jon", "useradd -r -d /home/app app; cat >/etc/systemd/system/app.service", given=unit)
    desk.on("jon", "systemctl daemon-reload; systemctl start app")
    before = desk.on("jon", "getent passwd app")
    printed = update(desk, resource("User", name="app", home="/srv/app", uid=4201))
    assert "restart app.service" in printed
    asked = "stat -c %u /proc/$(systemctl show --value -p MainPID app)"
    assert desk.on("jon", f"systemctl is-active app; {asked}; getent passwd app") == (
        f"active\n4201\napp:x:4201:{before.split(':')[3]}::/srv/app:/usr/sbin/nologin\n"
    )
    failing = resource("Unit", name="bad.service", text="[Service]\nType=oneshot\nExecStart=/bin/false\n", started=True)
    declare(desk, resource("User", name="app", home="/srv/other", uid=4202), failing)
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert desk.on("jon", f"systemctl is-active app; {asked}; getent passwd app | cut -d: -f6") == (
        "active\n4201\n/srv/app\n"
    )
    update(desk)
    assert desk.on("jon", "getent passwd app; systemctl is-active app") == f"{before}active\n"
    desk.on("jon", "systemctl stop app; userdel app; rm /etc/systemd/system/app.service; systemctl daemon-reload")


def test_a_user_who_is_logged_in_is_not_moved(desk: Desk) -> None:
    desk.on("jon", "useradd -m busy; setsid runuser -u busy -- sleep 1000 >/dev/null 2>&1 </dev/null &")
    declare(desk, resource("User", name="busy", home="/srv/busy"))
    done = desk.rolecall("plan", status=1)
    assert "runs as busy; end its sessions with `pkill -u busy`" in done.stdout + done.stderr
    desk.on("jon", "pkill -u busy; sleep 0.3; userdel -r busy 2>/dev/null", status=None)


def test_keys_in_the_file_that_sshd_reads(desk: Desk) -> None:
    """With options, a comment, and a command whose backslashes and quotes sshd reads as they were meant."""
    desk.on(
        "jon", "useradd -m keyed; mkdir -p /etc/ssh/ak; rm -f /tmp/key*; ssh-keygen -q -t ed25519 -N '' -f /tmp/key"
    )
    public = desk.on("jon", "cat /tmp/key.pub").strip()
    login = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -i /tmp/key keyed@127.0.0.1 2>/dev/null"
    spoken = r"""a\b \" 'c' $d"""
    key = resource(
        "AuthorizedKey",
        user="keyed",
        public_key=public,
        command=["printf", "%s", spoken],
        options=['environment="A=b \\" c"', "no-pty"],
        comment="For a test",
    )
    update(desk, key)
    assert desk.on("jon", login) == spoken
    assert desk.on("jon", "cat ~keyed/.ssh/authorized_keys").endswith(f" {' '.join(public.split()[:2])} For a test\n")
    elsewhere = "Match User keyed\nAuthorizedKeysFile /etc/ssh/ak/%u\n"
    linked = "cat >/etc/ak.conf; ln -s ../../ak.conf /etc/ssh/sshd_config.d; systemctl reload ssh; sleep 0.5"
    desk.on("jon", linked, given=elsewhere)
    desk.on("jon", "printf '# by hand' >/etc/ssh/ak/keyed")
    before = desk.look("jon", "/etc/ssh/ak/keyed", but=("inode", "mtime"))
    fingerprint = desk.on("jon", "ssh-keygen -lf /tmp/key.pub").split()[1]
    assert f"key {fingerprint} for keyed" in update(desk, key)
    assert desk.on("jon", login) == spoken
    update(desk)
    assert desk.look("jon", "/etc/ssh/ak/keyed", but=("inode", "mtime")) == before
    assert desk.on("jon", login, status=255) == ""
    desk.on("jon", "rm -r /etc/ssh/ak /etc/ak.conf /etc/ssh/sshd_config.d/ak.conf; systemctl reload ssh; sleep 0.5")
    desk.on("jon", "pkill -u keyed; userdel -r keyed 2>/dev/null", status=None)


def test_keys_behind_a_link_of_root(desk: Desk) -> None:
    """As on Proxmox, whose /root/.ssh/authorized_keys leads to /etc/pve."""
    desk.on(
        "jon", "useradd -m linked; install -d -o linked -m 700 ~linked/.ssh; mkdir /etc/keys; touch /etc/keys/linked"
    )
    desk.on("jon", "chown root ~linked ~linked/.ssh; ln -s /etc/keys/linked ~linked/.ssh/authorized_keys")
    desk.on("jon", "touch -h -d 2001-02-03 ~linked/.ssh/authorized_keys")
    before = desk.look("jon", "/home/linked", "/etc/keys/linked", but=("inode",))
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJh me@there"
    update(desk, resource("AuthorizedKey", user="linked", public_key=key))
    assert desk.on("jon", "cat /etc/keys/linked") == f"{key}\n"
    update(desk)
    assert desk.look("jon", "/home/linked", "/etc/keys/linked", but=("inode",)) == before
    desk.on("jon", "rm -r /etc/keys; userdel -r linked 2>/dev/null", status=None)


def test_links_and_blocks(desk: Desk) -> None:
    """In /etc/hosts, which keeps every byte and its time; a link over a link and over a file."""
    desk.on("jon", "printf '10.9.9.9 last.line' >>/etc/hosts; touch -d 2001-02-03 /etc/hosts; ln -s /x /etc/theirs")
    desk.on("jon", "touch -h -d 2001-02-03 /etc/theirs; echo kept >/etc/kept; chmod 4711 /etc/kept")
    paths = ("/etc/hosts", "/etc/theirs", "/etc/kept")
    before = desk.look("jon", *paths, but=("inode",))
    update(
        desk,
        resource("Block", path="/etc/hosts", name="db", text="10.1.2.3 db.example"),
        resource("Symlink", path="/etc/theirs", target="/etc/hosts"),
        resource("Symlink", path="/etc/kept", target="/usr/share/zoneinfo/UTC", owner="nobody"),
        resource("Symlink", path="/srv/some/where", target="../x"),
    )
    asked = "getent hosts db.example last.line; readlink /etc/theirs /srv/some/where; stat -c %U /etc/kept"
    assert desk.on("jon", asked).split() == [
        *("10.1.2.3", "db.example", "10.9.9.9", "last.line", "/etc/hosts", "../x", "nobody")
    ]
    update(desk)
    assert desk.look("jon", *paths, "/srv/some", but=("inode",)) == before


def test_units_of_the_distribution(desk: Desk) -> None:
    """Their state is declared, not their text; what is not declared of it stays as it is."""
    unit = "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n"
    names = ("one", "two", "three")
    for name in names:
        desk.on("jon", f"cat >/usr/lib/systemd/system/{name}.service", given=unit)
    desk.on("jon", "systemctl daemon-reload; systemctl enable -q --now two three")
    asked = "; ".join(f"systemctl is-enabled {name}; systemctl is-active {name}" for name in names)
    before = desk.on("jon", asked, status=None).split()
    assert before == ["disabled", "inactive", "enabled", "active", "enabled", "active"]
    declared = [
        resource("Unit", name="one.service", started=True, restart_on=["file:/etc/one"]),
        resource("Unit", name="two.service", masked=True),
        resource("Unit", name="three.service", enabled=False, started=False),
    ]
    update(desk, *declared, resource("File", path="/etc/one", content="1"))
    now = ["disabled", "active", "masked", "inactive", "disabled", "inactive"]
    assert desk.on("jon", asked, status=None).split() == now
    assert "restart one.service" in update(desk, *declared, resource("File", path="/etc/one", content="2"))
    desk.on("jon", "systemctl stop one; systemctl start three")
    assert "not running" in desk.rolecall("plan").stdout
    update(desk, *declared, resource("File", path="/etc/one", content="2"))
    assert desk.on("jon", asked, status=None).split() == now
    update(desk)
    assert desk.on("jon", asked, status=None).split() == before
    desk.on("jon", "systemctl disable -q --now two three; rm /usr/lib/systemd/system/{one,two,three}.service")
    desk.on("jon", "systemctl daemon-reload")


def test_parts_of_a_machine(desk: Desk) -> None:
    """Values of the kernel, a mount, a table of nftables beside another one, the host name and the time zone."""
    desk.on("jon", "echo 100 >/proc/sys/net/ipv4/ip_default_ttl || true; which nft || apt-get -qq install nftables")
    desk.on("jon", "nft add table inet theirs")
    paths = (
        "/etc/hostname",
        "/etc/localtime",
        "/etc/timezone",
        "/etc/rolecall",
    )
    before = desk.look("jon", *paths, but=("inode",))
    asked = "sysctl -n net.ipv4.ip_default_ttl net.ipv4.tcp_rmem; uname -n; nft list tables; findmnt -n /srv/mounted"
    was = desk.on("jon", asked, status=None)
    rmem = desk.on("jon", "sysctl -n net.ipv4.tcp_rmem").split()
    declared = [
        resource("Sysctl", name="net.ipv4.ip_default_ttl", value="77"),
        resource("Sysctl", name="net.ipv4.tcp_rmem", value=" ".join(rmem)),
        resource("Hostname", name="another"),
        resource("time_zone", name="Europe/Lisbon"),
        resource("mount_unit", path="/srv/mounted", source="none", type="tmpfs", options=["size=1m"]),
    ]
    rules = "chain out {{ type filter hook output priority 0; ip daddr 192.0.2.{} drop; }}"
    update(desk, *declared, resource("nftables_table", name="ours", rules=rules.format(1)))
    now = "sysctl -n net.ipv4.ip_default_ttl; uname -n; date +%Z; findmnt -no FSTYPE /srv/mounted"
    assert desk.on("jon", now).split() == ["77", "another", "WET", "tmpfs"]
    assert "192.0.2.1" in desk.on("jon", "nft list table inet ours")
    desk.on("jon", "echo 55 >/proc/sys/net/ipv4/ip_default_ttl")
    assert "55, not 77" in desk.rolecall("plan").stdout
    assert "other rules, not" in update(desk, *declared, resource("nftables_table", name="ours", rules=rules.format(2)))
    assert "192.0.2.2" in desk.on("jon", "nft list table inet ours")
    broken = resource("nftables_table", name="ours", rules="chain out {{ type nonsense; }}")
    declare(desk, *declared, broken)
    assert "nft rejects /etc/rolecall/nftables/inet-ours.nft" in desk.rolecall("update", "--yes", status=1).stdout
    update(desk)
    assert desk.on("jon", "ls /etc/sysctl.d/*rolecall*", status=2)
    assert desk.on("jon", asked, status=None) == was
    assert desk.look("jon", *paths, but=("inode",)) == before


def test_a_purge_leaves_nothing(desk: Desk) -> None:
    desk.on("jon", "rm -rf /var/lib/rolecall")
    found = "getent passwd; getent group; ls -A /home /srv /var/lib"
    before = desk.on("jon", found)
    user = resource("User", name="gone", home="/srv/gone", groups=["gang"])
    update(desk, resource("Group", name="gang"), user, resource("User", name="plain", group="gang"))
    desk.on("jon", "touch ~gone/data")
    update(desk)
    assert desk.rolecall("machines", "purge", "jon", "--homes", "-y").stdout == "purged jon\n"
    assert desk.on("jon", f"rm -rf /var/lib/rolecall; {found}") == before
