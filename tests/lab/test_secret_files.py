"""Readers of a secret on a real machine: root, its owner, a group that is named for it, and no other user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import services

if TYPE_CHECKING:
    from conftest import Desk, DeskFactory

FILES = {
    "/srv/open/own": {"owner"},
    "/srv/open/shared": {"reader"},
    "/run/rolecall/secrets/box.sent/passphrase": {"owner"},
    "/run/rolecall/secrets/box.delivered/passphrase": {"reader"},
}


@pytest.fixture(scope="module")
def desk(new_desk: DeskFactory) -> Desk:
    made = new_desk()
    services.install(made.root, "secret_readers", module="kept")
    made.write(
        machines={"jon": {}},
        instances={"box": {"module": {"name": "kept", "input": "self"}, "roles": {"one": {"machines": {"jon": {}}}}}},
    )
    made.rolecall("keys", "create", "me")
    made.rolecall("lab", "up")
    return made


def test_other_users_cannot_read_secrets(desk: Desk) -> None:
    plan = desk.rolecall("plan").stdout
    for path in ("/srv/open/shared", "/run/rolecall/secrets/box.delivered/passphrase"):
        [line] = [line for line in plan.splitlines() if f"file {path}" in line]
        assert line.endswith("readable by the group readers")
    assert plan.count("readable by the group") == 2
    desk.rolecall("update", "--yes")
    for path, readers in FILES.items():
        for user in ("owner", "reader", "other", "nobody", "root"):
            allowed = user in {"root", *readers}
            said = desk.on("jon", 'runuser -u "$1" -- cat "$2"', user, path, status=0 if allowed else 1)
            assert ("Permission denied" in said) != allowed
    told = desk.rolecall("vars", "recipients").stdout
    assert "jon/box.shared/passphrase     me  →  jon (group readers)\n" in told
    assert "jon/box.delivered/passphrase  me  →  jon (group readers)\n" in told
    assert told.count("group") == 2


def test_world_readable_secrets_are_refused(desk: Desk) -> None:
    before = desk.on("jon", "stat -c '%a %U %G' /srv/open/shared")
    assert before == "640 root readers\n"
    services.install(
        desk.root, "secret_readers", ('readable_by="readers"', 'readable_by="readers", mode=0o644'), module="kept"
    )
    told = desk.rolecall("update", "--yes", status=1).stderr
    assert "file /srv/open/shared: contains a secret, but mode 0644 lets every user read or change it" in told
    text = services.code("secret_readers")
    line = text[: text.index("readable_by")].count("\n") + 1
    assert f"kept.py:{line})" in told
    services.install(desk.root, "secret_readers", module="kept")
    assert desk.on("jon", "stat -c '%a %U %G' /srv/open/shared") == before
