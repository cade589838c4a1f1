"""Units as systemd has them: templates, sockets, drop-ins, [Install] sections, and units that something else starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Desk

SERVICE, MODULE = "raw", "raw"
SLEEP = "[Service]\nExecStart=/bin/sleep {}\n[Install]\nWantedBy=multi-user.target\n"
ECHO = """
import os, socket
listener = socket.socket(fileno=3)
text = open("/etc/echo.conf").read()
while True:
    listener.accept()[0].sendall(text.encode())
"""
ASK = """python3 -c 'import socket,sys; print(socket.create_connection(("127.0.0.1", {})).recv(99).decode(), end="")'"""


@pytest.fixture(scope="module")
def office(office: Desk) -> Desk:
    office.on("jon", "cat >/usr/local/bin/echo.py", given=ECHO)
    return office


def declare(
    desk: Desk, units: dict[str, dict[str, Any]] | None = None, files: dict[str, str] | None = None, *packages: str
) -> None:
    settings = {"files": files or {}, "units": units or {}, "packages": packages}
    role = {"settings": settings, "machines": {"jon": {}}}
    raw = {"module": {"name": MODULE, "input": "self"}, "roles": {"node": role}}
    desk.write(machines={"jon": {}}, instances={"raw": raw})


def update(desk: Desk) -> str:
    """Update, and return what it printed; nothing is left to do afterwards."""
    printed = desk.rolecall("update", "--yes").stdout
    assert "nothing changes" in desk.rolecall("plan").stdout
    return printed


def effects(printed: str) -> list[str]:
    """Return what a plan says that happens to units."""
    return re.findall(r"^  ((?:stop|restart|reload|start) .*)", printed, re.MULTILINE)


def running(desk: Desk, unit: str) -> str:
    return desk.on("jon", f"tr '\\0' ' ' </proc/$(systemctl show --value -p MainPID {unit})/cmdline").strip()


def test_a_template_beside_other_units(desk: Desk) -> None:
    units = {
        "aaa@.service": {"text": "[Service]\nExecStart=/bin/sleep %i\n"},
        "bbb.service": {"text": SLEEP.format(1000), "enabled": True, "started": True},
        "ccc.service": {"text": SLEEP.format(1000), "enabled": True, "started": True},
    }
    declare(desk, units)
    update(desk)
    units["bbb.service"]["text"] = SLEEP.format(2000)
    declare(desk, units)
    assert "restart bbb.service" in update(desk)
    assert running(desk, "bbb.service") == "/bin/sleep 2000"
    declare(desk)
    update(desk)
    left = "systemctl is-active bbb; ls /etc/systemd/system/*/bbb.service"
    assert desk.on("jon", left, status=2).startswith("inactive\n")


def test_a_template_with_a_default_instance(desk: Desk) -> None:
    install = "[Install]\nWantedBy=multi-user.target\nDefaultInstance=77\n"
    declare(desk, {"t@.service": {"text": f"[Service]\nExecStart=/bin/sleep %i\n{install}", "enabled": True}})
    update(desk)
    assert desk.on("jon", "ls /etc/systemd/system/multi-user.target.wants").count("t@77.service") == 1


def sockets(text: str, port: int) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    units: dict[str, dict[str, Any]] = {
        "echo.socket": {
            "text": f"[Socket]\nListenStream=127.0.0.1:{port}\n[Install]\nWantedBy=sockets.target\n",
            "enabled": True,
            "started": True,
        },
        "echo.service": {
            "text": "[Service]\nExecStart=/usr/bin/python3 /usr/local/bin/echo.py\n",
            "restartOn": ["file:/etc/echo.conf"],
        },
    }
    return units, {"/etc/echo.conf": text}


def test_what_a_service_behind_a_socket_reads_changes(desk: Desk) -> None:
    declare(desk, *sockets("one", 7001))
    update(desk)
    assert desk.on("jon", ASK.format(7001)) == "one"
    declare(desk, *sockets("two", 7001))
    assert "restart echo.service" in update(desk)
    assert desk.on("jon", ASK.format(7001)) == "two"


def test_a_socket_whose_service_runs_changes(desk: Desk) -> None:
    declare(desk, *sockets("one", 7001))
    update(desk)
    assert desk.on("jon", ASK.format(7001)) == "one"
    declare(desk, *sockets("one", 7002))
    assert "restart echo.socket" in update(desk)
    assert desk.on("jon", ASK.format(7002)) == "one"


def test_the_change_of_a_socket_is_undone(desk: Desk) -> None:
    declare(desk, *sockets("one", 7001))
    update(desk)
    assert desk.on("jon", ASK.format(7001)) == "one"
    units, files = sockets("two", 7002)
    units["fails.service"] = {"text": "[Service]\nType=oneshot\nExecStart=/bin/false\n", "started": True}
    declare(desk, units, files)
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert desk.on("jon", ASK.format(7001)) == "one"


def test_a_drop_in_of_an_undeclared_unit(desk: Desk) -> None:
    unit = "[Service]\nExecStart=/bin/sleep ${V}\nEnvironment=V=333\n"
    desk.on("jon", "cat >/etc/systemd/system/own.service; systemctl daemon-reload; systemctl start own", given=unit)
    for value in ("111", "222"):
        declare(desk, {}, {"/etc/systemd/system/own.service.d/x.conf": f"[Service]\nEnvironment=V={value}\n"})
        assert "restart own.service" in update(desk)
        shown = desk.on("jon", "systemctl show -p Environment -p NeedDaemonReload own; pgrep -af '^/bin/sleep'")
        assert f"Environment=V={value}" in shown
        assert "NeedDaemonReload=no" in shown
        assert f"/bin/sleep {value}\n" in shown
    declare(desk)
    update(desk)
    assert desk.on("jon", "pgrep -af '^/bin/sleep'").endswith("/bin/sleep 333\n")
    desk.on("jon", "systemctl stop own; rm /etc/systemd/system/own.service; systemctl daemon-reload")


def test_an_install_section_that_changes(desk: Desk) -> None:
    folder = "/etc/systemd/system"
    links = f"cd {folder}; ls -d *.wants/w.service"
    text = SLEEP.format(1000)
    declare(desk, {"w.service": {"text": text, "enabled": True, "started": True}})
    update(desk)
    assert desk.on("jon", links) == "multi-user.target.wants/w.service\n"
    other = text.replace("multi-user", "graphical")
    failing = {"text": "[Service]\nType=oneshot\nExecStart=/bin/false\n", "started": True}
    declare(desk, {"w.service": {"text": other, "enabled": True, "started": True}, "x.service": failing})
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert desk.on("jon", links) == "multi-user.target.wants/w.service\n"
    declare(desk, {"w.service": {"text": other, "enabled": True, "started": True}})
    update(desk)
    assert desk.on("jon", links) == "graphical.target.wants/w.service\n"


def test_a_job_that_is_running_is_left_alone(desk: Desk) -> None:
    """A timer's job is not started again because its text changes; the next run has the new text."""
    declare(desk, {"job.service": {"text": "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n"}})
    update(desk)
    desk.on("jon", "systemctl start --no-block job.service")
    before = running(desk, "job.service")
    declare(desk, {"job.service": {"text": "[Service]\nType=oneshot\nExecStart=/bin/sleep 2000\n"}})
    assert "restart job.service" not in update(desk)
    assert running(desk, "job.service") == before == "/bin/sleep 1000"
    desk.on("jon", "systemctl stop job.service")


