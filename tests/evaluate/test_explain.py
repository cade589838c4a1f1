"""Where everything comes from: positions through all layers and sources, and references to secrets end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import services
from rolecall import pipeline
from rolecall.errors import Faults
from rolecall.model.generators import NotDeclaredError
from rolecall.model.world import View
from rolecall.service.member import member_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]


OWN = """
machines:
  jon: {tags: [home, laptop]}
  sara: {tags: [home]}
tags:
  web: {all: [home], machines: [sara]}
instances:
  mail:
    module: {name: mail, input: self}
    roles:
      relay:
        tags:
          home: {settings: {names: [b], level: debug}}
          web: {}
        settings:
          names: [a]
          relays: [x]
          store: {kind: remote, host: h}
        machines:
          jon:
            settings:
              names: {_type: order, priority: 500, content: [c]}
              level: {_type: override, priority: 1000, content: info}
              limit: null
              relays: [y]
              store: {kind: local}
"""
TOOLS = """{"instances": {"mail": {"roles": {"relay": {"settings": {
  "names": ["t"],
  "passwords": {"x": {"var": "mail.admin/passphrase"}}}}}}}}"""


@pytest.fixture
def make_mail(make_project: MakeProject) -> Callable[..., Project]:
    """A project of two sources: the person's YAML over the tools' JSON."""

    def make(own: str = OWN, tools: str = TOOLS) -> Project:
        project = make_project("", mail=services.code("layered"))
        (project.root / "inventory.toml").unlink()
        (project.root / "inventory.yaml").write_text(own)
        (project.root / "inventory.json").write_text(tools)
        return project

    return make


def told(project: Project, subject: str) -> dict[str, Any]:
    """What each setting is, and per layer: who, value, result, file:line:column."""
    settings = {}
    for setting in pipeline.explain(pipeline.Workspace(project), subject).as_json()["settings"]:
        rows = [
            (
                f"{layer['layer']} {layer['name']}".strip(),
                layer["value"],
                layer["result"],
                f"{layer['file'].rpartition('.')[2]}:{layer['line']}:{layer['column']}" if layer["file"] else None,
            )
            for layer in setting["layers"]
        ]
        settings[".".join(map(str, setting["path"]))] = (setting["value"], rows)
    return settings


LOCAL = {"kind": "local", "folder": "/var/mail"}
REFERENCE = {"var": "mail.admin/passphrase"}
EXPECTED = {
    "names": (
        ["c", "a", "b"],
        [
            ("default", [], "loses", None),
            ("role", ["t"], "hidden", "json:2:3"),
            ("role", ["a"], "joined", "yaml:16:11"),
            ("tag home", ["b"], "joined", "yaml:13:29"),
            ("machine jon", ["c"], "joined", "yaml:22:52"),
        ],
    ),
    "level": (
        "debug",
        [
            ("default", "info", "loses", None),
            ("tag home", "debug", "wins", "yaml:13:41"),
            ("machine jon", "info", "loses", "yaml:23:56"),
        ],
    ),
    "limit": (None, [("default", 5, "loses", None), ("machine jon", None, "wins", "yaml:24:15")]),
    "relays": (
        ["y"],
        [
            ("default", [], "loses", None),
            ("role", ["x"], "loses", "yaml:17:11"),
            ("machine jon", ["y"], "wins", "yaml:25:15"),
        ],
    ),
    "store": (
        LOCAL,
        [
            ("default", LOCAL, "loses", None),
            ("role", {"kind": "remote", "host": "h"}, "loses", "yaml:18:11"),
            ("machine jon", {"kind": "local"}, "wins", "yaml:26:15"),
        ],
    ),
    "store.kind": ("local", [("machine jon", "local", "wins", "yaml:26:23")]),
    "store.folder": ("/var/mail", [("default", "/var/mail", "wins", None)]),
    "password": (None, [("default", None, "wins", None)]),
    "passwords.x": (REFERENCE, [("role", REFERENCE, "wins", "json:3:17")]),
}


def test_every_layer_that_spoke_and_where(make_mail: Callable[..., Project]) -> None:
    assert told(make_mail(), "mail.relay.jon") == EXPECTED


def test_one_setting_with_the_tables_around_it(make_mail: Callable[..., Project]) -> None:
    project = make_mail()
    assert told(project, "mail.relay.jon.names") == {"names": EXPECTED["names"]}
    assert told(project, "mail.relay.jon.store.kind") == {key: EXPECTED[key] for key in ("store", "store.kind")}
    assert told(project, "mail.relay.jon.names[1]") == {
        "names": EXPECTED["names"],
        "names.1": ("a", [("role", "a", "wins", "yaml:16:19")]),
    }
    assert told(project, 'mail.relay.jon.passwords."x"') == {"passwords.x": EXPECTED["passwords.x"]}


def test_priorities_are_told(make_mail: Callable[..., Project]) -> None:
    [setting] = pipeline.explain(pipeline.Workspace(make_mail()), "mail.relay.jon.level").settings
    assert [layer.priority for layer in setting.values] == [None, None, 1000]
    [setting] = pipeline.explain(pipeline.Workspace(make_mail()), "mail.relay.jon.names").settings
    assert [layer.order for layer in setting.values] == [None, None, None, None, 500]


def test_who_plays_a_role_and_why(make_mail: Callable[..., Project]) -> None:
    project = make_mail()
    found = pipeline.explain(pipeline.Workspace(project), "mail.relay")
    because = {
        machine: [(reason.by, reason.name, reason.where.line, reason.where.column) for reason in reasons]
        for machine, reasons in found.roles["mail.relay"].items()
    }
    assert because == {
        "jon": [("machine", "jon", 20, 11), ("tag", "home", 13, 11), ("tag", "web", 14, 11)],
        "sara": [("tag", "home", 13, 11), ("tag", "web", 14, 11)],
    }
    assert pipeline.explain(pipeline.Workspace(project), "mail").roles == found.roles


def test_a_role_with_a_list_of_tags_has_the_places_of_its_items(make_mail: Callable[..., Project]) -> None:
    roles = "    module: {input: self}\n    roles: {relay: {tags: [linux, all]}}\n"
    own = f"machines: {{jon: {{}}}}\ninstances:\n  mail:\n{roles}"
    [reasons] = pipeline.explain(pipeline.Workspace(make_mail(own, "{}")), "mail.relay").roles["mail.relay"].values()
    assert [(reason.name, reason.where.line, reason.where.column) for reason in reasons] == [
        ("all", 5, 35),
        ("linux", 5, 28),
    ]


def test_why_a_machine_has_its_tags_and_roles(make_mail: Callable[..., Project]) -> None:
    project = make_mail()
    for machine, expected in (
        ("jon", {"all": "computed", "home": "own", "laptop": "own", "linux": "computed", "web": "selection"}),
        ("sara", {"all": "computed", "home": "own", "linux": "computed", "web": "list"}),
    ):
        found = pipeline.explain(pipeline.Workspace(project), f"machines.{machine}")
        assert {tag: reason.by for tag, (reason,) in found.tags.items()} == expected
        assert list(found.roles) == ["mail.relay"]
    [reason] = pipeline.explain(pipeline.Workspace(project), "machines.jon").tags["laptop"]
    assert (reason.where.line, reason.where.column) == (3, 22)
    [reason] = pipeline.explain(pipeline.Workspace(project), "machines.sara").tags["web"]
    assert (reason.where.line, reason.where.column) == (6, 33)


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("mial", "error: no instance named 'mial'\nhint: did you mean 'mail'?"),
        ("mail.rely", "error: no role of mail named 'rely'\nhint: did you mean 'relay'?"),
        ("mail.relay.jo", "error: no member of mail.relay named 'jo'\nhint: did you mean 'jon'?"),
        ("mail.relay.jon.nam", "error: mail.relay.jon has no setting 'nam'\nhint: did you mean 'names'?"),
        (
            "mail.relay.jon.store.foldr",
            "error: mail.relay.jon has no setting 'store.foldr'\nhint: did you mean 'folder'?",
        ),
        (
            "mail.relay.jon.names[7]",
            "error: mail.relay.jon has no setting 'names[7]'\nhint: available settings: 0, 1, 2",
        ),
        ("machines.jn", "error: no machine named 'jn'\nhint: did you mean 'jon'?"),
        ("", "error: no instance named ''\nhint: available instances: mail"),
        (
            "mail..relay",
            "error: invalid path 'mail..relay'\nhint: write it as `a.b[0].c`; put quotes around a key with dots",
        ),
    ],
)
def test_what_there_is_not(make_mail: Callable[..., Project], subject: str, message: str) -> None:
    with pytest.raises(Faults) as caught:
        pipeline.explain(pipeline.Workspace(make_mail()), subject)
    assert str(caught.value) == message


def test_an_instance_may_be_called_machines(make_mail: Callable[..., Project]) -> None:
    project = make_mail(OWN.replace("  mail:\n", "  machines:\n"), "{}")
    assert set(pipeline.explain(pipeline.Workspace(project), "machines.relay").roles["machines.relay"]) == {
        "jon",
        "sara",
    }
    assert "home" in pipeline.explain(pipeline.Workspace(project), "machines.jon").tags


def test_null_where_the_model_wants_something(make_mail: Callable[..., Project]) -> None:
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(make_mail(OWN.replace("relays: [y]", "relays: null"), "{}")).check()
    assert (
        str(caught.value)
        .replace("\n", " ")
        .endswith(
            "inventory.yaml:25:15 instances.mail.roles.relay.machines.jon.settings.relays "
            "hint: this setting cannot be null; remove the key to keep its default"
        )
    )


def test_settings_without_a_value_say_nothing(make_mail: Callable[..., Project]) -> None:
    own = (
        OWN[: OWN.index("        settings:\n          names")]
        + "        settings:\n        machines: {jon: {settings: }}\n"
    )
    assert told(make_mail(own, "{}"), "mail.relay.jon.names")["names"][0] == ["b"]


# References to secrets.


def test_a_secret_reaches_the_configuration_as_a_reference(make_mail: Callable[..., Project]) -> None:
    evaluation = pipeline.Workspace(make_mail()).evaluation()
    [file] = evaluation.configured["jon"].configuration.resources
    [secret] = file.secrets  # type: ignore[attr-defined]  # a File
    stored = next(files for key, files in evaluation.world.vars.items() if str(key) == "jon/mail.admin")
    assert (secret.name, secret.file) == ("mail.admin", "passphrase")
    assert secret.version == stored["passphrase"].version


def test_a_secret_of_another_instance_also_where_one_machine_is_evaluated_alone(
    make_mail: Callable[..., Project],
) -> None:
    other = "  other: {module: {name: mail, input: self}, roles: {relay: {machines: {sara: {}}}}}\n"
    sara = "          sara: {settings: {passwords: {y: {var: other.admin/passphrase}}}}\n"
    project = make_mail(OWN + sara + other)
    whole = pipeline.Workspace(project).evaluation().configured
    for machine in ("jon", "sara"):  # jon alone brings in mail, in which sara names what only `other` has
        assert pipeline.Workspace(project).evaluation_of([machine]).configured[machine] == whole[machine]
    with pytest.raises(Faults, match=r"no secret 'other.admin/passphras'"):
        pipeline.Workspace(make_mail((OWN + sara + other).replace("passphrase}}", "passphras}}"))).evaluation_of(
            ["jon"]
        )


def test_a_secret_is_the_machines_own_or_a_shared_one(make_mail: Callable[..., Project]) -> None:
    world = pipeline.Workspace(make_mail()).evaluation().world
    jon = member_of(View(world), "mail", "relay", "jon")
    reference = jon.settings.passwords["x"]
    [key] = [key for key in world.vars if key.machine == "jon"]
    shared = type(key)("", key.name)
    own = world.vars[key]
    world.vars[shared] = world.vars[next(each for each in world.vars if each.machine == "sara")]
    assert jon.secret(reference).version == own["passphrase"].version
    del world.vars[key]
    assert jon.secret(reference).version == world.vars[shared]["passphrase"].version
    del world.vars[shared]
    with pytest.raises(NotDeclaredError, match=r"no secret 'mail.admin/passphrase'"):
        jon.secret(reference)


def test_a_step_that_publishes_sees_no_secret(make_mail: Callable[..., Project]) -> None:
    world = pipeline.Workspace(make_mail()).evaluation().world
    jon = member_of(View(world, needs=()), "mail", "relay", "jon")
    with pytest.raises(NotDeclaredError):
        jon.secret(jon.settings.passwords["x"])


def test_show_tells_the_reference(make_mail: Callable[..., Project]) -> None:
    document = pipeline.as_json(pipeline.Workspace(make_mail()).members())
    assert document["members"]["mail"]["relay"]["jon"]["passwords"] == {"x": REFERENCE}


def test_where_a_reference_belongs_explain_tells_nothing_else(make_mail: Callable[..., Project]) -> None:
    forced = "{_type: override, priority: 50, content: {x: {var: mail.admin/passphrase}}}"
    own = OWN.replace("level: debug", f"passwords: {forced}")
    tools = TOOLS.replace('{"var": "mail.admin/passphrase"}', '{"value": "hunter2"}')
    found = told(make_mail(own, tools), "mail.relay.jon.passwords")
    assert found["passwords"][1][1:] == [
        ("role", {"x": "(hidden)"}, "loses", "json:3:3"),
        ("tag home", {"x": REFERENCE}, "wins", "yaml:13:84"),
    ]
