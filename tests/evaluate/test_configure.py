"""From members to configurations: what unites, what excludes, what stays secret, and in which order they switch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise, product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import services
from rolecall import pipeline
from rolecall import vars as var_store
from rolecall.errors import Faults
from rolecall.evaluate.membership import Membership, RoleMembers
from rolecall.evaluate.order import waves
from rolecall.service import Directory, File, Resource, Service
from rolecall.testing import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

MODULE = services.code("shared_things")
TWO = """
[machines.a]
[instances.one]
module = {{ name = "mine", input = "self" }}
roles.has.machines.a.settings = {{ {one} }}
[instances.two]
module = {{ name = "mine", input = "self" }}
roles.has.machines.a.settings = {{ {two} }}
"""
BACKUPS = """
[machines]
jon.state.documents.folders = ["/srv"]
sara = {}
store = {}
[instances.one]
module.name = "borgbackup"
roles.client.tags = ["all"]
roles.server.machines.store = {}
[instances.two]
module.name = "borgbackup"
roles.client.machines.jon = {}
roles.server.machines.store = {}
"""


def test_equal_resources_merge_and_groups_unite(make_project: MakeProject) -> None:
    project = make_project(
        TWO.format(one='groups = ["z", "b"], motd = "x"', two='groups = ["a"], motd = "x"'), mine=MODULE
    )
    found = pipeline.Workspace(project).evaluation().configured["a"]
    by_key = {resource.key: resource for resource in found.configuration.resources}
    assert by_key["user:worker"].groups == ("a", "b", "z")  # type: ignore[union-attr]
    assert by_key["file:/etc/members"].parts[0].data == b"one.has two.has"  # type: ignore[union-attr]
    assert found.origins == {
        "group:shared": ("one.has", "two.has"),
        "user:worker": ("one.has", "two.has"),
        "file:/etc/motd": ("one.has", "two.has"),
        "file:/etc/members": ("mine",),
    }


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (
            'motd = "x"',
            'motd = "y"',
            "conflicting definitions of file:/etc/motd on a from one.has and two.has: content line 1 'x' and 'y'",
        ),
        (
            'motd = "x"',
            'where = "/etc/motd"',
            "file:/etc/motd of one.has and directory:/etc/motd of two.has on a have the same path",
        ),
        (
            'motd = "x"',
            'where = "/etc/motd/below"',
            "file:/etc/motd of one.has is where directory:/etc/motd/below of two.has on a needs a directory",
        ),
    ],
)
def test_two_definitions_of_one_thing(make_project: MakeProject, one: str, two: str, message: str) -> None:
    project = make_project(TWO.format(one=one, two=two), mine=MODULE)
    for refuse in (pipeline.Workspace.evaluation, pipeline.Workspace.check):
        with pytest.raises(Faults) as caught:
            refuse(pipeline.Workspace(project))
        assert str(caught.value).replace(f"{project.root}/", "") == (
            f"error: {message}\n"
            "  at inventory.toml:6:12 instances.two\n"
            "hint: change the settings of one of the instances, or remove one of the roles from the machine"
        )


def test_a_service_that_gives_one_path_to_two_resources_is_at_fault() -> None:
    service = Service("twice", description="Uses one path twice.")

    @service.role("r", description="R.").configure
    def both(_: object) -> list[Resource]:
        return [Directory("/etc/x"), File("/etc/x", "")]

    with pytest.raises(Faults) as caught:
        evaluate("machines.a = {}\ninstances.twice.roles.r.machines.a = {}\n", service)
    assert [(fault.message, fault.hint) for fault in caught.value.faults] == [
        (
            "directory:/etc/x of twice.r and file:/etc/x of twice.r on a have the same path",
            "this is a fault of the service, not of the inventory",
        )
    ]


def test_two_instances_keep_keys_repositories_and_units_apart(make_project: MakeProject) -> None:
    evaluation = pipeline.Workspace(make_project(BACKUPS)).evaluation()
    for machine in ("jon", "store"):
        common = {
            key
            for key, origins in evaluation.configured[machine].origins.items()
            if len({origin.partition(".")[0] for origin in origins}) > 1
        }
        assert {key.partition(":")[0] for key in common} <= {"package", "user", "directory"}
    keys = [str(key) for key in evaluation.makes]
    assert len(keys) == len(set(keys)) == 8
    [one, two] = (
        file for file in evaluation.configured["jon"].configuration.resources if file.key.endswith("backup.json")
    )
    repositories = [json.loads(file.parts[0].data)["repositories"]["store"] for file in (one, two)]  # type: ignore[union-attr,arg-type]
    assert repositories == [f"ssh://borg@store/var/lib/borgbackup/{name}/jon" for name in ("one", "two")]


def test_no_configuration_holds_a_secret(make_project: MakeProject) -> None:
    project = make_project(BACKUPS)
    evaluation = pipeline.Workspace(project).evaluation()
    secrets = var_store.decrypt(
        project, [(key, name) for key, files in evaluation.makes.items() for name, file in files.items() if file.secret]
    )
    assert len(secrets) == 8
    texts = [
        each.configuration.encode() + b"".join(blob.data or b"" for blob in each.configuration.blobs)
        for each in evaluation.configured.values()
    ]
    kept = [path.read_bytes() for path in project.local.rglob("*") if path.is_file()]
    for value in secrets.values():
        for line in value.splitlines():
            assert line.startswith(b"-----") or not any(line in text for text in [*texts, *kept])


@pytest.mark.slow
def test_the_same_inventory_has_the_same_digests_in_every_process(make_project: MakeProject) -> None:
    project = make_project(
        BACKUPS
        + TWO.format(one='groups = ["z", "b"]', two='groups = ["a"]').replace("one", "three").replace("two", "four"),
        mine=MODULE,
    )
    pipeline.Workspace(project).evaluation()  # makes the keys
    code = """if True:
        import pathlib, sys
        from rolecall import pipeline
        found = pipeline.open(pathlib.Path(sys.argv[1])).evaluation()
        print({name: each.configuration.digest for name, each in found.configured.items()}, found.waves)
        """
    answers = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        argv = [sys.executable, "-c", code, str(project.root)]
        answers.add(subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(answers) == 1


def test_members_with_the_same_layers_share_their_settings(make_project: MakeProject) -> None:
    project = make_project("""
