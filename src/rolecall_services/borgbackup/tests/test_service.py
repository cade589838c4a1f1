"""What the service asks of machines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolecall.service import AuthorizedKey, Backups, Directory, File, Health, Package, Unit, User
from rolecall.testing import Evaluated, Faults, Host, evaluate
from rolecall_services import borgbackup
from rolecall_services.borgbackup import ClientSettings, Retention, ServerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "ssh-ed25519 HOSTKEY"
STORE = Host("store", (KEY,))


def evaluated(
    instance: str = "i",
    *,
    servers: tuple[str, ...] = ("store",),
    host: Host = STORE,
    settings: Mapping[str, object] | None = None,
) -> Evaluated:
    """Two clients, one of them with state, and servers with these settings."""
    named: dict[str, Any] = {name: {} for name in servers}
    state = {"documents": {"folders": ["/srv"], "beforeBackup": ["sync"]}}
    roles = {
        "server": {"machines": named, "settings": settings or {}},
        "client": {"machines": {"jon": {}, "sara": {}}},
    }
    inventory = {
        "machines": {"jon": {"state": state}, "sara": {}, **named},
        "instances": {instance: {"module": {"name": "borgbackup"}, "roles": roles}},
    }
    return evaluate(inventory, borgbackup.service, hosts=dict.fromkeys(servers, host))


def plan_of(result: Evaluated, instance: str = "i") -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(result.text("jon", f"file:/etc/rolecall/{instance}/backup.json"))
    return plan


def test_each_client_reaches_its_own_repository_alone() -> None:
    result = evaluated()
    keys = {name: result.values[f"{name}/i.ssh/public"].decode().strip() for name in ("jon", "sara")}
    assert {key.line for key in result.resources("store", AuthorizedKey).values()} == {
        f'restrict,command="borg serve --restrict-to-repository /var/lib/borgbackup/i/{name}" {key}'
        for name, key in keys.items()
    }


def test_the_server_owns_the_repositories_and_leaves_the_folder_above_alone() -> None:
    result = evaluated(settings={"directory": "/srv"})
    assert [user.name for user in result.resources("store", User).values()] == ["borg"]
    assert [*result.resources("store", Directory).values()] == [Directory("/srv/i", "borg", "borg", 0o700)]


def test_a_directory_that_a_shell_would_read_otherwise_is_quoted() -> None:
    keys = evaluated(settings={"directory": '/srv/a b";x $(y)'}).resources("store", AuthorizedKey).values()
    assert any(r"""--restrict-to-repository '/srv/a b\";x $(y)/i/jon'" """ in key.line for key in keys)


def test_the_client_knows_what_goes_where() -> None:
    plan = plan_of(evaluated())
    assert plan["repositories"] == {"store": "ssh://borg@store/var/lib/borgbackup/i/jon"}
    assert [(state["name"], state["folders"], state["before_backup"]) for state in plan["states"]] == [
        ("documents", ["/srv"], ["sync"])
    ]


def test_braces_of_a_path_are_no_placeholders_of_borg() -> None:
    plan = plan_of(evaluated(settings={"directory": "/srv/{hostname}"}))
    assert plan["repositories"] == {"store": "ssh://borg@store/srv/{{hostname}}/i/jon"}


@pytest.mark.parametrize(
    ("host", "settings", "repository", "known"),
    [
        (Host("store", (KEY,), 2222), {}, "store:2222", "[store]:2222"),
        (Host("fe80::1", (KEY,)), {}, "[fe80::1]", "fe80::1"),
        (Host("store", (KEY,), 2222), {"address": "10.0.0.1", "port": 22}, "10.0.0.1", "10.0.0.1"),
        (Host("store", (KEY,)), {"address": "vpn.example", "port": 2022}, "vpn.example:2022", "[vpn.example]:2022"),
    ],
)
def test_a_server_is_reached_where_it_says(host: Host, settings: dict[str, Any], repository: str, known: str) -> None:
    result = evaluated(host=host, settings=settings)
    assert plan_of(result)["repositories"] == {"store": f"ssh://borg@{repository}/var/lib/borgbackup/i/jon"}
    assert result.text("jon", "file:/etc/rolecall/i/known_hosts") == f"{known} {KEY}\n"


