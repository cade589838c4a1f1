"""What the service asks of machines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rolecall.model.exports import Exported
from rolecall.model.vars import StoredFile, VarKey
from rolecall.model.world import Host, View, World
from rolecall.service import AbsolutePath, AuthorizedKey, Directory, File, Package, Resource, State, Unit, User
from rolecall.service.member import Member, members_of
from rolecall_services import borgbackup
from rolecall_services.borgbackup import ClientSettings, Retention, ServerSettings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"


def world(instance: str = "i", address: str = "store", **directories: str) -> World:
    """Two clients and a server, or several with their directories."""
    servers = {
        name: ServerSettings(directory=AbsolutePath(directory))
        for name, directory in (directories or {"store": "/var/lib/borgbackup"}).items()
    }
    clients = {"jon": ClientSettings(), "sara": ClientSettings()}
    members: dict[tuple[str, str], dict[str, Any]] = {(instance, "server"): servers, (instance, "client"): clients}
    made = World(members, {"store": Host(address, ("ssh-ed25519 HOSTKEY",)), "jon": Host("jon"), "sara": Host("sara")})
    for name in ("jon", "sara"):
        public = StoredFile(secret=False, version="p", public=f"{KEY}{instance}{name} comment")
        private = StoredFile(secret=True, version="v1")
        made.vars[VarKey(name, f"{instance}.ssh")] = {"private": private, "public": public}
        made.vars[VarKey(name, f"{instance}.repokey")] = {"passphrase": StoredFile(secret=True, version="v2")}
    state = State(name="documents", folders=[AbsolutePath("/srv")], before_backup=["sync"])
    made.publish(State, [Exported(state, "jon")])
    return made


def first(made: World, instance: str, role: str) -> Member[Any]:
    return members_of(View(made), instance, role)[0]


def of(found: list[Resource], kind: type) -> list[Any]:
    return [resource for resource in found if isinstance(resource, kind)]


def on_server(made: World, instance: str = "i") -> list[Resource]:
    return list(borgbackup.store_backups(first(made, instance, "server")))


def on_client(made: World, instance: str = "i") -> list[Resource]:
    return list(borgbackup.back_up(first(made, instance, "client")))


def plan_of(found: list[Resource]) -> dict[str, Any]:
    [file] = [file for file in of(found, File) if file.path.endswith("/backup.json")]
    plan: dict[str, Any] = json.loads(file.parts[0].data)
    return plan


def test_each_client_reaches_its_own_repository_alone() -> None:
    keys = of(on_server(world()), AuthorizedKey)
    assert [key.line for key in keys] == [
        f'restrict,command="borg serve --restrict-to-repository /var/lib/borgbackup/i/{name}" {KEY}i{name}'
        for name in ("jon", "sara")
    ]


def test_the_server_owns_the_repositories_and_leaves_the_folder_above_alone() -> None:
    found = on_server(world(store="/srv"))
    assert of(found, User)[0].name == "borg"
    assert of(found, Directory) == [Directory("/srv/i", "borg", "borg", 0o700)]


def test_a_directory_that_a_shell_would_read_otherwise_is_quoted() -> None:
    keys = of(on_server(world(store='/srv/a b";x $(y)')), AuthorizedKey)
    assert r"""--restrict-to-repository '/srv/a b\";x $(y)/i/jon'" """ in keys[0].line


def test_the_client_knows_what_goes_where() -> None:
    plan = plan_of(on_client(world()))
    assert plan["repositories"] == {"store": "ssh://borg@store/var/lib/borgbackup/i/jon"}
    assert [(state["name"], state["folders"], state["before_backup"]) for state in plan["states"]] == [
        ("documents", ["/srv"], ["sync"])
    ]


def test_addresses_and_paths_are_written_as_borg_reads_them() -> None:
    plan = plan_of(on_client(world(address="fe80::1", store="/srv/{hostname}")))
    assert plan["repositories"] == {"store": "ssh://borg@[fe80::1]/srv/{{hostname}}/i/jon"}


