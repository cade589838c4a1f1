"""Exports of two roles, several for each member, in an order that nothing random may change."""

from collections.abc import Iterator

from rolecall.service import File, Interface, Member, NoSettings, Service, SSHKeyPair, State


class Text(Interface):
    text: str


class Nothing(Interface):
    pass


service = Service("mine", description="For tests.")
one = service.role("one", description="One.")
two = service.role("two", description="Two.")
key = two.var("key", SSHKeyPair())


@one.exports(Nothing)
@two.exports(Nothing, needs=[State])
def nothing(_: Member[NoSettings]) -> list[Nothing]:
    return []


@two.exports(Text, needs=[key, Nothing])
@one.exports(Text)
def tell(me: Member[NoSettings]) -> Iterator[Text]:
    yield Text(text=f"{me.machine}.{me.instance}.{me.role} 1")
    yield Text(text=f"{me.machine}.{me.instance}.{me.role} 2")


@one.configure
def show(me: Member[NoSettings]) -> Iterator[File]:
    yield File(me.path("all"), "\n".join(each.value.text for each in me.exports(Text)))
