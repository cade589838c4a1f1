"""A reference to a secret never turns into text, and a secret never stands where others can read it."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from pydantic_core import PydanticSerializationError, to_json

from rolecall.cli import rolecall
from rolecall.cli.common import Invocation
from rolecall.errors import Faults
from rolecall.evaluate.authors import calling
from rolecall.service import (
    Action,
    AuthorizedKey,
    Check,
    ContractError,
    Delivery,
    File,
    Interface,
    KeyPair,
    Passphrase,
    Secret,
    SecretRef,
    Service,
    Settings,
    Unit,
    VarFile,
    exec_line,
    parts,
    secret_file,
    unit_text,
)
from rolecall.service.settings import SHOWN
from rolecall_agent.configuration import Configuration
from rolecall_agent.content import Blob, SecretTextError
from rolecall_agent.resources.checks import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = Secret("mail.smtp", "password", "v" * 22)
PAIR = KeyPair(SECRET, "public")
REFERENCE = SecretRef("smtp", "password")
Made = "Callable[[Secret | SecretRef], object]"


class MailSettings(Settings):
    password: SecretRef
    inner: dict[str, SecretRef]


@pytest.mark.parametrize("secret", [SECRET, REFERENCE], ids=["Secret", "SecretRef"])
@pytest.mark.parametrize(
    "make",
    [
        str,
        format,
        lambda it: f"{it}",
        lambda it: f"{it:>9}",
        "{}".format,
        lambda it: "%s" % it,  # noqa: UP031 - as an author may
        lambda it: "k=" + it,
        lambda it: it + "\n",
        lambda it: it * 2,
        lambda it: Path("/etc") / it,
        Path,
        open,
        lambda it: json.dumps({"k": it}, default=str),
        lambda it: ",".join(map(str, [it])),
        print,
    ],
)
def test_no_text_is_made_of_it(make: Callable[[object], object], secret: object) -> None:
    with pytest.raises(SecretTextError, match=r"instead of its value|converted to text"):
        make(secret)


@pytest.mark.parametrize(
    "secret", [SECRET, REFERENCE, [SECRET], PAIR, {"a": REFERENCE}], ids=lambda it: type(it).__name__
)
@pytest.mark.parametrize(
    "make",
    [json.dumps, lambda it: to_json({"k": it}), lambda it: ",".join(it if isinstance(it, list) else [it]), bytes],
)
def test_nor_by_others(make: Callable[[object], object], secret: object) -> None:
    with pytest.raises((TypeError, PydanticSerializationError)):
        make(secret)


@pytest.mark.parametrize("secret", [SECRET, REFERENCE, PAIR, [SECRET], MailSettings(password=REFERENCE, inner={})])
def test_what_repr_makes_of_it_is_refused_where_a_machine_would_get_it(secret: object) -> None:
    text = f"k={secret!r}"
    assert "v" * 22 not in text
    for make in (
        lambda: File("/etc/x", text),
        lambda: File("/etc/x", parts("a", text.encode())),
        lambda: File(f"/etc/{text}", ""),
        lambda: Unit("x.service", text),
        lambda: Action("x", ["true", text]),
        lambda: Action("x", ["true"], undo=["false", text]),
        lambda: Check("x", ("true", text)),
        lambda: AuthorizedKey("borg", "ssh-ed25519 AAAA", command=[text]),
        lambda: unit_text({"Service": {"Environment": text}}),
        lambda: exec_line(["true", text]),
    ):
        with pytest.raises(SecretTextError, match=r"instead of its value|converted to text"):
            make()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("make", [
    lambda: Unit("x.service", SECRET),  # type: ignore[arg-type]  # as an author may
    lambda: Unit("x.service", parts("Environment=K=", SECRET)),  # type: ignore[arg-type]  # as above
    lambda: Action("x", ["true", SECRET]),  # type: ignore[arg-type]  # as above
    lambda: Check("x", ("true", SECRET)),  # type: ignore[arg-type]  # as above
    lambda: AuthorizedKey("borg", SECRET),  # type: ignore[arg-type]  # as above
    lambda: AuthorizedKey("borg", "ssh-ed25519 AAAA", command=[SECRET]),  # type: ignore[list-item]  # as above
    lambda: unit_text({"Service": {"Environment": SECRET}}),  # type: ignore[dict-item]  # as above
    lambda: exec_line(["true", SECRET]),
])  # fmt: skip
def test_what_takes_no_secret_refuses_it(make: Callable[[], object]) -> None:
    with pytest.raises((TypeError, DefinitionError, AttributeError)):
        make()


def test_settings_with_a_reference_are_dumped_only_to_be_shown() -> None:
    settings = MailSettings(password=REFERENCE, inner={"a": REFERENCE})
    for dump in (settings.model_dump, settings.model_dump_json, lambda: to_json(settings)):
        with pytest.raises((SecretTextError, PydanticSerializationError), match=r"give it to parts\(…\)"):
            dump()
    shown = {"var": "smtp/password"}
    assert settings.model_dump(context=SHOWN) == {"password": shown, "inner": {"a": shown}}


def test_it_is_a_value_like_others_otherwise() -> None:
    same = Secret("mail.smtp", "password", "v" * 22)
    assert SECRET == same == copy.deepcopy(same) == pickle.loads(pickle.dumps(same))  # noqa: S301 - our own
    assert len({SECRET, same, Secret("mail.smtp", "password", "w")}) == 2
    assert SECRET != ("mail.smtp", "password", "v" * 22)
    assert asdict(PAIR)["private"] == SECRET
    assert SecretRef("a", "b") != Secret("a", "b", "c")
    with pytest.raises(AttributeError):
        SECRET.name = "x"


TYPES = """
from rolecall.service import *
import json