@pytest.mark.parametrize(
    ("host", "settings", "repository", "known"),
    [
        (Host("store", (KEY,), 2222), {}, "store:2222", "[store]:2222"),
        (Host("fe80::1", (KEY,), 2222), {}, "[fe80::1]:2222", "[fe80::1]:2222"),
        (Host("fe80::1", (KEY,)), {}, "[fe80::1]", "fe80::1"),
        (Host("store", (KEY,), 2222), {"address": "10.0.0.1", "port": 22}, "10.0.0.1", "10.0.0.1"),
        (Host("store", (KEY,)), {"address": "vpn.example", "port": 2022}, "vpn.example:2022", "[vpn.example]:2022"),
    ],
)
def test_a_server_is_reached_where_it_says(host: Host, settings: dict[str, Any], repository: str, known: str) -> None:
    made = world()
    made.hosts["store"] = host  # type: ignore[index]  # a plain dict in this test
    made.members["i", "server"]["store"] = ServerSettings.model_validate(settings)  # type: ignore[index]  # likewise
    found = on_client(made)
    assert plan_of(found)["repositories"] == {"store": f"ssh://borg@{repository}/var/lib/borgbackup/i/jon"}
    [file] = [file for file in of(found, File) if file.path.endswith("/known_hosts")]
    assert file.parts[0].data == f"{known} {KEY}\n".encode()


@pytest.mark.parametrize(
    "address", ["", "-oProxyCommand=x", "a b", "a\n", "a/b", "user@host", "a,b", "#a", "store:22", "[::1]"]
)
def test_an_address_that_ssh_would_read_otherwise(address: str) -> None:
    with pytest.raises(ValidationError):
        ServerSettings.model_validate({"address": address})


def test_only_known_servers_are_trusted() -> None:
    [known] = [file for file in of(on_client(world()), File) if file.path.endswith("/known_hosts")]
    assert known.parts[0].data == b"store ssh-ed25519 HOSTKEY\n"


def test_secrets_are_alone_in_files_on_a_tmpfs() -> None:
    files = [file for file in of(on_client(world()), File) if file.secrets]
    assert [(file.path, file.mode) for file in files] == [
        ("/run/rolecall/secrets/i.ssh/private", 0o400),
        ("/run/rolecall/secrets/i.repokey/passphrase", 0o400),
    ]


def test_a_timer_starts_the_job() -> None:
    job, timer = of(on_client(world()), Unit)
    assert (job.name, job.enabled, job.started) == ("rolecall-i.backup.service", False, False)
    assert (timer.name, timer.enabled, timer.started) == ("rolecall-i.backup.timer", True, True)
    assert "OnCalendar=*-*-* 01:00:00\n" in timer.text.data.decode()
    assert "ExecStart=/etc/rolecall/i/backup create\n" in job.text.data.decode()


def test_two_instances_with_the_same_machines_share_packages_and_the_user_alone() -> None:
    for asked in (on_client, on_server):
        one, other = ({resource.key: resource for resource in asked(world(name), name)} for name in ("i", "ii"))
        shared = one.keys() & other.keys()
        assert all(one[key] == other[key] for key in shared)
        assert {type(one[key]) for key in shared} <= {Package, User}
    plans = [plan_of(on_client(world(name), name)) for name in ("i", "ii")]
    for differs in ("cache", "key", "passphrase", "known_hosts", "repositories"):
        assert plans[0][differs] != plans[1][differs]


def test_backups_are_offered_per_server_and_checks_need_the_peers() -> None:
    made = world(a="/srv", b="/srv")
    made.hosts["a"] = made.hosts["b"] = Host("x")  # type: ignore[index]  # a plain dict in this test
    member = first(made, "i", "client")
    assert [(offer.target, offer.listing) for offer in borgbackup.offer_backups(member)] == [
        (name, ["/etc/rolecall/i/backup", "--server", name, "list"]) for name in ("a", "b")
    ]
    assert [check.peers for check in borgbackup.borg_runs(member)] == [False, True]


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