@pytest.mark.parametrize(
    "address", ["", "-oProxyCommand=x", "a b", "a\n", "a/b", "user@host", "a,b", "#a", "store:22", "[::1]"]
)
def test_an_address_that_ssh_would_read_otherwise(address: str) -> None:
    with pytest.raises(ValidationError):
        ServerSettings.model_validate({"address": address})


def test_secrets_are_alone_in_files_on_a_tmpfs() -> None:
    files = [file for file in evaluated().resources("jon", File).values() if file.secrets]
    assert [(file.path, file.mode) for file in files] == [
        ("/run/rolecall/secrets/i.repokey/passphrase", 0o400),
        ("/run/rolecall/secrets/i.ssh/private", 0o400),
    ]


def test_a_timer_starts_the_job() -> None:
    result = evaluated()
    job, timer = result.resources("jon", Unit).values()
    assert (job.name, job.enabled, job.started) == ("rolecall-i.backup.service", False, False)
    assert (timer.name, timer.enabled, timer.started) == ("rolecall-i.backup.timer", True, True)
    assert "OnCalendar=*-*-* 01:00:00\n" in result.text("jon", timer.key)
    assert "ExecStart=/etc/rolecall/i/backup create\n" in result.text("jon", job.key)


def test_two_instances_with_the_same_machines_share_packages_and_the_user_alone() -> None:
    results = evaluated("i"), evaluated("ii")
    for machine in ("jon", "store"):
        one, other = (result.resources(machine) for result in results)
        shared = one.keys() & other.keys()
        assert all(one[key] == other[key] for key in shared)
        assert {type(one[key]) for key in shared} <= {Package, User}
    one, other = plan_of(results[0]), plan_of(results[1], "ii")
    for differs in ("cache", "key", "passphrase", "known_hosts", "repositories"):
        assert one[differs] != other[differs]


def test_backups_are_offered_per_server_and_checks_need_the_peers() -> None:
    result = evaluated(servers=("a", "b"))
    offers = [offer.value for offer in result.exports(Backups) if offer.machine == "jon"]
    assert [(offer.target, offer.listing) for offer in offers] == [
        (name, ["/etc/rolecall/i/backup", "--server", name, "list"]) for name in ("a", "b")
    ]
    assert {name: check.peers for name, check in result.checks("jon").items()} == {
        "i.client: borg starts": False,
        "i.client: servers answer": True,
    }


def test_clients_report_their_last_good_backup() -> None:
    reports = [report.value for report in evaluated(servers=("a", "b")).exports(Health) if report.machine == "jon"]
    assert [(report.name, report.command, report.max_age) for report in reports] == [
        (f"backup to {name}", ["/etc/rolecall/i/backup", "--server", name, "health"], 50 * 3600) for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"startAt": "noon"},
        {"startAt": "daily\nOnBootSec=1"},
        {"exclude": "*.tmp"},
        {"keep": {"within": "soon"}},
        {"keep": {"within": "1d\n"}},
        {"keep": {"daily": -1}},
    ],
)
def test_settings_that_borg_or_systemd_would_not_take(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClientSettings.model_validate(bad)
    assert ClientSettings.model_validate({"keep": {"within": "2w"}}).keep == Retention(within="2w")


NETWORK = """
[machines.jon]
[machines.store]
[instances.backup]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store.settings = { SETTINGS }
[instances.net]
module.name = "internet"
roles.default.machines.store.settings.host = "fd00::7"
"""


def test_clients_reach_the_server_by_a_network() -> None:
    inventory = NETWORK.replace("SETTINGS", 'network = "net"')
    result = evaluate(inventory, borgbackup.service, hosts={"store": STORE})
    assert plan_of(result, "backup")["repositories"] == {"store": "ssh://borg@[fd00::7]/var/lib/borgbackup/backup/jon"}
    assert result.text("jon", "file:/etc/rolecall/backup/known_hosts") == f"fd00::7 {KEY}\n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('network = "vpn"', "'vpn' is not a network; available networks: net"),
        ('network = "net", address = "store.example"', "store has both an `address` and a `network` for its clients"),
    ],
)
def test_a_network_that_cannot_be_used_is_a_fault(settings: str, message: str) -> None:
    with pytest.raises(Faults, match=re.escape(message)):
        evaluate(NETWORK.replace("SETTINGS", settings), borgbackup.service, hosts={"store": STORE})
