"""Backups as in the documents, on real machines with real borg and real data, by the command line."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Desk, DeskFactory, Looks

INSTANCE = "/etc/rolecall/instance_1"
KEY = "/run/rolecall/secrets/instance_1.ssh/private"
JOB, TIMER = "rolecall-instance_1.backup.service", "rolecall-instance_1.backup.timer"
REPOSITORIES = "/var/lib/borgbackup/instance_1"
MOVES = ("inode", "mtime")  # what differs after a file was put back in another place of the disk
STATE = {"documents": {"folders": ["/srv/documents"]}}

# Something of everything that a folder can hold.
DOCUMENTS = r"""
mkdir -p /srv/documents/empty /srv/documents/private && cd /srv/documents
echo first >note && echo old >"two words" && head -c 300000 /dev/urandom >private/data
printf 'x' >$'new\nline' && printf 'y' >$'not-utf8-\xff' && ln -s note link && ln -s /nowhere dangling
ln note private/same && chown 4711:4712 note && chown -h daemon:games link && chmod 0640 note && chmod 4755 private/data
chmod 0 "two words"
chown root:daemon private && chmod 2750 private && chmod 1777 empty && mkfifo pipe
touch -d '2001-02-03 04:05:06.789' note empty
python3 - <<'PYTHON'
import os, struct
os.setxattr("private/data", "user.note", b"kept \0 too")
acl = struct.pack("<I", 2)
for entry in ((1, 6, 2**32 - 1), (2, 4, 4711), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1), (32, 0, 2**32 - 1)):
    acl += struct.pack("<HHI", *entry)