def test_a_service_that_ends_is_named(desk: Desk) -> None:
    declare(desk, {"ends.service": {"text": "[Service]\nExecStart=/bin/true\n", "started": True}})
    done = desk.rolecall("update", "--yes", status=1)
    assert "not as declared after the switch: unit:ends.service: not running" in done.stdout
    assert "every machine is as it was before" in done.stdout


def test_a_service_that_starts_again_and_again(desk: Desk) -> None:
    """One that ends well now and then is as it should be; one that fails each time is not."""
    text = "[Service]\nExecStart={}\nRestart=always\nRestartSec=1\n"
    declare(desk, {"loop.service": {"text": text.format("/bin/sleep 2"), "started": True}})
    desk.rolecall("update", "--yes")
    waiting = "systemctl show -p SubState loop.service | grep auto-restart"
    desk.on("jon", f"timeout 30 sh -c 'until {waiting}; do sleep 0.05; done'")
    assert "nothing changes" in desk.rolecall("plan").stdout
    # It ends well, and starts again, before the update counts.
    declare(desk, {"loop.service": {"text": text.format("/bin/sleep 0.5"), "started": True, "settleSeconds": 3}})
    desk.rolecall("update", "--yes")
    declare(desk, {"loop.service": {"text": text.format("/bin/false"), "started": True}})
    assert "loop.service" in desk.rolecall("update", "--yes", status=1).stdout