[machines]
a.tags = ["x"]
b.tags = ["x"]
c = { tags = ["x"], machineClass = "darwin" }
d = {}
[instances.one]
module.name = "borgbackup"
roles.server.machines.d = {}
roles.client.settings.exclude = ["role"]
roles.client.tags.all = {}
roles.client.tags.x.settings.exclude = ["x"]
roles.client.tags.darwin.settings.exclude = ["darwin"]
roles.client.machines.b.settings.exclude = ["b"]
""")
    members = pipeline.Workspace(project).check().membership.role_members["one"]["client"]
    assert {name: settings.exclude for name, settings in members.settings.items()} == {
        "a": ["role", "x"],
        "b": ["role", "x", "b"],
        "c": ["role", "darwin", "x"],
        "d": ["role"],
    }
    assert members.via == {"a": ("tags", "all"), "b": ("machines", "b"), "c": ("tags", "all"), "d": ("tags", "all")}
    many = (
        pipeline.Workspace(
            make_project(
                "".join(f"[machines.m{n}]\n" for n in range(50))
                + """
[instances.one]
module.name = "borgbackup"
roles.server.machines.m0 = {}
roles.client = { tags = ["all"], settings.exclude = ["x"] }
"""
            )
        )
        .check()
        .membership.role_members["one"]["client"]
    )
    assert len({id(settings) for settings in many.settings.values()}) == 1


def waves_of(**instances: dict[str, str]) -> dict[str, int]:
    """The waves of instances whose roles are played by machines of one letter."""
    members_by_role = {
        name: {role: RoleMembers(dict.fromkeys(machines), {}) for role, machines in roles.items()}
        for name, roles in instances.items()
    }
    return waves(Membership({}, members_by_role))


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ({}, {}),
        ({"i": {"server": "s", "client": "ab"}}, {"s": 0, "a": 1, "b": 1}),
        ({"i": {"server": "s", "middle": "", "client": "a"}}, {"s": 0, "a": 1}),
        ({"i": {"server": "s", "client": "a"}, "j": {"server": "a", "client": "b"}}, {"s": 0, "a": 1, "b": 2}),
        ({"i": {"server": "s", "client": "sa"}}, {"s": 0, "a": 1}),
        ({"i": {"server": "s", "client": "a"}, "j": {"server": "a", "client": "sb"}}, {"s": 0, "a": 0, "b": 1}),
        ({"i": {"server": "s", "client": "a"}, "j": {"server": "a", "client": "s"}}, {"s": 0, "a": 0}),
        (
            {
                "i": {"server": "s", "client": "a"},
                "j": {"server": "a", "client": "s"},
                "k": {"server": "x", "client": "y"},
            },
            {"x": 0, "y": 1, "s": 0, "a": 0},
        ),
    ],
)
def test_waves(instances: dict[str, dict[str, str]], expected: dict[str, int]) -> None:
    assert waves_of(**instances) == expected


letters = st.text(st.sampled_from("abcdef"), max_size=3)


@given(st.lists(st.lists(letters, max_size=3), max_size=5))
def test_laws_of_waves(instances: list[list[str]]) -> None:
    """Whoever waits comes later, those who wait for one another come together, and nobody comes later than that."""
    found = waves_of(
        **{
            str(number): {str(place): machines for place, machines in enumerate(roles)}
            for number, roles in enumerate(instances)
        }
    )
    waits: dict[str, set[str]] = {machine: set() for roles in instances for machines in roles for machine in machines}
    for roles in instances:
        played = [set(machines) for machines in roles if machines]
        for place, (before, machines) in enumerate(pairwise(played), 1):
            for machine in machines - set().union(*played[:place]):
                waits[machine] |= before
    reached = {machine: set(before) for machine, before in waits.items()}
    for between, one, other in product(waits, repeat=3):
        if between in reached[one] and other in reached[between]:
            reached[one].add(other)
    assert found.keys() == waits.keys()
    for machine, wave in found.items():
        together = {machine, *(other for other in reached[machine] if machine in reached[other])}
        before = reached[machine] - together
        assert {found[other] for other in together} == {wave}
        assert wave == max((found[other] + 1 for other in before), default=0)


def test_two_services_of_one_name_stay_apart(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "others-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[rolecall.services]\nmine = others_mine:service\n")
    (tmp_path / "others_mine.py").write_text(services.code("shared_things", ("/etc/members", "/etc/others")))
    monkeypatch.syspath_prepend(str(tmp_path))
    head, second, rest = TWO.format(one="", two="").partition("[instances.two]")
    inventory = head + second + rest.replace('"self"', '"others"')
    resources = (
        pipeline.Workspace(make_project(inventory, mine=MODULE)).evaluation().configured["a"].configuration.resources
    )
    texts = {file.path: file.parts[0].data for file in resources if isinstance(file, File)}
    assert texts == {"/etc/members": b"one.has", "/etc/others": b"two.has"}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('Check("works", ("true",))', ""),
        (
            'Check("works", ("false",))',
            (
                "error: one.has yields two checks named 'works' on a: argv[0] 'true' and 'false'\n"
                "  at inventory.toml:3:12 instances.one\n"
            ),
        ),
    ],
)
def test_two_checks_of_one_name(make_project: MakeProject, second: str, message: str) -> None:
    checks = f"""