class Said(Interface):
    text: str

service = Service("leaky", description="For tests.")
one = service.role("one", description="x")
key = one.var("key", Passphrase())
"""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ('yield File("/etc/x", f"k={me[key].secret}")', "the secret x.key/passphrase cannot be converted to text"),
        ('yield File("/etc/x", f"k={me[key]!r}")', "this text contains the name of a secret instead of its value"),
        ('yield File("/etc/x", f"{me[key]}")', "this text contains the name of a secret instead of its value"),
        ('yield File("/etc/x", "".join(["k=", me[key].secret]))', "expected str instance, Secret found"),
        ('yield File("/etc/x", json.dumps({"k": me[key].secret}))', "Object of type Secret is not JSON serializable"),
        ('yield File("/etc/x", parts("k=", me[key].secret), mode=0o644)', "mode 0644 lets every user read"),
    ],
)  # fmt: skip
def test_the_author_is_told_the_line_and_the_way(
    tmp_path: Path, code: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLECALL_IDENTITY", str(tmp_path / "identity"))
    root = tmp_path / "project"
    (root / "modules").mkdir(parents=True)
    module = f"{TYPES}\n@one.configure\ndef configure(me):\n    {code}\n"
    (root / "modules/leaky.py").write_text(module)
    (root / "inventory.toml").write_text(
        '[machines.jon]\ndeploy.targetHost = "dir:t"\n[instances.x]\nmodule = { name = "leaky", input = "self" }\n'
        "roles.one.machines.jon = {}\n"
    )
    run = CliRunner()
    assert run.invoke(rolecall, ["-C", str(root), "keys", "create", "me"], obj=Invocation()).exit_code == 0
    done = run.invoke(rolecall, ["-C", str(root), "plan"], obj=Invocation())
    assert isinstance(done.exception, Faults)
    said = str(done.exception)
    assert told in said
    assert f"leaky.py:{module.count(chr(10))})" in said
    if "mode=" not in code:
        assert 'write `File(path, parts("password = ", secret))`' in said


def test_an_export_holds_no_text_of_it() -> None:
    class Said(Interface):
        text: str

    with pytest.raises(SecretTextError):
        Said(text=f"{SECRET}")


CONTENT = parts("PASSWORD=", SECRET, "\n")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o601, 0o610, 0o4600, 0o2700, 0o777])
@pytest.mark.parametrize("path", ["/etc/leak", "/run/leak", "/run/rolecall/secretsx/leak", "/root/leak"])
def test_a_file_with_a_secret_is_for_its_owner_alone(mode: int, path: str) -> None:
    with pytest.raises(DefinitionError, match=f"file {path}: contains a secret"):
        File(path, CONTENT, mode=mode)
    assert File(path, "public", mode=mode).mode == mode
    for own in (0o400, 0o600, 0o700):
        assert File(path, CONTENT, owner="www", group="www", mode=own).shared_with == ""


def test_a_group_that_is_named_can_read_it() -> None:
    file = File("/etc/x", CONTENT, readable_by="www-data")
    assert (file.owner, file.group, file.mode, file.shared_with) == ("root", "www-data", 0o640, "www-data")
    assert File("/etc/x", CONTENT, mode=0o440, readable_by="www-data").mode == 0o440
    for mode in (0o644, 0o604, 0o660, 0o2640):
        with pytest.raises(DefinitionError, match="contains a secret"):
            File("/etc/x", CONTENT, mode=mode, readable_by="www-data")
    with pytest.raises(DefinitionError, match="readable_by='www-data' contradicts group='mail'"):
        File("/etc/x", CONTENT, group="mail", readable_by="www-data")
    with pytest.raises(DefinitionError, match="readable_by=GROUP"):
        File("/etc/x", CONTENT, group="www-data", mode=0o640)


def test_below_the_tmpfs_of_secrets_a_group_may_and_everybody_may_not() -> None:
    assert secret_file(SECRET, group="www-data", mode=0o440).shared_with == "www-data"
    assert secret_file(SECRET).shared_with == ""
    with pytest.raises(DefinitionError, match="mode 0444 lets every user read"):
        secret_file(SECRET, mode=0o444)


def test_a_delivery_is_held_to_it_where_it_is_declared() -> None:
    role = Service("x", description="x").role("one", description="x")
    with pytest.raises(ContractError, match=r"delivers 'passphrase': .*every user read"):
        role.var("bad", Passphrase(), deliver={"passphrase": Delivery(mode=0o444)})
    assert role.var("good", Passphrase(), deliver={"passphrase": Delivery(group="www", mode=0o440)}).deliver
    assert VarFile("x").secret


def test_what_is_installed_already_can_be_read_all_the_same() -> None:
    """A machine that got a file under older rules must still be updated, and go back."""
    good = Configuration.of("jon", [File("/etc/x", CONTENT)]).as_json()
    good["resources"][0]["mode"] = 0o644
    decoded = Configuration.decode_json(good)
    assert decoded.as_json() == good
    group = Configuration.of("jon", [File("/etc/x", CONTENT, readable_by="www-data")])
    assert Configuration.decode(group.encode()) == group


def test_an_error_that_holds_a_secret_is_a_fault_with_its_line() -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    with (
        pytest.raises(Faults, match=r"cannot be converted to text.*test_secret_text\.py:\d+\)"),
        calling(Service("mail", description="Mails."), "mail.relay on jon", "mail"),
    ):
        fail()


@pytest.mark.parametrize("text", ["about rolecall-secret: marks", "<rolecall-secret:>", "rolecall-secret:a/b"])
def test_a_text_may_speak_of_the_mark(text: str) -> None:
    assert Blob.of(text).data == text.encode() == Blob.of(text.encode()).data
