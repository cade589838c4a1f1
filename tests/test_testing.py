"""`rolecall.testing`: a service's roles from an inventory, without a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from rolecall.service import (
    AuthorizedKey,
    Check,
    File,
    Function,
    Interface,
    Member,
    Passphrase,
    Prompted,
    Resource,
    Secret,
    SecretRef,
    Service,
    Settings,
    SSHKeyPair,
    VarFile,
    parts,
    service_unit,
)
from rolecall.testing import Faults, Host, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rolecall.model.generators import Validity
    from rolecall.service import Context, Generator


class Name(Interface):
    text: str


class Motto(Settings):
    motto: str = "none"
    token: SecretRef | None = None


service = Service("inn", description="Hosts and guests.")
host = service.role("host", Motto, description="Has guests.", minimum=1)
guest = service.role("guest", description="Has a host.")
password = host.var("password", Passphrase(words=4))
login = guest.var("login", SSHKeyPair())
pin = host.var("pin", Prompted("secret", "The PIN"), scope="shared")


def _signed(context: Context) -> dict[str, bytes]:
    names = [context.inputs["login"]["public"].split()[0].decode(), *sorted(context.peers["password"])]
    names += [export.value.text for export in context.exports(Name)]
    return {"text": " ".join(names).encode()}


signed = guest.var("signed", Function(_signed, (VarFile("text", secret=False),)), needs=[login, password, Name])


@host.exports(Name)
def name(me: Member[Motto]) -> Iterator[Name]:
    yield Name(text=me.settings.motto)


@host.configure
def greet(me: Member[Motto]) -> Iterator[Resource]:
    yield File(me.path("password"), parts("PASSWORD=", me[password].secret, "\n"))
    yield service_unit(me.name("x.service"), ["true"], description="Greets")
    for peer in me.members(guest):
        yield AuthorizedKey("root", me.settings.motto and KEY.format(peer.machine))


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{}"


@guest.configure
def arrive(me: Member[Settings]) -> Iterator[Resource]:
    yield File(me.path("hosts"), "".join(f"{peer.address}:{peer.port} {peer.host_keys}" for peer in me.members(host)))
    yield File(me.path("signed"), me[signed]["text"])


@guest.check
def sleeps(_: Member[Settings]) -> Iterator[Check]:
    yield Check("sleeps", ("sleep", "1"))


INVENTORY: dict[str, Any] = {
    "machines": {"alice": {"deploy": {"targetHost": "root@10.0.0.1:2222"}}, "bob": {}},
    "instances": {
        "door": {
            "module": {"name": "inn"},
            "roles": {
                "host": {"machines": {"alice": {"settings": {"motto": "In"}}}},
                "guest": {"machines": {"bob": {}}},
            },
        }
    },
}
TEXT = """
machines = { alice = { deploy.targetHost = "root@10.0.0.1:2222" }, bob = {} }
[instances.door]
module.name = "inn"
roles.host.machines.alice.settings.motto = "In"
roles.guest.machines.bob = {}
"""
ANSWERS = {"shared/door.pin/secret": "1234"}


@pytest.mark.parametrize("inventory", [INVENTORY, TEXT])
def test_what_follows_from_an_inventory(inventory: dict[str, Any] | str) -> None:
    result = evaluate(inventory, service, answers=ANSWERS)
    words = result.values["alice/door.password/passphrase"].decode()
    assert len(words.split("-" if "-" in words else " ")) == 4
    assert result.text("alice", "file:/etc/rolecall/door/password") == f"PASSWORD={words}\n"
    assert "ExecStart=true" in result.text("alice", "unit:rolecall-door.x.service")
    assert [key.line for key in result.resources("alice", AuthorizedKey).values()] == [KEY.format("bob")]
    assert result.resources("bob").keys() == {"file:/etc/rolecall/door/hosts", "file:/etc/rolecall/door/signed"}
    assert result.text("bob", "file:/etc/rolecall/door/hosts") == "10.0.0.1:2222 ()"
    assert result.text("bob", "file:/etc/rolecall/door/signed") == "ssh-ed25519 alice In"
    assert [(export.machine, export.value) for export in result.exports(Name)] == [("alice", Name(text="In"))]
    assert result.checks("bob")["door.guest: sleeps"].argv == ("sleep", "1")
    assert result.values["shared/door.pin/secret"] == b"1234"
    with pytest.raises(TypeError, match="has no text"):
        result.text("alice", next(iter(result.resources("alice", AuthorizedKey))))


def test_hosts_of_a_test_stand_in_for_those_of_the_inventory() -> None:
    result = evaluate(INVENTORY, service, answers=ANSWERS, hosts={"alice": Host("::1", ("ssh-ed25519 K",))})
    assert result.text("bob", "file:/etc/rolecall/door/hosts") == "::1:22 ('ssh-ed25519 K',)"


def test_nothing_is_read_from_or_written_to_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.toml").write_text("[machines.eve]\n")
    evaluate(INVENTORY, service, answers=ANSWERS)
    assert [path.name for path in tmp_path.iterdir()] == ["inventory.toml"]


def test_other_services_are_found_as_usual() -> None:
    backup = {"module": {"name": "borgbackup"}, "roles": {"client": {"machines": {"bob": {}}}}}
    backup["roles"]["server"] = {"machines": {"alice": {}}}  # type: ignore[index]  # a plain dict
    inventory = {**INVENTORY, "instances": {**INVENTORY["instances"], "backup": backup}}
    assert "package:borgbackup" in evaluate(inventory, service, answers=ANSWERS).resources("bob")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[instances", "[instance", "unknown key 'instance'"),
        ('"inn"', '"in"', "rolecall has no module 'in'"),
        ("motto", "moto", "has no setting 'moto'"),
        ("roles.host.machines.alice.settings.motto", "roles.guest.machines.alice.settings.motto", "has no setting"),
        ('motto = "In"', 'token.var = "x/y"', "no secret 'x/y'"),
        ('"In"', '"In', r"inventory\.toml:5:"),
        ('"In"', '""', "key"),
        ("roles.host", "# roles.host", "needs at least 1 machine"),
    ],
)
def test_mistakes_are_faults(old: str, new: str, message: str) -> None:
    with pytest.raises(Faults, match=message):
        evaluate(TEXT.replace(old, new), service, answers=ANSWERS)


def test_mistakes_of_generators_and_tests() -> None:
    with pytest.raises(Faults, match=r"no answer for shared/door\.pin/secret"):
        evaluate(INVENTORY, service)
    with pytest.raises(Faults, match=r"a/broken\.v \(for broken\.r\), made by Function, lacks text\n  at .*\.py:\d+"):
        evaluate(BROKEN, broken(Function(lambda _: {"other": b""}, (VarFile("text"),))))


BROKEN = """
[machines]
a.deploy.targetHost = "h"
b.deploy.targetHost = "i:22"

