"""Kinds that set values of a running machine: at once, after a boot, and undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from any_resources import declare, resource, update

if TYPE_CHECKING:
    from conftest import Desk

SERVICE, MODULE = "any_resources", "any"


def refused(desk: Desk, *resources: dict[str, Any]) -> str:
    """Return what a plan prints that refuses these resources."""
    declare(desk, *resources)
    done = desk.rolecall("plan", status=1)
    return done.stdout + done.stderr


def reboot(desk: Desk) -> None:
    desk.lab.kill("jon")
    desk.lab.start("jon")
    desk.lab.wait(["jon"])
    desk.on("jon", "systemctl is-system-running --wait")


FAILING = resource("Unit", name="bad.service", text="[Service]\nType=oneshot\nExecStart=/bin/false\n", started=True)


def test_kernel_parameters(desk: Desk) -> None:
    """Of the network, which each machine of a lab has for itself; the kernel shows lists in another way."""
    asked = "cd /proc/sys/net/ipv4; cat ip_forward ip_local_port_range ip_local_reserved_ports conf/lo/rp_filter"
    before = desk.on("jon", asked)
    assert before.split() == ["0", "32768", "60999", "0"]
    declared = (
        resource("Sysctl", name="net.ipv4.ip_forward", value=1),
        resource("Sysctl", name="net.ipv4.ip_local_port_range", value="32768\t60000"),
        resource("Sysctl", name="net.ipv4.ip_local_reserved_ports", value="8080,1000,1001,1002"),
        resource("Sysctl", name="net.ipv4.conf.lo.rp_filter", value=2),
    )
    now = ["1", "32768", "60000", "1000-1002,8080", "2"]
    assert "0, not 1" in update(desk, *declared)
    assert desk.on("jon", asked).split() == now
    reboot(desk)
    assert desk.on("jon", asked).split() == now
    assert "nothing changes" in desk.rolecall("plan").stdout
    desk.on("jon", "echo 0 >/proc/sys/net/ipv4/ip_forward")
    assert "0, not 1" in desk.rolecall("plan").stdout
    declare(desk, *declared, FAILING)
    desk.rolecall("update", "--yes", status=1)
    assert desk.on("jon", asked).split() == ["0", *now[1:]]
    wrong = resource("Sysctl", name="net.ipv4.ip_local_port_range", value="5 1")
    declare(desk, wrong)
    assert "Invalid argument" in desk.rolecall("update", "--yes", status=1).stdout
    assert "does not have it" in refused(desk, resource("Sysctl", name="net.bridge.none", value=1))
    update(desk)
    assert desk.on("jon", f"ls /etc/sysctl.d | grep -c rolecall; {asked}") == f"0\n{before}"


def test_host_name_and_time_zone(desk: Desk) -> None:
    desk.on("jon", "echo by-hand >/etc/hostname; hostname from-dhcp")
    look = "hostname; cat /etc/hostname; date +%Z"
    paths = ("/etc/hostname", "/etc/localtime", "/etc/timezone")
    before, kept = desk.on("jon", look), desk.look("jon", *paths, but=("inode",))
    update(desk, resource("Hostname", name="web.example"), resource("time_zone", name="Asia/Tokyo"))
    assert desk.on("jon", look).split() == ["web.example", "web.example", "JST"]
    reboot(desk)
    assert desk.on("jon", look).split() == ["web.example", "web.example", "JST"]
    assert "nothing changes" in desk.rolecall("plan").stdout
    desk.on("jon", "hostname elsewhere")
    assert "elsewhere, not web.example" in desk.rolecall("plan").stdout
    update(desk)
    assert desk.look("jon", *paths, but=("inode",)) == kept
    assert desk.on("jon", look) == before
    assert "zoneinfo/Mars/Base does not exist on this machine" in refused(desk, resource("time_zone", name="Mars/Base"))


def test_a_table_of_nftables(desk: Desk) -> None:
    """Rules that somebody changes show as drift; a table of the same name that was there before comes back."""
    theirs = "table inet ours { set s { type ipv4_addr; elements = { 192.0.2.9 } }; chain theirs { counter; }; }"
    desk.on("jon", f"nft add table inet other; echo '{theirs}' | nft -f -")
    listed = "nft --stateless list table inet ours; nft list table inet other"
    before = desk.on("jon", listed)
    rules = """
        set fixed {{ type ipv4_addr; elements = {{ 192.0.2.50 }}; }}
        set seen {{ type ipv4_addr; flags dynamic,timeout; timeout 1h; }}
        chain out {{
            type filter hook output priority 0;
            ip daddr {} counter drop comment "a }}"
            ip daddr 192.0.2.77 update @seen {{ ip daddr }}
        }}
    """
    one, two = (resource("nftables_table", name="ours", rules=rules.format(f"192.0.2.{last}")) for last in (1, 2))
    update(desk, one)
    assert "192.0.2.9" not in desk.on("jon", listed)
    desk.on("jon", "nft add element inet ours seen '{ 192.0.2.77 }'; ping -c1 -W1 192.0.2.1", status=None)
    assert "nothing changes" in desk.rolecall("plan").stdout
    for change in (
        "nft flush chain inet ours out",
        "nft flush set inet ours fixed",
        "nft delete table inet ours",
        "nft flush ruleset",
    ):
        desk.on("jon", change)
        assert "not the declared rules" in desk.rolecall("plan").stdout
        update(desk, one)
        assert "192.0.2.1 " in desk.on("jon", "nft list table inet ours")
    desk.on("jon", "nft add table inet other")
    reboot(desk)
    assert "192.0.2.1 " in desk.on("jon", "nft list table inet ours")
    assert "nothing changes" in desk.rolecall("plan").stdout
    declare(desk, two, FAILING)
    desk.rolecall("update", "--yes", status=1)
    assert "192.0.2.1 " in desk.on("jon", "nft list table inet ours")
    update(desk, two)
    assert "192.0.2.2 " in desk.on("jon", "nft list table inet ours")
    update(desk)
    desk.on("jon", "nft add table inet other")
    assert desk.on("jon", listed) == before
    desk.on("jon", "nft delete table inet ours; nft delete table inet other")


def test_a_mount(desk: Desk) -> None:
    """With its folder, which goes with it; one that somebody uses stays, and everything else with it."""
    before = desk.look("jon", "/srv", but=("inode", "mtime"))
    mounted = resource("mount_unit", path="/srv/a/b-c", source="none", type="tmpfs", options=["mode=0700"])
    update(desk, mounted)
    assert desk.on("jon", "findmnt -no FSTYPE /srv/a/b-c; stat -c %a /srv/a/b-c") == "tmpfs\n700\n"
    desk.on("jon", "cd /srv/a/b-c; setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
    declare(desk)
    done = desk.rolecall("update", "--yes", status=1)
    assert "sleep (process " in done.stdout + done.stderr
    assert desk.on("jon", "findmnt -no FSTYPE /srv/a/b-c") == "tmpfs\n"
    desk.on("jon", "pkill sleep; sleep 0.2")
    update(desk)
    assert desk.look("jon", "/srv", but=("inode", "mtime")) == before


def test_locales(desk: Desk) -> None:
    """One that a person has generated stays; one that nobody knows is refused, and all is as before."""
    desk.on(
        "jon",
        "apt-get -qq install locales >/dev/null; echo 'nl_BE.UTF-8 UTF-8' >>/etc/locale.gen; locale-gen >/dev/null",
    )
    paths = ("/etc/default/locale", "/etc/locale.gen")
    before, kept = desk.on("jon", "locale -a"), desk.look("jon", *paths, but=("inode",))
    update(desk, resource("locale", name="nl_BE.UTF-8"))
    update(desk, resource("locale", name="de_DE.UTF-8", language="de:en"))
    assert {*desk.on("jon", "locale -a").split()} == {*before.split(), "de_DE.utf8"}
    asked = """su - nobody -s /bin/sh -c 'echo $LANG $LANGUAGE; locale day | cut -d";" -f1'"""
    assert desk.on("jon", asked).endswith("\nde_DE.UTF-8 de:en\nSonntag\n")
    desk.on("jon", "locale-gen")
    assert "nothing changes" in desk.rolecall("plan").stdout
    assert "de_DE.utf8" in desk.on("jon", "locale -a")
    declare(desk, resource("locale", name="xx_YY.UTF-8"))
    assert "xx_YY" in desk.rolecall("update", "--yes", status=1).stdout
    assert "de_DE.utf8" in desk.on("jon", "locale -a")
    update(desk)
    assert desk.on("jon", "locale -a") == before
    assert desk.look("jon", *paths, but=("inode",)) == kept


REPOSITORY = """
apt-get -qq install gpg gpg-agent >/dev/null 2>&1
mkdir -p /srv/repository/tree/DEBIAN; cd /srv/repository
printf 'Package: signed\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' >tree/DEBIAN/control
dpkg-deb --root-owner-group --build tree signed.deb >/dev/null
{ cat tree/DEBIAN/control; echo 'Filename: ./signed.deb'; stat -c 'Size: %s' signed.deb
  echo "SHA256: $(sha256sum signed.deb | cut -d' ' -f1)"; } >Packages
{ echo "Date: $(date -Ru)"; echo 'SHA256:'
  echo " $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages"; } >Release
