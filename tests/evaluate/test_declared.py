"""Vars that the inventory declares itself: asked for when a setting refers to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import services
from rolecall import pipeline
from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.vars import VarKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rolecall.model.generators import Question
    from rolecall.project import Project

    MakeProject = Callable[..., Project]

INVENTORY = """
[machines.jon]
[machines.sara]
[vars.smtp]
scope = "SCOPE"
prompts.password.description = "The mail account"
prompts.user = { description = "Its user", kind = "line" }
[vars.spare.prompts.key]
description = "Nobody needs it"
[instances.mail]
module.input = "self"
roles.relay.machines.jon = {}
roles.relay.machines.sara = {}
roles.relay.settings.password.var = "smtp/password"
[instances.other]
module = { name = "mail", input = "self" }
roles.relay.machines.sara.settings.password.var = "smtp/user"
"""


def answer(questions: Sequence[Question]) -> Mapping[Question, bytes]:
    return {question: f"{question}: {question.prompt.kind}".encode() for question in questions}


def refuse(questions: Sequence[Question]) -> Mapping[Question, bytes]:
    raise AssertionError(f"asked once more: {[*map(str, questions)]}")


@pytest.mark.parametrize(
    ("scope", "keys"),
    [("shared", [VarKey("", "smtp")]), ("machine", [VarKey("jon", "smtp"), VarKey("sara", "smtp")])],
)
def test_what_is_declared_is_asked_for_once(make_project: MakeProject, scope: str, keys: list[VarKey]) -> None:
    project = replace(make_project(INVENTORY.replace("SCOPE", scope), mail=services.code("declared")), asker=answer)
    v.create_identity(project, "me")
    evaluation = pipeline.Workspace(project).evaluation()
    own = {VarKey(machine, "mail.own") for machine in ("jon", "sara")}
    assert evaluation.makes.keys() == {*keys, *own}
    values = v.decrypt(project, [(key, file) for key in keys for file in ("password", "user")])
    assert set(values.values()) == {
        f"{key}/{file}: {kind}".encode() for key in keys for file, kind in (("password", "hidden"), ("user", "line"))
    }
    sara = evaluation.configured["sara"].configuration
    assert {(secret.name, secret.file) for secret in sara.secrets} == {("smtp", "password"), ("smtp", "user")}
    project = replace(project, asker=refuse)
    assert pipeline.generate(pipeline.Workspace(project))
    assert pipeline.Workspace(project).evaluation().configured == evaluation.configured
    assert pipeline.Workspace(project).evaluation_of(["sara"]).configured["sara"] == evaluation.configured["sara"]
    assert v.prune(project, [recipe.key for recipe in pipeline.Workspace(project).members().recipes]) == []


def test_what_no_setting_refers_to_is_told(make_project: MakeProject) -> None:
    project = make_project(INVENTORY.replace("SCOPE", "shared"), mail=services.code("declared"))
    [warning] = pipeline.Workspace(project).check().warnings
    assert str(warning) == (
        "warning: no setting refers to the var 'spare'\n"
        f"  at {project.root}/inventory.toml:8:7 vars.spare\n"
        'hint: refer to it in a setting that takes a secret: `{ var = "spare/key" }`'
    )


def test_it_is_asked_where_it_is_declared(make_project: MakeProject) -> None:
    project = make_project(INVENTORY.replace("SCOPE", "shared"), mail=services.code("declared"))
    v.create_identity(project, "me")
    with pytest.raises(Faults) as caught:
        pipeline.Workspace(project).evaluation()
    assert [(fault.message, fault.where and fault.where.keys) for fault in caught.value.faults] == [
        (
            "cannot prompt for shared/smtp/password (The mail account): not a terminal",
            ("vars", "smtp", "prompts", "password"),
        ),
        ("cannot prompt for shared/smtp/user (Its user): not a terminal", ("vars", "smtp", "prompts", "user")),
    ]


def test_a_machine_s_var_of_another_service_is_found_for_one_machine_alone(make_project: MakeProject) -> None:
    own = 'relay.var("own", Passphrase(), scope="machine")'
    other = services.code("declared", ('"mail", desc', '"post", desc'), (own, ""))
    text = """
    [machines.jon]
    [instances.a]
    module = { name = "mail", input = "self" }
    roles.relay.machines.jon = {}
    [instances.b]
    module = { name = "post", input = "self" }
    roles.relay.machines.jon.settings.password.var = "mail.own/passphrase"
    """
    project = make_project(text, mail=services.code("declared"), post=other)
    v.create_identity(project, "me")
    assert (
        pipeline.Workspace(project).evaluation_of(["jon"]).configured
        == pipeline.Workspace(project).evaluation().configured
    )
