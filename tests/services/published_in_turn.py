"""One role publishes a name from its key; another one publishes what it makes of all names."""

from collections.abc import Iterator

from rolecall.service import File, Interface, Member, NoSettings, Service, SSHKeyPair


class Name(Interface):
    name: str


class Signed(Interface):
    text: str


service = Service("mine", description="For tests.")
one = service.role("one", description="One.")
two = service.role("two", description="Two.")
key = one.var("key", SSHKeyPair())


@two.exports(Signed, needs=[Name])
def sign(me: Member[NoSettings]) -> Iterator[Signed]:
    yield Signed(text=" ".join(each.value.name for each in me.exports(Name)))


@one.exports(Name, needs=[key])
def publish(me: Member[NoSettings]) -> Iterator[Name]:
    yield Name(name=me[key].public.split()[2])


@one.configure
def show(me: Member[NoSettings]) -> Iterator[File]:
    [signed] = me.exports(Signed)
    yield File("/signed", f"{signed.value.text} {signed.machine} {signed.instance} {signed.role}")
