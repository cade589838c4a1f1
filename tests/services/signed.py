"""A certificate signed with secrets of another role, with names that any instance publishes; it is published too."""

from collections.abc import Iterator

from rolecall.service import AbsolutePath, Context, File, Member, NoSettings, State
from services.tells import Hides, Name, Tells, one, two


def sign(context: Context) -> str:
    keys = " ".join(f"{machine}={values['text'].decode()}" for machine, values in context.peers["authority"].items())
    names = " ".join(each.value.text for each in context.exports(Name))
    by = " ".join(each.machine for each in context.exports(Name, machine="c", role="two", service="mine"))
    return f"{context.inputs['own']['text'].decode()} | {keys} | {names} | {by}"


own = one.var("own", Hides(lambda context: f"own of {context.key}"))
authority = two.var("authority", Hides(lambda context: f"secret of {context.key.machine}"))
label = two.var("label", Tells(lambda context: f"label of {context.key.machine}"), needs=[authority])
certificate = one.var("certificate", Tells(sign), needs=[own, authority, Name])


@two.exports(Name, needs=[label])
def publish(me: Member[NoSettings]) -> Iterator[Name]:
    yield Name(text=me[label])


@one.exports(State, needs=[certificate])
def state(me: Member[NoSettings]) -> Iterator[State]:
    yield State(name=me[certificate], folders=[AbsolutePath("/srv")])


@two.configure
def show(me: Member[NoSettings]) -> Iterator[File]:
    for each in me.exports(State):
        yield File(me.path("state"), each.value.name)
