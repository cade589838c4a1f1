"""No text of an inventory becomes a line, an argument or a word of its own in what is generated from it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from rolecall import pipeline
from rolecall.errors import Faults
from rolecall_agent.content import Blob
from rolecall_agent.resources import AuthorizedKey, File, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolecall.inventory.data import Keys
    from rolecall.project import Project

    MakeProject = Callable[..., Project]

INVENTORY: dict[str, Any] = {
    "meta": {"name": "home", "description": "Ours", "domain": "home.example"},
    "machines": {
        "jon": {
            "description": "A laptop",
            "platform": "x86_64",
            "deploy": {"targetHost": "dir:targets/jon"},
            "state": {"documents": {"folders": ["/srv"], "beforeBackup": ["sync"], "afterRestore": ["true"]}},
        },
        "store": {},
        "safe": {"address": "safe.home.example"},
        "vault": {"deploy": {"targetHost": "root@vault"}},
    },
    "instances": {
        "backup": {
            "module": {"name": "borgbackup", "input": "rolecall"},
            "roles": {
                "client": {
                    "machines": {"jon": {}},
                    "settings": {"startAt": "daily", "exclude": ["*.tmp"], "keep": {"within": "1d"}},
                },
                "server": {
                    "machines": {"store": {}, "vault": {"settings": {"address": "10.0.0.1"}}, "safe": {}},
                    "settings": {"directory": "/srv/backup"},
                },
            },
        }
    },
    "vars": {"mail": {"prompts": {"password": {"description": "Of the account"}}}},
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
HOSTILE = ["a\nMARK=1", 'a"\n\n[MARK]\n', "$(MARK) ${MARK} `MARK` %h", "a\\\n MARK", "\x1b[2JMARK", "a\0MARK", "-oMARK"]


def texts(data: object, keys: Keys = ()) -> Iterator[Keys]:
    """The place of every text."""
    if isinstance(data, str):
        yield keys
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from texts(value, (*keys, key))


@pytest.mark.parametrize("keys", list(texts(INVENTORY)), ids=lambda keys: ".".join(map(str, keys)))
def test_a_hostile_text(make_project: MakeProject, keys: Keys) -> None:
    for hostile in HOSTILE:
        inventory: Any = json.loads(json.dumps(INVENTORY))
        place = inventory
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = hostile
        project = make_project("")
        (project.root / "inventory.toml").unlink()
        (project.root / "inventory.json").write_text(json.dumps(inventory))
        project.known_hosts.parent.mkdir(exist_ok=True)
        project.known_hosts.write_text(f"store {KEY}\nvault {KEY}\n")
        told, resources = "", []
        try:
            evaluation = pipeline.Workspace(project).evaluation()
            resources = [each for found in evaluation.configured.values() for each in found.configuration.resources]
        except Faults as faults:
            told = str(faults)
        assert told.replace("\n", "").isprintable()  # nothing that steers a terminal
        assert bool(told) != bool(resources)
        for resource in resources:
            check(resource)


def check(resource: object) -> None:
    """The text stands inside of a value of the format in which it is written."""
    if isinstance(resource, Unit):
        for line in (resource.blob.data or b"").decode().splitlines():
            assert "MARK" not in line.partition("=")[0]
            assert not line.startswith(("Exec", "On")) or "MARK" not in line
    elif isinstance(resource, AuthorizedKey):
        assert "\n" not in resource.line
    elif isinstance(resource, File) and resource.path.endswith(".json"):
        for url in json.loads(content(resource))["repositories"].values():
            assert re.fullmatch(r"ssh://borg@[a-z0-9.-]+/[^\n]*", url)
    elif isinstance(resource, File) and resource.path.endswith("known_hosts"):
        assert re.fullmatch(rf"([a-z0-9.-]+ {re.escape(KEY)}\n)+", content(resource))


def content(file: File) -> str:
    return b"".join(part.data or b"" for part in file.parts if isinstance(part, Blob)).decode()