[instances.broken.roles.r.machines]
a = {}
b = {}
"""


def broken(generator: Generator) -> Service:
    """Return a service with one var."""
    service = Service("broken", description="Breaks.")
    service.role("r", Motto, description="R.").var("v", generator)
    return service


@dataclass(frozen=True)
class _Expiring:
    """A generator whose validity cannot be read."""

    files: tuple[VarFile, ...] = (VarFile("text", secret=False),)

    def generate(self, context: Context) -> dict[str, bytes]:
        return {"text": str(context.key).encode()}

    def view(self, files: Mapping[str, str | Secret]) -> str:
        return str(files["text"])

    def validity(self, values: Mapping[str, str]) -> Validity:
        raise RuntimeError(values["text"])


PUBLIC = (VarFile("text", secret=False),)
PAIR = (VarFile("private"), VarFile("public", secret=False))


@pytest.mark.parametrize(
    ("service", "inventory", "message"),
    [
        (broken(Function(lambda _: {"text": b"\xff"}, PUBLIC)), BROKEN, "public text that is not UTF-8"),
        (broken(Function(lambda _: {"text": "x"}, PUBLIC)), BROKEN, "has no bytes in text"),
        (broken(Function(lambda c: {"text": c.inputs["w"]["x"]}, PUBLIC)), BROKEN, "reads the var 'w' and does not"),
        (broken(_Expiring()), BROKEN, "the validity of a/broken.v"),
        (broken(Passphrase()), BROKEN.replace('"h"', '"a b"'), "target"),
        (broken(Passphrase()), BROKEN + "[instances.none]\n[machine.c]\n", "machine(.|\n)*none"),
    ],
)
def test_what_a_plan_refuses_a_test_refuses(service: Service, inventory: str, message: str) -> None:
    with pytest.raises(Faults, match=message):
        evaluate(inventory, service)


def test_what_a_plan_warns_of_a_test_warns_of() -> None:
    same_key = broken(Function(lambda _: {"private": b"p", "public": b"ssh-ed25519 AAAA"}, PAIR))
    [shared] = evaluate(BROKEN, same_key).warnings
    assert shared.message == "b/broken.v has the same public key as a/broken.v"
    [target] = evaluate(BROKEN.replace("i:", "h:"), broken(Passphrase())).warnings
    assert target.message.startswith("machine 'b' has the same target as 'a'")


def test_warnings() -> None:
    text = TEXT.replace("roles.guest.machines.bob", "roles.guest.tags.nobody")
    assert [warning.message for warning in evaluate(text, service, answers=ANSWERS).warnings] == [
        "no machine has the tag 'nobody'"
    ]