@has.check
def works(me):
    yield Check("works", ("true",))
    yield {second}
"""
    module = MODULE.replace("Settings, User", "Settings, User, Check") + checks
    project = make_project(TWO.format(one="", two="").partition("[instances.two]")[0], mine=module)
    if message:
        with pytest.raises(Faults) as caught:
            pipeline.Workspace(project).evaluation()
        assert str(caught.value).replace(f"{project.root}/", "").startswith(message)
    else:
        [check] = pipeline.Workspace(project).evaluation().configured["a"].configuration.checks
        assert check.name == "one.has: works"


@pytest.mark.parametrize(
    ("file", "works"),
    [("secret_file(peer[words].secret)", False), ("File(me.path(peer.machine), peer[words].secret)", True)],
)
def test_the_secrets_of_two_members_on_one_machine(make_project: MakeProject, file: str, *, works: bool) -> None:
    inventory = """
[machines]
a = {}
b = {}
[instances.one]
module = { name = "mine", input = "self" }
roles.reader.machines.a = {}
roles.writer.tags = ["all"]
"""
    project = make_project(inventory, mine=services.code("two_secrets", ("secret_file(peer[words].secret)", file)))
    if works:
        resources = pipeline.Workspace(project).evaluation().configured["a"].configuration.resources
        assert [resource.key for resource in resources] == ["file:/etc/rolecall/one/a", "file:/etc/rolecall/one/b"]
        assert len({secret for resource in resources if isinstance(resource, File) for secret in resource.secrets}) == 2
        return
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).evaluation()
    told = str(caught.value)
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).check()  # which makes no secrets
    assert str(caught.value) == told
    path = "/run/rolecall/secrets/one.words/passphrase"
    assert told.startswith(
        f"error: two conflicting definitions of file:{path} on a from one.reader: "
        "content with secrets of different members\n"
    )
    assert "`File(me.path(peer.machine), secret)`" in told