@pytest.mark.parametrize(
    ("status", "restart", "message"),
    [
        (1, "no", "failed after it was started"),
        (0, "no", "ended after it was started"),
        (1, "always", "after it was started"),  # whether it is running again by then, or not
    ],
)
def test_a_service_that_lives_only_for_a_moment(desk: Desk, status: int, restart: str, message: str) -> None:
    text = f"[Service]\nExecStart=/bin/sh -c 'sleep 0.8; echo so it goes; exit {status}'\nRestart={restart}\n"
    declare(desk, {"short.service": {"text": text, "started": True, "settleSeconds": 3}})
    done = desk.rolecall("update", "--yes", status=1)
    assert re.search(rf"short\.service [a-z ]*{message}", done.stdout)
    assert "so it goes" in done.stdout + done.stderr
    assert "every machine is as it was before" in done.stdout


def test_a_start_limit_does_not_stop_an_update(desk: Desk) -> None:
    for seconds in range(1000, 1007):  # systemd allows five starts in ten seconds
        declare(desk, {"often.service": {"text": SLEEP.format(seconds), "started": True}})
        desk.rolecall("update", "--yes")
    assert running(desk, "often.service") == "/bin/sleep 1006"


def test_what_changes_without_a_restart(desk: Desk) -> None:
    """A restart would run jobs of a timer and a path out of turn, and end what is in a slice or part of a target."""
    started = {"started": True}

    def units(hours: int, path: str, tasks: int, *wanted: str) -> dict[str, dict[str, Any]]:
        job = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo {0} >>/run/{0}.ran'\n"
        part = "[Unit]\nPartOf=all.target\n[Service]\nSlice=own.slice\nExecStart=/bin/sleep 1000\n"
        return {
            "turn.service": {"text": job.format("turn")},
            "turn.timer": {"text": f"[Timer]\nOnBootSec=0\nOnUnitActiveSec={hours}h\n", **started},
            "late.service": {"text": job.format("late")},
            "late.timer": {"text": f"[Timer]\nOnCalendar=*-1-{hours}\nPersistent=true\n", **started},
            "seen.service": {"text": job.format("seen")},
            "seen.path": {"text": f"[Path]\nPathExists={path}\nPathChanged=/run/x\n", **started},
            "own.slice": {"text": f"[Slice]\nTasksMax={tasks}\n"},
            "all.target": {"text": f"[Unit]\nWants={' '.join(wanted)}\n", **started},
            "one.service": {"text": part},
            "two.service": {"text": part},
        }

    desk.on("jon", "touch /run/there; rm -f /run/*.ran")
    declare(desk, units(1, "/run/missing", 100, "one.service"))
    update(desk)
    desk.on("jon", "timeout 90 sh -c 'until [ -s /run/turn.ran ]; do sleep 0.1; done'")
    shown = "systemctl show -p MainPID,TasksMax,NextElapseUSecMonotonic one.service own.slice turn.timer user.slice"
    before = desk.on("jon", shown)
    ran = desk.on("jon", "cat /run/*.ran")
    dropped = dict.fromkeys(
        (f"/etc/systemd/system/{name}.d/x.conf" for name in ("user.slice", "system.slice")), "[Slice]\nTasksMax=3456\n"
    )
    declare(desk, units(2, "/run/missing2", 200, "one.service", "two.service"), dropped)
    printed = update(desk)
    changed = ("own.slice", "seen.path", "all.target", "late.timer", "turn.timer", "system.slice", "user.slice")
    assert set(effects(printed)) == {f"reload {name}" for name in changed}
    after = desk.on("jon", shown)
    assert desk.on("jon", "cat /run/*.ran; systemctl is-active one two") == f"{ran}active\nactive\n"
    pid = re.compile("MainPID=.*")
    assert pid.findall(before) == pid.findall(after)
    assert re.findall("TasksMax=(.*)", after)[1:] == ["200", "3456"]
    elapse = re.compile("NextElapseUSecMonotonic=(.*)")
    assert elapse.findall(before) != elapse.findall(after)


