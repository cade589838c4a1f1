"""What a service's author may declare, and what members see."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict

import rolecall.service
from rolecall.model.generators import NotDeclaredError
from rolecall.model.vars import StoredFile, VarKey
from rolecall.model.world import FILTERS, Host, View, World
from rolecall.service import (
    AgeKeyPair,
    ContractError,
    Exported,
    Interface,
    Passphrase,
    Secret,
    Service,
    SSHKeyPair,
)
from rolecall.service.member import Member, member_of, members_of

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ["", "a.b", "../x", "-rf", "a b", "a\n", "ü", "a/b"]


class Address(Interface):
    text: str


class Other(Interface):
    text: str


@pytest.mark.parametrize("name", NAMES)
def test_names_that_could_hurt(name: str) -> None:
    with pytest.raises(ContractError, match="invalid name"):
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


def test_several_roles_declare_one_var_of_the_machine() -> None:
    service = Service("s", description="")
    one, other = service.role("one", description=""), service.role("other", description="")
    keys = [role.var("key", SSHKeyPair(), scope="machine") for role in (one, other)]
    assert {key.key("instance", "jon") for key in keys} == {keys[0].key("another", "jon")}
    for role, generator, scope, binds in (
        (one, SSHKeyPair(), "machine", ""),  # the same role again
        (service.role("third", description=""), SSHKeyPair(), "instance", ""),
        (service.role("fourth", description=""), AgeKeyPair(), "machine", ""),
        (service.role("fifth", description=""), SSHKeyPair(), "machine", "it is lost"),
    ):
        with pytest.raises(ContractError, match="declares the var 'key' twice"):
            role.var("key", generator, scope=scope, binds=binds)  # type: ignore[arg-type]  # a text of the loop
    with pytest.raises(ContractError, match="cannot need two vars named 'key'"):
        one.var("made", SSHKeyPair(), needs=keys)


def test_steps_need_what_they_can_read() -> None:
    service, stranger = Service("s", description=""), Service("stranger", description="")
    one, other = service.role("one", description=""), service.role("other", description="")
    own, theirs = one.var("own", SSHKeyPair()), other.var("theirs", SSHKeyPair())
    foreign = stranger.role("one", description="").var("own", SSHKeyPair())
    needs = (own, theirs, Address)
    assert one.var("made", SSHKeyPair(), needs=needs).needs == needs
    one.exports(Address, needs=needs)(list)
    assert one.publishers[0].needs == needs
    for wrong, named in ((foreign, "the var 'own' of stranger.one"), (str, "str"), ("own", "'own'")):
        ending = f"cannot need {named}: a step can read interfaces and vars of its own service"
        with pytest.raises(ContractError, match=f"s.one: the export of Address {ending}"):
            one.exports(Address, needs=[wrong])  # type: ignore[list-item]
        with pytest.raises(ContractError, match=f"s.one: the var 'bad' {ending}"):
            one.var("bad", SSHKeyPair(), needs=[wrong])  # type: ignore[list-item]
    assert "bad" not in one.vars


class Loose(Interface):
    model_config = ConfigDict(extra="allow")


async def asynchronous(_: object) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "service.role('r', Address, description='')",
            "s.r: its settings are Address, which is not a class below Settings",
        ),
        ("service.role('r', {}, description='')", "s.r: its settings are {}, which is not a class below Settings"),
        ("service.role(['r'], description='')", "s: role: invalid name ['r'] (use letters, digits, _ and -)"),
        ("service.role('r', description='', excludes=['one'])", "s.r excludes 'one', which is not a role of s"),
        (
            "service.role('r', description='', excludes=[foreign])",
            "s.r excludes the role t.x, which is not a role of s",
        ),
        ("Service('s', description='', maximum_instances=0)", "s: maximum_instances must be 1 or more, not 0"),
        (
            "one.var('v', SSHKeyPair)",
            "s.one: the var 'v': SSHKeyPair is not a generator",
        ),
        ("one.var('v', 5)", "s.one: the var 'v': 5 is not a generator, which has files, generate and view"),
        ("one.var('v', Passphrase(files=()))", "is not a generator, which has files, generate and view"),
        ("one.var('v', Passphrase(files=('x',)))", "is not a generator, which has files, generate and view"),
        (
            "one.var('v', Passphrase(files=(VarFile('x'), VarFile('x'))))",
            "the var 'v' has two files with the same name",
        ),
        (
            "one.var('v', Script('', (VarFile('x'),), (Prompt('p', 'a'), Prompt('p', 'b'))))",
            "the var 'v' has two prompts with the same name",
        ),
        ("one.var('v', Script('', (VarFile('x'),), ('p',)))", "the var 'v': prompts must be a tuple of Prompt"),
        ("one.var('v', Script('', (VarFile('x'),), (Prompt('a b', ''),)))", "the var 'v': prompt: invalid name 'a b'"),
        ("one.exports(list)", "s.one: the export of list: list is not an interface, which is a class below Interface"),
        ("one.exports(Interface)", "Interface is not an interface, which is a class below Interface"),
        ("one.exports(Address(text='x'))", "is not an interface, which is a class below Interface"),
        ("one.exports(Loose)", "s.one: the export of Loose: the interface Loose must keep extra='forbid'"),
        ("one.exports(Address, needs=[Loose])", "the interface Loose must keep extra='forbid'"),
        ("one.exports(Address)(5)", "s.one: the export of Address takes a function of one argument, not 5"),
        ("one.configure(lambda: [])", "s.one: configure takes a function of one argument, not <lambda>"),
        ("one.check(lambda a, b: [])", "s.one: check takes a function of one argument, not <lambda>"),
        ("service.machine(None)", "s: machine takes a function of one argument, not None"),
        ("one.configure(asynchronous)", "s.one: configure takes a plain function, but asynchronous is async"),
    ],
)
def test_what_breaks_the_contract(code: str, message: str) -> None:
    service = Service("s", description="")
    names = {
        "one": service.role("one", description=""),
        "foreign": Service("t", description="").role("x", description=""),
    }
    with pytest.raises(ContractError) as caught:
        eval(code, vars(rolecall.service) | globals() | names | {"service": service})  # noqa: S307 - the table above
    assert message in str(caught.value)
    assert (service.roles.keys(), names["one"].vars, names["one"].publishers) == ({"one"}, {}, [])


def test_exclusion_is_mutual() -> None:
    service = Service("s", description="")
    one = service.role("one", description="")
    two = service.role("two", description="", excludes=[one])
    assert (one.excluded, two.excluded) == ({"two"}, {"one"})


@pytest.mark.parametrize(("minimum", "maximum"), [(-1, None), (2, 1), (0, -1)])
def test_no_number_of_machines(minimum: int, maximum: int | None) -> None:
    with pytest.raises(ContractError, match="minimum"):
        Service("s", description="").role("r", description="", minimum=minimum, maximum=maximum)


def test_a_member_sees_what_is_its_own() -> None:
    service = Service("s", description="")
    role, other = service.role("role", description=""), service.role("other", description="")
    key, words, theirs = (
        role.var("key", SSHKeyPair()),
        role.var("words", Passphrase()),
        other.var("theirs", Passphrase()),
    )
    world = World({("i", "role"): {"l": None, "m": None}}, {"m": Host("10.0.0.1", ("ssh-ed25519 K",), 2222)})
    me = member_of(View(world), "i", "role", "m")
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
    assert [peer.machine for peer in me.members(role) if peer is not me] == ["l"]
    assert me.members(role) is me.members(role)
    assert me.members(other) == ()
    assert [each.value.text for each in me.exports(Address)] == ["t", "u"]
    assert [each.value.text for each in me.exports(Address, machine="n")] == ["u"]
    assert [each.value.text for each in me.exports(Address, instance="i")] == ["t"]
    assert me.exports(Address, machine="n", instance="i") == ()
    with pytest.raises(NotDeclaredError, match="no service of 'i' declares it"):
        me[words]
    with pytest.raises(NotDeclaredError, match="belongs to the role 'other'"):
        me[theirs]


@given(
    st.lists(st.builds(Exported, st.builds(Address, text=st.text(max_size=1)), *[st.sampled_from(["", "a", "b"])] * 4)),
    st.tuples(*[st.sampled_from([None, "", "a", "b"])] * 4),
)
def test_filters_give_what_a_look_at_everything_gives(
    exports: list[Exported[Address]], wanted: tuple[str | None, ...]
) -> None:
    world = World({}, {})
    world.publish(Address, exports)
    expected = [
        export
        for export in sorted(exports, key=lambda each: (each.machine, each.instance, each.role))
        if all(value in {None, getattr(export, name)} for name, value in zip(FILTERS, wanted, strict=True))
    ]
    me: Member[Any] = Member(View(world), "i", "role", "m", None)
    assert [*me.exports(Address, **dict(zip(FILTERS, wanted, strict=True)))] == expected
    assert me.exports(Other) == ()


ROLE = Service("s", description="").role("role", description="")
KEY = ROLE.var("key", SSHKeyPair())
READ_KEY, READ_ADDRESS = ("var", VarKey("m", "i.key")), ("address", "m")


@pytest.fixture
def world() -> World:
    """Two members with one var, and an export."""
    made = World({("i", "role"): {"l": None, "m": None}}, {"m": Host("a")})
    public = StoredFile(secret=False, version="w", public="P\n")
    made.vars[VarKey("m", "i.key")] = {"private": StoredFile(secret=True, version="v"), "public": public}
    made.publish(Address, [Exported(Address(text="t"), "m")])
    return made


def test_a_step_sees_what_it_needs_alone(world: World) -> None:
    me = member_of(View(world, [KEY]), "i", "role", "m")
    assert me[KEY].public == "P"
    with pytest.raises(NotDeclaredError, match="reads exports of Address and does not declare it"):
        me.exports(Address)
    me = member_of(View(world, [Address]), "i", "role", "m")
    assert len(me.exports(Address)) == 1
    with pytest.raises(NotDeclaredError, match="reads the var 'key' and does not declare it"):
        me[KEY]
    me = member_of(View(world), "i", "role", "m")
    assert (me[KEY].public, len(me.exports(Address))) == ("P", 1)


def test_a_cached_value_is_that_of_its_role_alone(world: World) -> None:
    world = replace(world, members={("i", role): {"m": None} for role in ("role", "other")})
    view = View(world)
    assert member_of(view, "i", "role", "m")[KEY].public == "P"
    with pytest.raises(NotDeclaredError, match="belongs to the role 'role'"):
        member_of(view, "i", "other", "m")[KEY]


def test_steps_inside_one_another_see_and_record_their_own_reads(world: World) -> None:
    def step(view: View) -> Iterator[str]:
        for member in members_of(view, "i", "role")[1:]:
            yield member[KEY].public
            yield member.address

    outer, inner = View(world, [KEY]), View(world, [])
    running = step(outer)
    assert next(running) == "P"
    with pytest.raises(NotDeclaredError):
        next(step(inner))
    assert (next(running), [*outer.reads], [*inner.reads]) == ("a", [READ_KEY, READ_ADDRESS], [])


def test_steps_in_threads_see_and_record_their_own_reads(world: World) -> None:
    together = Barrier(2, timeout=10)

    def step(needs: list[Any] | None) -> tuple[list[Any], str]:
        view, refused = View(world, needs), ""
        me = member_of(view, "i", "role", "m")
        for read in (lambda: me.address, lambda: me[KEY], lambda: me.exports(Address)):
            together.wait()
            try:
                read()
            except NotDeclaredError as error:
                refused = str(error)
        return [*view.reads], refused

    with ThreadPoolExecutor() as pool:
        one, other = pool.map(step, [[KEY], [Address]])
    assert one == ([READ_ADDRESS, READ_KEY], "this step reads exports of Address and does not declare it in its needs=")
    published = ("published", Address, None, None, None, None)
    assert other == ([READ_ADDRESS, published], "this step reads the var 'key' and does not declare it in its needs=")