os.setxattr("private/data", "system.posix_acl_access", acl)
os.setxattr("private/data", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
PYTHON
"""

# Prints where below the paths, or in the systemd journal, one of the texts on standard input occurs.
SEARCH = """
import json, os, subprocess, sys
texts = [text.encode() for text in json.load(sys.stdin)]
def search(place, data):
    if any(text in data for text in texts):
        print(place)
for top in sys.argv[1:]:
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    search(path, file.read())
search("journal", subprocess.check_output(["journalctl", "-o", "export", "--no-pager"]))
"""


@dataclass(frozen=True)
class Planned:
    """The project of "Scaling the Backup" with its lab up, planned but never updated."""

    desk: Desk
    plan: Any
    before: Looks  # what sara had


@dataclass(frozen=True)
class Updated:
    """The same project after its first update."""

    desk: Desk
    before: Looks
    plan: Any
    output: str
    processes: frozenset[bytes]  # command lines and environments, of this computer and all machines, meanwhile


@pytest.fixture(scope="module")
def planned(new_desk: DeskFactory, section: Callable[[str], str]) -> Planned:
    desk = new_desk()
    (desk.root / "inventory.nix").write_text(section("Scaling the Backup"))
    desk.rolecall("machines", "add", "backup_server")
    declared = json.loads((desk.root / "inventory.json").read_text())["machines"]
    desk.write(machines={**declared, "jon": {"state": STATE}, "sara": {"state": STATE}})
    desk.rolecall("keys", "create")
    assert set(desk.json("lab", "up")["machines"]) == {"jon", "sara", "backup_server"}
    desk.on("jon", DOCUMENTS)
    desk.on("sara", "mkdir /srv/documents && echo hers >/srv/documents/hers")
    # Something stands already where sara's role will have a file.
    desk.on(
        "sara",
        f"mkdir -m 0711 -p {INSTANCE} && cd {INSTANCE} && echo 'what was there' >known_hosts"
        " && chown 4711:games known_hosts"
        ' && chmod 0646 known_hosts && python3 -c \'import os; os.setxattr("known_hosts", "user.note", b"mine")\''
        " && touch -d '2002-03-04 05:06:07' known_hosts",
    )
    before = desk.look("sara", "/etc", "/srv")
    return Planned(desk, desk.json("plan"), before)


@pytest.fixture(scope="module")
def updated(planned: Planned) -> Updated:
    desk = planned.desk
    with _watching() as seen:
        update = desk.begin("update", "--yes", "--verbose")
        output, _ = update.communicate()
    assert update.returncode == 0, output
    return Updated(desk, planned.before, planned.plan, output, frozenset(seen))


class _watching:  # noqa: N801 - reads as a function
    """Collect the command line and environment of every process on this computer and in its machines."""

    def __enter__(self) -> set[bytes]:
        self._seen: set[bytes] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self._seen

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self._seen.add((process / name).read_bytes())
                    except OSError:
                        continue  # it has ended


def _archives(desk: Desk, machine: str, *words: str) -> list[str]:
    return [archive["name"] for archive in desk.json("backups", "list", machine, *words)]


def _secrets(desk: Desk, *names: str) -> list[str]:
    """Return texts that identify secret values anywhere."""
    texts = []
    for name in names:
        value = desk.rolecall("vars", "get", name, "--yes").stdout.strip()
        lines = value.splitlines()
        texts += lines[2:-1] if len(lines) > 1 else lines  # the first lines of all OpenSSH keys are the same
    assert all(len(text) > 20 for text in texts)
    return texts


# Plan and update


def test_a_plan_lists_the_keys_to_generate_and_changes_nothing(planned: Planned) -> None:
    desk, plan = planned.desk, planned.plan
    made = {make["var"]: set(make["files"]) for make in plan["makes"]}
    pair, words = {"private", "public"}, {"passphrase"}
    assert made == {
        "jon/instance_1.ssh": pair, "jon/instance_1.repokey": words,
        "sara/instance_1.ssh": pair, "sara/instance_1.repokey": words,
    }  # fmt: skip
    assert desk.look("sara", "/etc", "/srv") == planned.before
    again = desk.json("plan")
    assert again == plan
    assert not (desk.root / "vars").exists()
    overwritten = [change["key"] for change in plan["machines"]["sara"]["changes"] if change["action"] == "overwrite"]
    assert overwritten == [f"file:{INSTANCE}/known_hosts"]
    assert desk.rolecall("plan", "--exit-code", status=2).stdout.startswith(
        "generate jon/instance_1.repokey: passphrase"
    )


def test_a_machine_with_another_host_key_is_refused_and_nothing_changes(planned: Planned) -> None:
    desk = planned.desk
    pins = desk.lab.known_hosts.read_text()
    swapped = pins.replace("jon", "\0").replace("sara", "jon").replace("\0", "sara")
    assert swapped != pins
    desk.lab.known_hosts.write_text(swapped)
    try:
        refused = desk.rolecall("update", "--yes", status=1)
    finally:
        desk.lab.known_hosts.write_text(pins)
    for machine in ("jon", "sara"):
        assert f"{machine} (the lab): host key mismatch" in refused.stdout
    assert "failed; every machine is as it was before" in refused.stdout
    assert desk.look("sara", "/etc", "/srv") == planned.before
    for machine in ("jon", "sara", "backup_server"):
        assert "current" not in desk.on(machine, "ls -A /var/lib/rolecall 2>/dev/null || true")
    assert not (desk.root / "vars").exists()


def test_an_update_uses_exactly_the_keys_of_the_plan(updated: Updated) -> None:
    shown = {make["var"]: make["files"] for make in updated.plan["makes"]}
    kept: dict[str, dict[str, str]] = {}
    for row in updated.desk.json("vars", "list")["vars"]:
        assert not row["pending"]
        kept.setdefault(f"{row['machine']}/{row['name']}", {})[row["file"]] = row["version"]
    assert kept == shown
    assert "3 machines updated" in updated.output
    lines = updated.desk.on("backup_server", "cat /var/lib/borg/.ssh/authorized_keys").splitlines()
    for machine in ("jon", "sara"):
        public = updated.desk.rolecall("vars", "get", f"{machine}/instance_1.ssh/public").stdout.split()[1]
        [line] = [line for line in lines if public in line]
        serve = f"borg serve --restrict-to-repository {REPOSITORIES}/{machine}"
        assert line.startswith(f'restrict,command="{serve}" ssh-ed25519 ')


def test_a_second_update_changes_nothing_with_one_exec_per_machine(updated: Updated) -> None:
    desk = updated.desk
    managed = ("/etc", "/run/rolecall", "/var/lib/rolecall/generations", "/var/lib/rolecall/current")
    before = {machine: desk.look(machine, *managed) for machine in ("jon", "sara", "backup_server")}
    assert desk.rolecall("plan", "--exit-code").stdout == "nothing changes (3 machines)\n"
    report = desk.json("update", "--yes")
    assert report["done"]
    assert report["execs"] == 3
    assert {outcome["result"] for outcome in report["machines"].values()} == {"unchanged"}
    assert {machine: desk.look(machine, *managed) for machine in before} == before


# Backups


def test_files_are_restored_from_scheduled_and_manual_backups(updated: Updated) -> None:
    desk = updated.desk
    show = (
        f"systemctl is-enabled {TIMER}; systemctl is-active {TIMER}; systemctl show -P NextElapseUSecRealtime {TIMER}"
    )
    enabled, active, following = desk.on("jon", show).splitlines()
    assert (enabled, active) == ("enabled", "active")
    assert " 01:00:00 " in following

    # A run was missed while the machine was off: the timer catches up at once.
    stamp = f"/var/lib/systemd/timers/stamp-{TIMER}"
    desk.on("jon", f"systemctl stop {TIMER} && touch -d '2 days ago' {stamp} && systemctl start {TIMER}")
    wait = f"until [ $(systemctl show -P ExecMainExitTimestampMonotonic {JOB}) != 0 ]; do sleep 0.2; done"
    assert desk.on("jon", f"{wait}; systemctl show -P Result {JOB}") == "success\n"
    [by_timer] = _archives(desk, "jon")

    desk.on("jon", "echo second >/srv/documents/note")
    before = desk.look("jon", "/srv/documents", but=("inode",))
    [made] = desk.json("backups", "create", "jon")
    assert (made["instance"], made["target"]) == ("instance_1", "backup_server")
    assert _archives(desk, "jon") == [by_timer, made["archive"]]

    desk.on("jon", "rm -r /srv/documents")
    assert desk.json("backups", "restore", "jon", "--yes")["name"] == made["archive"]
    assert desk.look("jon", "/srv/documents", but=("inode",)) == before

    desk.rolecall("backups", "restore", "jon", by_timer, "/srv/documents/note", "--yes")
    assert desk.on("jon", "cat /srv/documents/note") == "first\n"
    assert "has no backup nonsense" in desk.rolecall("backups", "restore", "jon", "nonsense", "-y", status=1).stderr


def test_a_client_reaches_only_its_own_repository(updated: Updated) -> None:
    desk = updated.desk
    [made] = desk.json("backups", "create", "sara")
    before = desk.look("backup_server", f"{REPOSITORIES}/sara")
    desk.on("backup_server", "echo out of reach >/var/lib/borg/file && chown borg /var/lib/borg/file")
    words = desk.rolecall("vars", "get", "sara/instance_1.repokey", "--yes").stdout  # even with her passphrase
    options = f"-F none -i {KEY} -o UserKnownHostsFile={INSTANCE}/known_hosts -o BatchMode=yes -o ConnectTimeout=15"
    prefix = f"""
        read -r BORG_PASSPHRASE; export BORG_PASSPHRASE BORG_RSH='ssh {options}' BORG_BASE_DIR=/tmp/attack
        export BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=YES BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
        cd $(mktemp -d)
    """
    own, hers = f"ssh://borg@backup_server{REPOSITORIES}/jon", f"ssh://borg@backup_server{REPOSITORIES}/sara"
    around = f"ssh://borg@backup_server{REPOSITORIES}/jon/../sara"
    own_words = desk.rolecall("vars", "get", "jon/instance_1.repokey", "--yes").stdout
    desk.on("jon", f"{prefix} borg list --short {own}", given=own_words)  # the way itself works
    attempts = [
        f"borg list {hers}", f"borg list {around}", f"borg extract {hers}::{made['archive']}", f"borg delete {hers}",
        f"borg init -e none ssh://borg@backup_server{REPOSITORIES}/other",
    ]  # fmt: skip
    for attempt in attempts:
        output = desk.on("jon", f"{prefix} {attempt}", given=words, status=2)
        assert "Repository path not allowed" in output, attempt
    ssh = f"timeout 20 ssh {options}"
    attempts = [
        f"{ssh} borg@backup_server cat /var/lib/borg/file", f"{ssh} -tt borg@backup_server",
        f"echo 'get /var/lib/borg/file /dev/stdout' | timeout 20 sftp -b - {options} borg@backup_server",
        f"{ssh} -W localhost:22 borg@backup_server", f"{ssh} root@backup_server true",
        f"timeout 20 scp {options} borg@backup_server:/var/lib/borg/file got && cat got",
    ]  # fmt: skip
    for attempt in attempts:
        output = desk.on("jon", f"{attempt} </dev/null", status=None)
        assert "out of reach" not in output, attempt
        assert "OpenSSH_" not in output, attempt  # what an sshd that were reached would greet with
    assert "Permission denied" in desk.on("jon", f"{ssh} root@backup_server true", status=255)
    assert desk.look("backup_server", f"{REPOSITORIES}/sara") == before
    assert _archives(desk, "sara") == [made["archive"]]
    assert desk.on("jon", "ls /run/rolecall/secrets").split() == ["instance_1.repokey", "instance_1.ssh"]


# Secrets


def test_secrets_are_only_where_they_belong(updated: Updated) -> None:
    desk = updated.desk
    with _watching() as seen:
        desk.rolecall("backups", "create", "jon")
    outputs = {
        "update": updated.output,
        **{
            " ".join(words): desk.rolecall(*words).stdout
            for words in (("plan", "--json"), ("show", "--json"), ("show", "jon", "--json"), ("vars", "list"))
        },
    }
    texts = _secrets(
        desk,
        "jon/instance_1.repokey",
        "jon/instance_1.ssh/private",
        "sara/instance_1.repokey",
        "sara/instance_1.ssh/private",
    )
    assert [name for name, text in outputs.items() if any(secret in text for secret in texts)] == []
    assert any(b"apt-get" in process for process in updated.processes)  # machines' processes are seen indeed
    assert any(b"borg\0serve" in process or b"borg serve" in process for process in seen)
    for process in updated.processes | seen:
        assert not any(secret.encode() in process for secret in texts), process
    files = [path for path in desk.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 10
    assert [path for path in files if any(secret.encode() in path.read_bytes() for secret in texts)] == []
    for machine in ("jon", "sara", "backup_server"):
        script = 'python3 -c "$1" /etc /home /root /run /srv /tmp /var'
        found = desk.on(machine, script, SEARCH, given=json.dumps(texts)).splitlines()
        assert [place for place in found if not place.startswith("/run/rolecall/secrets/")] == []  # sealed on disk
        assert len(found) == (0 if machine == "backup_server" else 2)  # and there it is found


# Undeclaring


def test_undeclaring_undoes_and_changes_nothing_else(updated: Updated) -> None:
    desk = updated.desk
    inventory = desk.root / "inventory.nix"
    text = inventory.read_text()
    head, tail = text.split('"sara"')
    public = desk.rolecall("vars", "get", "sara/instance_1.ssh/public").stdout.split()[1]
    stored = desk.look("backup_server", f"{REPOSITORIES}/sara")
    others = {
        "jon": desk.look("jon", "/etc", "/run/rolecall", "/srv"),
        "backup_server": desk.look("backup_server", "/etc", "/srv"),
    }
    inventory.write_text(f'{head}"sara"{tail.replace(chr(34) + "backup" + chr(34), "", 1)}')

    report = desk.json("update", "--yes")
    results = {machine: outcome["result"] for machine, outcome in report["machines"].items()}
    assert results == {"jon": "unchanged", "sara": "updated", "backup_server": "updated"}
    after = desk.look("sara", "/etc", "/srv")
    known_hosts = f"{INSTANCE}/known_hosts"
    assert {**after[known_hosts], "inode": 0} == {**updated.before[known_hosts], "inode": 0}
    caches = {"/etc/ld.so.cache"}
    assert _settled(after, caches) == _settled(updated.before, caches)
    assert desk.on("sara", "ls /run/rolecall", status=None).startswith("ls: cannot access")
    assert (
        desk.on(
            "sara",
            "systemctl list-unit-files --no-legend 'rolecall*'; systemctl list-units --all --no-legend 'rolecall*'",
        )
        == ""
    )
    assert desk.on("sara", "command -v borg || echo gone") == "gone\n"
    assert desk.on("sara", "find /var/lib/rolecall/sealed -type f").count("\n") == 2  # generation 1 still names them

    assert public not in desk.on("backup_server", "cat /var/lib/borg/.ssh/authorized_keys")
    assert desk.look("backup_server", f"{REPOSITORIES}/sara") == stored
    for machine, looks in others.items():
        assert desk.look(machine, *([] if machine == "backup_server" else ["/run/rolecall"]), "/etc", "/srv") == looks
    assert desk.json("update", "--yes")["execs"] == 3

    kept = {row["machine"] for row in desk.json("vars", "list")["vars"]}
    assert kept == {"jon", "sara"}
    assert desk.json("vars", "prune", "--yes")["vars"] == ["sara/instance_1.ssh"]
    left = [row["name"] for row in desk.json("vars", "list")["vars"] if row["machine"] == "sara"]
    assert left == ["instance_1.repokey"]  # its archives are encrypted with it
    assert [path.name for path in (desk.root / "vars/per-machine/sara").iterdir()] == left


def _settled(looks: Looks, but: set[str]) -> Looks:
    """Return looks without what changes when a package is installed and removed."""
    return {
        path: {name: value for name, value in look.items() if name not in MOVES}
        for path, look in looks.items()
        if path not in but
    }


# Several instances


@pytest.fixture(scope="module")
def several(new_desk: DeskFactory, section: Callable[[str], str]) -> Desk:
    desk = new_desk()
    (desk.root / "inventory.nix").write_text(section("Multiple Service Instances"))
    desk.write(machines={"jon": {"state": STATE}, "backup_server": {"state": STATE}})
    desk.rolecall("keys", "create")
    desk.rolecall("lab", "up")
    for machine in ("jon", "backup_server"):
        desk.on(machine, "mkdir /srv/documents && hostname >/srv/documents/name")
    desk.rolecall("update", "--yes")
    return desk


def test_a_server_of_one_instance_is_a_client_of_another(several: Desk) -> None:
    ways = {"jon": ("instance_1", "backup_server"), "backup_server": ("instance_2", "backup_backup_server")}
    runs = {machine: several.begin("backups", "create", machine) for machine in ways}
    for machine, run in runs.items():
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
        [archive] = several.json("backups", "list", machine)
        assert (archive["instance"], archive["target"]) == ways[machine]
    several.on("backup_server", "rm -r /srv/documents")
    several.rolecall("backups", "restore", "backup_server", "--yes")
    assert several.on("backup_server", "cat /srv/documents/name") == several.on("backup_server", "hostname")
    assert several.rolecall("plan").stdout == "nothing changes (3 machines)\n"
    assert (
        "nothing backs backup_backup_server up"
        in several.rolecall("backups", "list", "backup_backup_server", status=1).stderr
    )


TWICE = """
{ inventory = {
    machines = { jon = {}; backup_server = {}; backup_backup_server = {}; };
    instances = { %s };
  }; }
"""
ONE = """%s = {
    module = { name = "borgbackup"; input = "clan-core"; };
    roles.client.machines.jon = {};
    roles.server.machines.backup_server = {};
};"""


def test_two_instances_on_the_same_machines_are_independent(several: Desk) -> None:
    desk = several
    inventory = desk.root / "inventory.nix"
    first, second = ONE % "instance_1", ONE % "instance_3"
    inventory.write_text(TWICE % (first + second))
    desk.rolecall("update", "--yes")
    names = ("ssh/public", "ssh/private", "repokey")
    values = [
        desk.rolecall("vars", "get", f"jon/instance_{number}.{name}", "--yes").stdout
        for name in names
        for number in (1, 3)
    ]
    assert len(set(values)) == len(values)
    made = {(entry["instance"], entry["archive"]) for entry in desk.json("backups", "create", "jon")}
    assert {instance for instance, _ in made} == {"instance_1", "instance_3"}
    listed = {(entry["instance"], entry["name"]) for entry in desk.json("backups", "list", "jon")}
    assert made <= listed
    assert len({name for _, name in listed}) == len(listed)  # no archive is in both
    assert desk.on("backup_server", "cd /var/lib/borgbackup && echo */*").split() == [
        "instance_1/jon",
        "instance_3/jon",
    ]
    other = "ssh://borg@backup_server/var/lib/borgbackup/instance_3/jon"
    rsh = f"ssh -F none -i {KEY} -o UserKnownHostsFile={INSTANCE}/known_hosts -o BatchMode=yes"
    assert "not allowed" in desk.on("jon", f"BORG_RSH='{rsh}' borg list {other}", status=2)

    kept = (
        "/etc/rolecall/instance_3",
        "/run/rolecall/secrets/instance_3.ssh",
        "/run/rolecall/secrets/instance_3.repokey",
    )
    before = desk.look("jon", *kept)
    assert len(before) > 6
    inventory.write_text(TWICE % second)
    desk.rolecall("update", "--yes")
    assert desk.look("jon", *kept) == before
    assert desk.on("jon", "ls /etc/rolecall").split() == ["instance_3"]
    assert desk.on("jon", "ls /run/rolecall/secrets").split() == ["instance_3.repokey", "instance_3.ssh"]
    units = desk.on("jon", "systemctl list-unit-files --no-legend 'rolecall-instance*'")
    assert [line.split()[0] for line in units.splitlines()] == [
        "rolecall-instance_3.backup.service", "rolecall-instance_3.backup.timer"
    ]  # fmt: skip
    assert desk.on("backup_server", "cat /var/lib/borg/.ssh/authorized_keys").count("\n") == 1
    assert {(entry["instance"], entry["name"]) for entry in desk.json("backups", "list", "jon")} == {
        entry for entry in listed if entry[0] == "instance_3"
    }