def test_a_mount(desk: Desk) -> None:
    name = r"srv-my\x2ddata.mount"

    def mount(size: str, options: str = "", what: str = "tmpfs") -> dict[str, dict[str, Any]]:
        text = f"[Mount]\nWhat={what}\nWhere=/srv/my-data\nType=tmpfs\nOptions=size={size}{options}\n"
        return {name: {"text": text, "started": True}}

    look = "findmnt -no SOURCE,OPTIONS /srv/my-data; ls /srv/my-data"
    declare(desk, mount("1M"))
    update(desk)
    desk.on("jon", "touch /srv/my-data/kept")
    declare(desk, mount("2M"))
    assert f"  reload {name}\n" in update(desk)
    assert (shown := desk.on("jon", look)).endswith("size=2048k\nkept\n")
    declare(desk, mount("3M", ",uid=nobody-here"))
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert desk.on("jon", look) == shown
    declare(desk, mount("2M", what="other"))
    assert f"  restart {name}\n" in update(desk)
    assert re.fullmatch(r"other +rw,relatime,size=2048k\n", desk.on("jon", look))
    declare(desk)
    update(desk)
    assert desk.on("jon", "findmnt /srv/my-data", status=1) == ""


def test_what_stops_and_restarts_along(desk: Desk) -> None:
    own = {
        "needs": "[Unit]\nRequires=db.service\nAfter=db.service\n",
        "bound": "[Unit]\nBindsTo=needs.service\nAfter=needs.service\n",
        "part": "[Unit]\nPartOf=db.service\n",
        "wants": "[Unit]\nWants=db.service\n",
        "talks": "[Unit]\nRequires=echo.service\nAfter=echo.service\n",
    }
    names = " ".join(f"{name}.service" for name in own)

    def db(seconds: int, **more: str) -> dict[str, dict[str, Any]]:
        return {"db.service": {"text": SLEEP.format(seconds) + more.get("text", ""), "started": True}}

    units, files = sockets("one", 7001)
    declare(desk, {**db(1000), **units}, files)
    update(desk)
    for name, text in own.items():
        desk.on(
            "jon", f"cat >/etc/systemd/system/{name}.service", given=text + "[Service]\nExecStart=/bin/sleep 1000\n"
        )
    desk.on("jon", f"systemctl daemon-reload; systemctl start {names}")

    declare(desk, {**db(2000), **sockets("one", 7002)[0]}, files)
    along = "(also restarts {})"
    assert effects(update(desk)) == [
        f"restart db.service {along.format('bound.service, needs.service and part.service')}",
        "restart echo.socket",
        f"restart echo.service {along.format('talks.service')}",
    ]
    assert set(desk.on("jon", f"systemctl is-active {names}").split()) == {"active"}
    assert running(desk, "db.service") == "/bin/sleep 2000"

    failing = {"bad.service": {"text": "[Service]\nType=oneshot\nExecStart=/bin/false\n", "started": True}}
    declare(desk, {**db(3000), **sockets("one", 7003)[0], **failing}, files)
    assert "every machine is as it was before" in desk.rolecall("update", "--yes", status=1).stdout
    assert set(desk.on("jon", f"systemctl is-active {names}").split()) == {"active"}
    assert running(desk, "db.service") == "/bin/sleep 2000"

    declare(desk, units, files)
    assert effects(update(desk)) == [
        "stop db.service (also stops bound.service, needs.service and part.service)",
        "restart echo.socket",
        f"restart echo.service {along.format('talks.service')}",
    ]
    assert desk.on("jon", f"systemctl is-active {names}", status=None).split() == [
        *3 * ["inactive"],
        "active",
        "active",
    ]
    desk.on("jon", f"cd /etc/systemd/system; systemctl stop {names}; rm {names}; systemctl daemon-reload")


