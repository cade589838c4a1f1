"""What a service's author may declare, and what members see."""

from __future__ import annotations

from typing import Any

import pytest

from rolecall.model.vars import StoredFile, VarKey
from rolecall.service import ContractError, Interface, Passphrase, Secret, Service, SSHKeyPair
from rolecall.service.member import Exported, Host, Member, NotDeclaredError, World

NAMES = ["", "a.b", "../x", "-rf", "a b", "a\n", "ü", "a/b"]


class Address(Interface):
    text: str


@pytest.mark.parametrize("name", NAMES)
def test_names_that_could_hurt(name: str) -> None:
    with pytest.raises(ContractError, match="is no name"):
        Service(name, description="")
    service = Service("s", description="")
    with pytest.raises(ContractError, match="s: role: "):
        service.role(name, description="")
    with pytest.raises(ContractError, match=r"s\.r: var: "):
        service.role("r", description="").var(name, SSHKeyPair())


def test_nothing_is_declared_twice() -> None:
    service = Service("s", description="")
    one, other = service.role("one", description=""), service.role("other", description="")
    one.var("key", SSHKeyPair())
    with pytest.raises(ContractError, match="declares the role 'one' twice"):
        service.role("one", description="")
    with pytest.raises(ContractError, match="declares the var 'key' twice"):
        other.var("key", SSHKeyPair())


def test_steps_need_what_they_can_read() -> None:
    service, stranger = Service("s", description=""), Service("stranger", description="")
    one, other = service.role("one", description=""), service.role("other", description="")
    own, theirs = one.var("own", SSHKeyPair()), other.var("theirs", SSHKeyPair())
    foreign = stranger.role("one", description="").var("own", SSHKeyPair())
    assert one.var("made", SSHKeyPair(), needs=[own]).needs == (own,)
    for need, named in ((theirs, "the var 'theirs' of s.other"), (foreign, "stranger.one"), (Address, "Address")):
        with pytest.raises(ContractError, match=f"s.one: the var 'bad' needs .*{named}; what a generator can read"):
            one.var("bad", SSHKeyPair(), needs=[need])  # type: ignore[list-item]
    one.exports(Address, needs=[own, theirs, Address])
    for wrong, named in ((foreign, "the var 'own' of stranger.one"), (str, "str"), ("own", "'own'")):
        with pytest.raises(ContractError, match=f"s.one: the export of Address needs {named}; what a member can read"):
            one.exports(Address, needs=[wrong])  # type: ignore[list-item]


@pytest.mark.parametrize(("minimum", "maximum"), [(-1, None), (2, 1), (0, -1)])
def test_no_number_of_machines(minimum: int, maximum: int | None) -> None:
    with pytest.raises(ContractError, match="no number of machines"):
        Service("s", description="").role("r", description="", minimum=minimum, maximum=maximum)


def test_a_member_sees_what_is_its_own() -> None:
    service = Service("s", description="")
    role, other = service.role("role", description=""), service.role("other", description="")
    key, words, theirs = (
        role.var("key", SSHKeyPair()),
        role.var("words", Passphrase()),
        other.var("theirs", Passphrase()),
    )
    members: dict[tuple[str, str], tuple[Member[Any], ...]] = {}
    world = World(members, {"m": Host("10.0.0.1", ("ssh-ed25519 K",), 2222)})
    me: Member[Any] = Member(world, "i", "role", "m", None)
    members["i", "role"] = (me,)
    files = {
        "private": StoredFile(secret=True, version="v"),
        "public": StoredFile(secret=False, version="w", public="P\n"),
    }
    world.vars[VarKey("m", "i.key")] = files
    world.publish(
        Address, [Exported(Address(text="u"), "n", "j", "role"), Exported(Address(text="t"), "m", "i", "role")]
    )

    assert (me[key].public, me[key].private) == ("P", Secret("i.key", "private", "v"))
    assert (me.name("job.service"), me.path("env")) == ("rolecall-i.job.service", "/etc/rolecall/i/env")
    assert (me.address, me.host_keys, me.port) == ("10.0.0.1", ("ssh-ed25519 K",), 2222)
    assert me.members(role) is members["i", "role"]
    assert me.members(other) == ()
    assert [each.value.text for each in me.exports(Address)] == ["t", "u"]
    assert [each.value.text for each in me.exports(Address, machine="n")] == ["u"]
    assert [each.value.text for each in me.exports(Address, instance="i")] == ["t"]
    assert me.exports(Address, machine="n", instance="i") == ()
    with pytest.raises(NotDeclaredError, match="no service of 'i' declares it"):
        me[words]
    with pytest.raises(NotDeclaredError, match="belongs to the role 'other'"):
        me[theirs]


def test_a_step_sees_what_it_needs_alone() -> None:
    role = Service("s", description="").role("role", description="")
    key = role.var("key", SSHKeyPair())
    members: dict[tuple[str, str], tuple[Member[Any], ...]] = {}
    world = World(members, {})
    me: Member[Any] = Member(world, "i", "role", "m", None)
    public = StoredFile(secret=False, version="w", public="P\n")
    world.vars[VarKey("m", "i.key")] = {"private": StoredFile(secret=True, version="v"), "public": public}
    world.publish(Address, [Exported(Address(text="t"), "m")])
    with world.limited((key,)):
        assert me[key].public == "P"
        with pytest.raises(NotDeclaredError, match="reads exports of Address and does not declare it"):
            me.exports(Address)
    with world.limited((Address,)):
        assert len(me.exports(Address)) == 1
        with pytest.raises(NotDeclaredError, match="reads the var 'key' and does not declare it"):
            me[key]
    assert (me[key].public, len(me.exports(Address))) == ("P", 1)