gpg --batch --quiet --passphrase '' --quick-generate-key someone@example 2>/dev/null
gpg --batch --quiet --clearsign --output InRelease Release
"""


def test_a_package_repository(desk: Desk) -> None:
    """It is known before its package is installed, and only its own key signs it."""
    desk.on("jon", REPOSITORY)
    desk.on("jon", "gpg --batch --passphrase '' --quick-generate-key other@example")
    paths = ("/etc/apt", "/srv")
    before = desk.look("jon", *paths, but=("inode", "mtime"))
    key, other = (desk.on("jon", f"gpg --armor --export {name}@example 2>/dev/null") for name in ("someone", "other"))
    arguments = {"name": "own", "uri": "file:/srv/repository", "suites": ["./"]}
    package = resource("Package", name="signed")
    declare(desk, resource("apt_repository", **arguments, key=other), package)
    done = desk.rolecall("update", "--yes", status=1)
    assert "signed" in done.stdout + done.stderr
    assert desk.look("jon", *paths, but=("inode", "mtime")) == before
    update(desk, resource("apt_repository", **arguments, key=key), package)
    assert "signed 1" in desk.on("jon", "dpkg-query -W -f '${Package} ${Version}' signed")
    update(desk)
    assert desk.look("jon", *paths, but=("inode", "mtime")) == before
    declare(desk, resource("apt_repository", **arguments, key=other), package)  # apt still has its lists
    done = desk.rolecall("update", "--yes", status=1)
    assert "cannot install packages: signed" in done.stdout + done.stderr
    assert desk.look("jon", *paths, but=("inode", "mtime")) == before
    update(desk)