def test_undeclared_units_end_cleanly(desk: Desk) -> None:
    """Whatever they answer to a signal: nothing stays failed, and nothing runs that has no unit file any more."""
    stubborn = "[Service]\nType={}\nExecStart=/bin/sh -c 'trap \"exit 3\" TERM; while :; do sleep 0.1; done'\n"
    units = {
        "stubborn.service": {"text": stubborn.format("exec"), "started": True},
        "job.service": {"text": stubborn.format("oneshot")},
        "many@.service": {"text": stubborn.format("exec")},
        "lasting.service": {"text": "[Service]\nExecStart=/bin/sleep 1000\n", "started": True},
    }
    declare(desk, units)
    update(desk)
    desk.on("jon", "systemctl start many@a many@b; systemctl start --no-block job; sleep 0.5; systemctl stop lasting")
    units["many@.service"]["text"] = "[Service]\nExecStart=/bin/sleep %i000\n"
    desk.on("jon", "systemctl start many@1")
    declare(desk, units)
    assert effects(desk.rolecall("plan").stdout) == [
        "start lasting.service",
        *(f"restart many@{i}.service" for i in "1ab"),
    ]
    declare(desk, {"lasting.service": units["lasting.service"] | {"started": False}})
    stopped = ("many@1", "many@a", "many@b", "job", "stubborn")
    assert set(effects(update(desk))) == {f"stop {name}.service" for name in stopped}
    assert desk.on(
        "jon", f"systemctl is-system-running; systemctl is-active {' '.join(stopped)}", status=3
    ).split() == [
        "running",
        *5 * ["inactive"],
    ]


def test_names_that_systemd_uses_for_other_units(desk: Desk) -> None:
    declare(desk, {"sshd.service": {"text": SLEEP.format(1000)}})
    assert "unit:sshd.service: it is another name of ssh.service" in desk.rolecall("plan", status=1).stdout
    desk.on("jon", "systemd-run --unit=passing sleep 1000")
    declare(desk, {"passing.service": {"text": SLEEP.format(2000), "started": True}})
    refused = desk.rolecall("plan", status=1).stdout
    assert "a transient unit of this name runs; `systemctl stop passing.service` ends it" in refused
    desk.on("jon", "systemctl stop passing.service")
    update(desk)
    assert running(desk, "passing.service") == "/bin/sleep 2000"


def test_a_unit_with_a_second_name(desk: Desk) -> None:
    text = "[Service]\nExecStart=/bin/sleep {}\n[Install]\nAlias={}.service\n"
    declare(desk, {"first.service": {"text": text.format(1000, "second"), "enabled": True, "started": True}})
    update(desk)
    drop_in = {"/etc/systemd/system/second.service.d/x.conf": "[Service]\nEnvironment=A=1\n"}
    declare(desk, {"first.service": {"text": text.format(1000, "second"), "enabled": True, "started": True}}, drop_in)
    update(desk)
    assert "A=1" in desk.on("jon", "systemctl show -p Environment second.service")
    declare(desk, {"first.service": {"text": text.format(1000, "third"), "enabled": True, "started": True}})
    update(desk)
    assert desk.on("jon", "cd /etc/systemd/system; ls *.service | grep -E 'first|second|third'") == (
        "first.service\nthird.service\n"
    )


