"""Files of vars that stand on machines without being yielded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import services
from rolecall import pipeline
from rolecall import vars as v
from rolecall.service import ContractError, Delivery, Service, SSHKeyPair

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

INVENTORY = """
[machines.jon]
[instances.red]
module = { name = "web", input = "self" }
roles.host.tags.all = {}
"""


def test_a_delivered_file_stands_where_its_var_says(make_project: MakeProject) -> None:
    project = make_project(INVENTORY, web=services.code("delivering"))
    v.create_identity(project, "me")
    configuration = pipeline.Workspace(project).evaluation().configured["jon"].configuration
    found = {
        item.path: (item.owner, item.mode, item.needed_for, item.restarts, len(item.secrets))  # type: ignore[union-attr]
        for item in configuration.resources
    }
    folder = "/run/rolecall/secrets/red"
    assert found == {
        "/etc/rolecall/red/where": ("root", 0o644, "services", (), 0),
        f"{folder}.pair/private": ("www", 0o440, "services", ("web.service",), 1),
        f"{folder}.pair/public": ("root", 0o444, "services", (), 0),
        f"{folder}.word/passphrase": ("root", 0o400, "packages", (), 1),  # yielded too, in the same way
    }


@pytest.mark.parametrize(
    ("deliver", "message"),
    [
        ({"key": Delivery()}, "delivers an unknown file 'key'; its files are: private, public"),
        ({"private": "root"}, "delivers 'private' with 'root', which is not a Delivery"),
        ({"private": Delivery(owner="a b")}, "delivers 'private': .*'a b' is not the name of a user"),
        ({"private": Delivery(restarts=("web",))}, "delivers 'private': .*'web' is not allowed"),
        ({"private": Delivery("www", needed_for="packages")}, "must be owned by root"),
        ({"private": Delivery(needed_for="users")}, "needed_for must be .*, not 'users'"),  # type: ignore[arg-type]  # that is the mistake
    ],
)
def test_a_delivery_that_no_machine_would_take(deliver: dict[str, Delivery], message: str) -> None:
    role = Service("x", description="X.").role("r", description="R.")
    with pytest.raises(ContractError, match=message):
        role.var("pair", SSHKeyPair(), deliver=deliver)
