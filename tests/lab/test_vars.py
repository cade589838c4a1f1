"""Keys and secrets on real machines: joining, rotation without a gap, reboots, drift, leaving."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from conftest import Desk, DeskFactory

FOREIGN = "[Service]\nType=exec\nExecStart=/bin/sh -c 'echo begun >>/var/log/foreign; exec sleep infinity'\n"
SECRETS = "/run/rolecall/secrets"
SEALED = "/var/lib/rolecall/sealed"
PROBE = """
rm -f /root/probed /root/end
while [ ! -e /root/end ]; do
  /etc/rolecall/backup/backup --server store probe >/dev/null 2>/root/why && echo good || { echo bad; cat /root/why; }
done >/root/probed
"""


def inventory(*peers: str) -> dict[str, object]:
    return {
        "machines": {"jon": {"state": {"documents": {"folders": ["/srv/documents"]}}}, "sara": {}, "store": {}},
        "vars": {"smtp": {"prompts": {"password": {"description": "The mail account"}}}},
        "instances": {
            "backup": {
                "module": {"name": "borgbackup"},
                "roles": {"client": {"machines": {"jon": {}}}, "server": {"machines": {"store": {}}}},
            },
            "slow": {"module": {"input": "self"}, "roles": {"slow": {"machines": {"store": {}}}}},
            "mesh": {
                "module": {"input": "self"},
                "roles": {
                    "peer": {
                        "machines": {name: {} for name in peers},
                        "settings": {"password": {"var": "smtp/password"}},
                    }
                },
            },
        },
    }


@pytest.fixture(scope="module")
def desk(new_desk: DeskFactory) -> Desk:
    """A project in which jon backs up to a store and is in the mesh."""
    made = new_desk()
    services.install(made.root, "mesh")
    services.install(made.root, "slow")
    made.write(**inventory("jon"))
    made.rolecall("keys", "create", "me")
    made.rolecall("lab", "up")
    for machine in ("jon", "sara"):
        made.on(machine, 'printf "%s" "$1" >/etc/systemd/system/foreign.service', FOREIGN)
        made.on(machine, "mkdir -p /srv/documents; systemctl daemon-reload; systemctl start foreign.service")
    answers = {f"{name}/mesh.token/seed": f"seed of {name}" for name in ("jon", "sara")}
    (made.root.parent / "answers.json").write_text(json.dumps({**answers, "shared/smtp/password": "hunter2"}))
    update(made)
    return made


def update(desk: Desk) -> str:
    return desk.rolecall("--answers", str(desk.root.parent / "answers.json"), "update", "--yes").stdout


def value(desk: Desk, key: str) -> str:
    return desk.rolecall("vars", "get", "--yes", key).stdout


def telling(text: str) -> str:
    """Return a line that only this secret has: all private keys of OpenSSH begin alike."""
    return text.splitlines()[min(3, text.count("\n") // 2)]


def stands(desk: Desk, machine: str) -> dict[str, str]:
    """Return owner and mode of each secret on its tmpfs."""
    lines = desk.on(machine, f"find {SECRETS} -type f -printf '%P %u:%g %m\\n'").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def sealed(desk: Desk, machine: str) -> set[str]:
    return set(desk.on(machine, f"ls {SEALED}").split())


def version(desk: Desk, name: str) -> str:
    [found] = [row["version"] for row in desk.json("vars", "list")["vars"] if _named(row) == name]
    return str(found)


def _named(row: dict[str, str | None]) -> str:
    return f"{row['machine'] or 'shared'}/{row['name']}/{row['file']}"


def test_secrets_have_the_declared_owners_and_modes(desk: Desk) -> None:
    assert stands(desk, "jon") == {
        "backup.repokey/passphrase": "root:root 400",
        "backup.ssh/private": "root:root 400",
        "mesh.common/passphrase": "daemon:daemon 440",
        "mesh.token/token": "root:root 400",
    }
    assert desk.on("jon", f"cat {SECRETS}/mesh.token/token") == "SEED OF JON"
    assert desk.on("jon", "cat /etc/mesh.conf; stat -c %a /etc/mesh.conf") == "password = hunter2\n600\n"
    assert desk.on("jon", f"findmnt -n -o FSTYPE -T {SECRETS}") == "tmpfs\n"
    assert desk.on("jon", "wc -l </var/log/foreign") == "2\n"  # begun by hand, and again when its secret came
    assert desk.on("sara", "ls -d /run/rolecall", status=None).startswith("ls: cannot access")


def test_secrets_on_disk_are_sealed_to_the_machine(desk: Desk) -> None:
    values = [value(desk, key) for key in ("jon/backup.repokey", "jon/backup.ssh/private", "shared/mesh.common")]
    for text in values:
        found = desk.on("jon", 'grep -rlF -- "$1" /var/lib/rolecall || true', telling(text))
        assert found == ""
    kept = desk.on("jon", f"cd {SEALED}; for name in ./*; do head -n 1 $name; done").splitlines()
    assert len(kept) == 5
    assert all(json.loads(line)["credential"] for line in kept)
    one = version(desk, "shared/mesh.common/passphrase")
    script = f"tail -n +2 {SEALED}/{one} | systemd-creds decrypt --name={one} - -"
    assert desk.on("jon", f"{script} 2>/dev/null") == value(desk, "shared/mesh.common")
    desk.on("jon", f"tail -n +2 {SEALED}/{one} >/root/copy")
    copy = desk.on("jon", "cat /root/copy")
    desk.on("sara", 'printf "%s" "$1" >/root/copy', copy)  # worth nothing elsewhere
    assert desk.on("sara", f"systemd-creds decrypt --name={one} /root/copy - || echo no", status=None).endswith("no\n")


def test_drift_of_a_secret_is_repaired(desk: Desk) -> None:
    desk.on("jon", f"echo other >{SECRETS}/mesh.token/token; chmod 644 {SECRETS}/backup.ssh/private")
    [plan] = [machine for machine in desk.json("plan")["machines"].values() if not machine["same"]]
    changes = {change["key"]: (change["action"], change["detail"]) for change in plan["changes"]}
    assert changes == {
        f"file:{SECRETS}/mesh.token/token": ("repair", "content"),
        f"file:{SECRETS}/backup.ssh/private": ("repair", "mode 0644, not 0400"),
    }
    update(desk)
    assert desk.on("jon", f"cat {SECRETS}/mesh.token/token") == "SEED OF JON"
    assert stands(desk, "jon")["backup.ssh/private"] == "root:root 400"


def probed(desk: Desk, *words: str) -> tuple[dict[str, list[dict[str, object]]], list[str]]:
    """Return what a command prints as JSON, and the results of logins with the key while it ran."""
    with desk.begin("ssh", "jon", "--", PROBE) as probing:
        desk.on("jon", "timeout 30 sh -c 'until [ -s /root/probed ]; do sleep 0.1; done'")
        told = desk.json(*words)
        more = "n=$(wc -l </root/probed); until [ $(wc -l </root/probed) -ge $((n + 3)) ]; do sleep 0.1; done"
        desk.on("jon", f"{more}; touch /root/end")  # what had begun before it ended has ended too
        probing.communicate(timeout=60)
    lines = desk.on("jon", "cat /root/probed").splitlines()
    print("\n".join(line for line in lines if line != "good"))  # noqa: T201 - shown where a test fails
    return told, [line for line in lines if line in {"good", "bad"}]


def test_a_rotation_in_steps_leaves_no_gap(desk: Desk) -> None:
    old = desk.on("store", "cat /var/lib/borg/.ssh/authorized_keys").split()[-2]  # before the comment
    private = value(desk, "jon/backup.ssh/private")
    told, logins = probed(desk, "vars", "rotate", "jon/backup.ssh", "--update", "--yes")
    assert [each["step"] for each in told["vars"]] == [1, 2, 3]
    touched = [
        [name for name, outcome in sorted(report["machines"].items()) if outcome["result"] == "updated"]  # type: ignore[attr-defined]
        for report in told["updates"]
    ]
    assert touched == [["store"], ["jon"], ["store"]]
    assert set(logins) == {"good"}
    assert len(logins) > 10
    assert value(desk, "jon/backup.ssh/private") != private
    assert old not in desk.on("store", "cat /var/lib/borg/.ssh/authorized_keys")
    assert version(desk, "jon/backup.ssh/private") in sealed(desk, "jon")
    assert len(sealed(desk, "jon")) == 5  # the old key is gone from there at once
    desk.rolecall("backups", "create", "jon")


def test_a_rotation_at_once_leaves_a_gap(desk: Desk) -> None:
    """Shows that the test before this one can fail."""
    told, logins = probed(desk, "vars", "rotate", "jon/backup.ssh", "--at-once", "--update", "--yes")
    assert len(told["updates"]) == 1
    assert set(logins) == {"good", "bad"}
    assert logins[-1] == "good"


def test_after_a_boot_secrets_exist_before_their_readers_start(desk: Desk) -> None:
    before = stands(desk, "jon")
    reader = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'cat {0} >/root/read'\n[Install]\nWantedBy=sysinit.target\n"
    text = reader.format(f"{SECRETS}/mesh.common/passphrase").replace(
        "[Service]", "[Unit]\nDefaultDependencies=no\nAfter=sysinit.target\n[Service]"
    )
    desk.on("jon", 'printf "%s" "$1" >/etc/systemd/system/reader.service; systemctl enable reader.service', text)
    reboot(desk, "jon")
    assert stands(desk, "jon") == before
    assert desk.on("jon", "cat /root/read") == value(desk, "shared/mesh.common")
    desk.on("jon", "systemctl disable reader.service; rm /etc/systemd/system/reader.service; systemctl daemon-reload")
    assert desk.rolecall("plan").stdout == "nothing changes (3 machines)\n"
    desk.rolecall("backups", "create", "jon")


def test_secrets_that_cannot_be_decrypted_are_sent_again(desk: Desk) -> None:
    desk.on("jon", "head -c 4096 /dev/urandom >/var/lib/systemd/credential.secret")  # as after a new TPM
    reboot(desk, "jon")
    assert "cannot decrypt the stored secret" in desk.on("jon", "journalctl -b -u rolecall-boot.service")
    assert desk.on("jon", f"find {SECRETS} -type f", status=None) == ""
    desk.on("jon", "rm -f /var/lib/systemd/credential.secret")
    assert "1 machine updated" in update(desk)
    assert len(stands(desk, "jon")) == 4
    reboot(desk, "jon")
    assert desk.rolecall("plan").stdout == "nothing changes (3 machines)\n"


def test_a_new_machine_gets_only_the_secrets_that_it_needs(desk: Desk) -> None:
    desk.write(**inventory("jon", "sara"))
    assert "1 machine updated" in update(desk)
    assert stands(desk, "sara") == {
        "mesh.common/passphrase": "daemon:daemon 440",
        "mesh.token/token": "root:root 400",
    }
    rows = {row["secret"]: row["machines"] for row in desk.json("vars", "recipients")["secrets"]}
    assert rows["shared/mesh.common/passphrase"] == ["jon", "sara"]
    assert rows["jon/mesh.token/token"] == ["jon"]


def test_a_machine_that_leaves_is_named_until_its_secrets_are_rotated(desk: Desk) -> None:
    common = value(desk, "shared/mesh.common")
    desk.write(**inventory("sara"))
    left = "warning: jon received secrets that it no longer needs, and may still have them: "
    left += "shared/mesh.common, shared/smtp\n"
    assert left in desk.rolecall("plan").stderr
    update(desk)
    assert set(stands(desk, "jon")) == {"backup.repokey/passphrase", "backup.ssh/private"}
    begun = int(desk.on("sara", "wc -l </var/log/foreign"))
    answers = str(desk.root.parent / "answers.json")
    told = desk.rolecall("--answers", answers, "vars", "rotate", "--known-to", "jon", "--update", "--yes")
    assert "jon/backup.repokey is not replaced: the repositories are encrypted with it" in told.stderr
    assert value(desk, "shared/mesh.common") != common
    assert desk.on("sara", f"cat {SECRETS}/mesh.common/passphrase") == value(desk, "shared/mesh.common")
    assert int(desk.on("sara", "wc -l </var/log/foreign")) == begun + 1
    assert len(sealed(desk, "sara")) == 3
    plan = desk.rolecall("plan")
    assert (plan.stdout, plan.stderr) == ("nothing changes (3 machines)\n", "")
    assert re.search(r"removed jon/mesh.token", desk.rolecall("vars", "prune", "--yes").stdout)


def test_a_purged_machine_has_no_secrets(desk: Desk) -> None:
    text = telling(value(desk, "jon/backup.ssh/private"))
    declared = inventory("sara")
    del declared["instances"]["backup"]["roles"]["client"]  # type: ignore[index]
    desk.write(**declared)
    assert "is not purged: the machine still has managed resources" in desk.rolecall(
        "machines", "purge", "jon", "--yes", status=1
    ).stderr  # fmt: skip
    update(desk)
    assert len(sealed(desk, "jon")) == 5  # for a way back: also what it had in the mesh
    assert desk.rolecall("machines", "purge", "jon", "--yes").stdout == "purged jon\n"
    desk.on("jon", "test ! -e /var/lib/rolecall")
    assert desk.on("jon", 'grep -rlF -- "$1" /etc /root /run /srv /var || true', text) == ""
    reboot(desk, "jon")
    assert desk.on("jon", "systemctl is-system-running") == "running\n"
    desk.write(**inventory("sara"))
    update(desk)
    desk.rolecall("backups", "create", "jon")  # and it can come again


def reboot(desk: Desk, machine: str) -> None:
    desk.lab.reboot(machine)
    desk.on(machine, "systemctl is-system-running --wait", status=None)
