"""The link to a machine is lost, or its agent ends, in the middle of an update: the old state is back in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from conftest import Desk

SERVICE, MODULE = "cut_off", "node"
LIMIT = 30  # seconds from the loss to the old state, with the lock free
UNIT = "rolecall-node.daemon.service"

# What the daemon of the service does, while a switch waits for it.
WAITS = """\
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until [ -e /run/go ]; do sleep 0.05; done'
TimeoutStartSec=infinity"""
# What breaks the connection of the user admin, and no other.
CONNECTION_CUTS = {
    "killed sshd": "kill -9 $(pgrep -f '^sshd(-session)?: admin@')",
    "ended session": "loginctl terminate-user admin",
    "forgetful NAT": """
nft 'add table inet forget; add chain inet forget in { type filter hook input priority 0; }'
for port in $(ss -Htn state established '( sport = :22 )' | sed 's/.*://'); do
    [ "$port" = "$(echo $SSH_CLIENT | cut -d' ' -f2)" ] || nft add rule inet forget in tcp sport $port drop
done
""",
}
SLOW = "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep infinity\nTimeoutStartSec=infinity"
FIREWALL = 'nft "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }"'
ROUTE = "ip rule add from all prohibit pref 1; ip rule del pref 0"
CUTS = {
    "firewall": (FIREWALL, "nft delete table inet cut"),
    "link": ("ip link set host0 down", "ip link set host0 up"),
    "route": (ROUTE, "ip rule add from all lookup local pref 0; ip rule del pref 1"),
}

# Runs on the machine, which may not be reachable. Writes when there was a journal, and when none is left and no agent
# holds the lock.
WATCH = """
cd /var/lib/rolecall; rm -f /run/gone
until [ -e journal.json ]; do sleep 0.02; done
while [ -e journal.json ] || ! flock -n lock true; do sleep 0.02; done
date +%s.%N >/run/gone
"""
# Waits until no update is under way, as may be after a test that failed.
SETTLE = """
cd /var/lib/rolecall
timeout 60 sh -c 'while [ -e journal.json ] || ! flock -n lock true; do sleep 0.1; done'
"""
# Prints the process id of the agent that holds the lock.
AGENT = """awk -v end=":$(stat -c %i /var/lib/rolecall/lock)$" '$2 == "FLOCK" && $6 ~ end {print $5}' /proc/locks"""


def declare(desk: Desk, **settings: object) -> None:
    role: dict[str, Any] = {"settings": settings, "machines": {"jon": {}}}
    node = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    desk.write(machines={"jon": {}}, instances={"node": node})


def log_in_as(desk: Desk, user: str) -> None:
    """Make the command log in to the machine as a user; the tests still log in as root."""
    config = desk.root / ".rolecall/lab/ssh_config"
    if desk.lab.ssh_config == config:
        desk.lab.ssh_config = desk.root / ".rolecall/lab/ssh_config_of_root"
        desk.lab.ssh_config.write_text(config.read_text())
    config.write_text(desk.lab.ssh_config.read_text().replace("User root", f"User {user}"))


@pytest.fixture(scope="module")
def office(office: Desk) -> Desk:
    log_in_as(office, "admin")
    office.on("jon", "echo KillUserProcesses=yes >>/etc/systemd/logind.conf; systemctl restart systemd-logind")
    office.rolecall("update", "--yes")
    return office


@pytest.fixture
def desk(office: Desk) -> Iterator[Desk]:
    """One machine, updated to "one", to which the command logs in as a user that is not root."""
    declare(office)
    office.rolecall("update", "--yes")
    assert old(office)
    yield office
    office.end()
    office.lab.plug("jon")
    office.lab.wait(["jon"])
    office.on("jon", f"rm -f /run/hold /run/go /etc/sudoers.d/zz\n{SETTLE}")


def old(desk: Desk) -> bool:
    shown = desk.on("jon", f"cat /etc/text; systemctl is-active {UNIT}; systemctl show -p ExecStart {UNIT}")
    assert "sleep ; argv[]=/bin/sleep infinity" in shown
    return shown.startswith("oneactive\n")


def watch(desk: Desk) -> None:
    desk.on("jon", 'systemd-run --quiet --collect -- bash -c "$1"', WATCH)


def gone(desk: Desk) -> float:
    """Wait until the switch that is watched is undone, and return when that was."""
    return float(
        desk.on("jon", f"timeout {2 * LIMIT} sh -c 'until [ -s /run/gone ]; do sleep 0.1; done'; cat /run/gone")
    )


def begin(desk: Desk, middle: str, slow: str = SLOW) -> subprocess.Popen[str]:
    """Start an update, and return when it is in the middle of the switch, or provisional."""
    watch(desk)
    if middle == "provisional":
        desk.on("jon", "touch /run/hold")
    declare(desk, text="two", **({"unit": slow} if middle == "switching" else {}))
    update = desk.begin("update", "--yes")
    states = {
        "switching": f"systemctl is-active {UNIT} | grep -q ^activating",
        "provisional": "grep -qs '\"provisional\":true' /var/lib/rolecall/journal.json",
    }
    desk.on("jon", 'timeout 30 bash -c "$1"', f"until {states[middle]}; do sleep 0.05; done")
    assert desk.on("jon", "cat /etc/text") == "two"
    return update


def finish(update: subprocess.Popen[str]) -> str:
    output, _ = update.communicate(timeout=120)
    assert update.returncode == 1, output
    assert "jon (the lab) restored" in output
    assert "failed; every machine is as it was before" in output
    return output


both = pytest.mark.parametrize("middle", ["switching", "provisional"])


@both
def test_a_killed_controller(desk: Desk, middle: str) -> None:
    update = begin(desk, middle)
    lost = time.time()
    update.kill()
    update.communicate()
    assert 1 < gone(desk) - lost < LIMIT  # it waits for the controller to come back
    assert old(desk)


@pytest.mark.parametrize("cut", CONNECTION_CUTS)
@pytest.mark.parametrize("middle", ["staging", "switching", "provisional"])
def test_a_lost_connection_is_opened_again(desk: Desk, middle: str, cut: str) -> None:
    if middle == "staging":
        desk.on("jon", "echo >/var/lib/rolecall/lock")  # it names the run that held it last
        declare(desk, text="two", size=30_000_000)
        update = desk.begin("update", "--yes")
        desk.on("jon", "timeout 30 sh -c 'until grep -q ^run /var/lib/rolecall/lock; do :; done'")
    else:
        update = begin(desk, middle, slow=WAITS)
    desk.on("jon", CONNECTION_CUTS[cut])
    if middle != "staging":
        time.sleep(LIMIT / 2)  # longer than the agent waits for another connection
    desk.on("jon", "touch /run/go; rm -f /run/hold")
    output, _ = update.communicate(timeout=120)
    assert update.returncode == 0, output
    assert "jon: connection lost, connected again" in output
    assert "jon (the lab) updated" in output
    assert desk.on("jon", "cat /etc/text") == "two"
    desk.on("jon", "nft delete table inet forget", status=None)
    assert desk.rolecall("plan").stdout.startswith("nothing changes")


@both
def test_a_stopped_controller(desk: Desk, middle: str) -> None:
    update = begin(desk, middle)
    lost = time.time()
    update.send_signal(19)
    assert gone(desk) - lost < LIMIT
    assert old(desk)
    update.send_signal(18)
    finish(update)


@both
def test_a_cable_that_is_cut(desk: Desk, middle: str) -> None:
    update = begin(desk, middle)
    lost = time.time()
    desk.lab.cut("jon")
    time.sleep(LIMIT)
    desk.lab.plug("jon")
    desk.lab.wait(["jon"])  # its systemd-networkd gives it its address again
    assert 1 < gone(desk) - lost < LIMIT
    finish(update)
    assert old(desk)


@pytest.mark.parametrize("cut", CUTS)
def test_an_update_that_cuts_the_machine_off(desk: Desk, cut: str) -> None:
    watch(desk)
    start, stop = CUTS[cut]
    commands = f"ExecStart=/bin/sh -c 'date +%%s.%%N >/run/lost; {start}'\nExecStop=/bin/sh -c '{stop}'"
    declare(desk, text="two", cut=f"[Service]\nType=oneshot\nRemainAfterExit=yes\n{commands}\n")
    finish(desk.begin("update", "--yes"))
    assert 1 < gone(desk) - float(desk.on("jon", "cat /run/lost")) < LIMIT
    assert old(desk)


def test_an_sshd_that_lets_nobody_in(desk: Desk) -> None:
    watch(desk)
    declare(desk, text="two", sshd="DenyUsers *\n")
    finish(desk.begin("update", "--yes"))
    assert gone(desk)
    assert old(desk)


@both
def test_a_killed_agent(desk: Desk, middle: str) -> None:
    update = begin(desk, middle)
    lost = time.time()
    desk.on("jon", f"kill -9 $({AGENT})")
    assert gone(desk) - lost < LIMIT / 3
    finish(update)
    assert old(desk)


@both
def test_an_agent_that_is_stuck(desk: Desk, middle: str) -> None:
    update = begin(desk, middle)
    lost = time.time()
    desk.on("jon", f"kill -STOP $({AGENT})")
    assert 1 < gone(desk) - lost < LIMIT
    finish(update)
    assert old(desk)


def test_what_a_switch_has_started_ends_with_its_agent(desk: Desk) -> None:
    update = begin(desk, "provisional")
    desk.on("jon", "timeout 30 sh -c \"until pgrep -f '[w]hile .*run/hold'; do sleep 0.05; done\"")
    desk.on("jon", f"kill -9 $({AGENT})")
    gone(desk)
    assert desk.on("jon", "pgrep -fc 'while .*run/hold'", status=1) == "0\n"
    finish(update)


def test_sudo_records_no_secret(desk: Desk) -> None:
    sudoers = "Defaults log_input, log_output, use_pty, secure_path=/usr/bin\\n"
    desk.on("jon", f"printf '{sudoers}' >/etc/sudoers.d/zz; rm -rf /var/log/sudo-io")
    desk.rolecall("vars", "rotate", "jon/node.words", "--force")
    desk.rolecall("update", "--yes")
    secret = desk.on("jon", "cat /run/rolecall/secrets/node.words/*")
    assert len(secret.split("-")) == 4
    found = "find /var/log/sudo-io -type f -exec zgrep -il {} {{}} + | head -1"
    assert desk.on("jon", found.format("systemd-run")).startswith("/var/log/sudo-io/")
    assert desk.on("jon", found.format(secret.strip())) == ""
    assert desk.on("jon", f"journalctl --no-pager | grep -c {secret.strip()}", status=1) == "0\n"
    desk.on("jon", "rm /etc/sudoers.d/zz")


@pytest.mark.parametrize(
    ("sudoers", "said"),
    [
        ("Defaults requiretty", "you must have a tty to run sudo; remove `requiretty` for this user in sudoers(5)"),
        ("admin ALL=(ALL) PASSWD: ALL", "a password is required; allow this user to run commands without one"),
    ],
)
def test_a_sudo_that_refuses_is_explained(desk: Desk, sudoers: str, said: str) -> None:
    desk.on("jon", f"echo '{sudoers}' >/etc/sudoers.d/zz")
    assert said in desk.rolecall("plan", status=1).stdout
    desk.on("jon", "rm /etc/sudoers.d/zz")