def test_a_generated_unit(desk: Desk) -> None:
    """A unit that systemd makes of /etc/fstab is replaced, and comes back."""
    desk.on("jon", "mkdir -p /srv/gen; echo 'tmpfs /srv/gen tmpfs size=1M 0 0' >>/etc/fstab; systemctl daemon-reload")
    desk.on("jon", "systemctl start srv-gen.mount")
    text = "[Mount]\nWhat=tmpfs\nWhere=/srv/gen\nType=tmpfs\nOptions=size=2M\n[Install]\nWantedBy=local-fs.target\n"
    look = "findmnt -no OPTIONS /srv/gen"
    declare(desk, {"srv-gen.mount": {"text": text, "enabled": True, "started": True}})
    update(desk)
    assert desk.on("jon", look).endswith("size=2048k\n")
    declare(desk)
    update(desk)
    assert desk.on("jon", look).endswith("size=1024k\n")
    assert desk.on("jon", "systemctl show --value -p UnitFileState srv-gen.mount") == "generated\n"
    desk.on("jon", "systemctl stop srv-gen.mount; sed -i '\\,/srv/gen,d' /etc/fstab; systemctl daemon-reload")


PACKAGE = """
set -e
mkdir -p /srv/repo/brings/DEBIAN /srv/repo/brings/lib/systemd/system
cd /srv/repo
printf 'Package: brings\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' >brings/DEBIAN/control
printf '[Service]\nExecStart=/bin/sleep 1000\n' >brings/lib/systemd/system/brought.service
dpkg-deb --build brings brings.deb
{ dpkg-deb --field brings.deb; stat -c 'Size: %s' brings.deb; echo 'Filename: brings.deb'
  echo "SHA256: $(sha256sum <brings.deb | cut -d' ' -f1)"; } >Packages
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/own.list
"""


def test_a_unit_that_requires_one_of_a_package_and_one_of_a_file(desk: Desk) -> None:
    desk.on("jon", PACKAGE)
    head = "[Unit]\nRequires={0}\nAfter={0}\n"
    app = {"text": head.format("brought.service written.service") + SLEEP.format(1000), "started": True}
    written = {"/etc/systemd/system/written.service": "[Service]\nExecStart=/bin/sleep 1000\n"}
    declare(desk, {"app.service": app}, {})
    refused = desk.rolecall("update", "--yes", status=1)
    assert "systemd rejects a unit file" in refused.stdout
    declare(desk, {"app.service": app}, {}, "brings")  # which brings one of the two
    failed = desk.rolecall("update", "--yes", status=1)
    assert "Unit written.service not found" in failed.stdout + failed.stderr
    assert "every machine is as it was before" in failed.stdout
    declare(desk, {"app.service": app}, written, "brings")
    update(desk)
    assert desk.on("jon", "systemctl is-active app brought written") == 3 * "active\n"
    declare(desk, {}, {}, "brings")
    update(desk)
    desk.on("jon", "systemctl stop brought written; rm -r /srv/repo /etc/apt/sources.list.d/own.list")


def test_enabling_one_unit_enables_another(desk: Desk) -> None:
    """A unit with nothing but Also= in its [Install] section is indirect; one without such a section is static."""
    units = {
        "lead.service": {"text": "[Service]\nExecStart=/bin/true\n[Install]\nAlso=led.service\n", "enabled": True},
        "led.service": {"text": SLEEP.format(1000), "enabled": True},
        "alone.service": {"text": "[Service]\nExecStart=/bin/true\n"},
    }
    declare(desk, units)
    update(desk)
    state = "systemctl is-enabled lead led alone"
    assert desk.on("jon", state, status=None) == "indirect\nenabled\nstatic\n"
    declare(desk)
    update(desk)
    assert desk.on("jon", "ls -d /etc/systemd/system/*.wants/le[ad]*", status=2).endswith("No such file or directory\n")
