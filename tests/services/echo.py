"""Records in `services.calls` which of its functions ran for whom."""

from collections.abc import Iterator

from rolecall.service import File, Interface, Member, NoSettings, Passphrase, Service, Settings
from services import calls


class Word(Interface):
    text: str


class Says(Settings):
    word: str = "hello"


service = Service("echo", description="Tells which of its functions ran for whom.")
speaker = service.role("speaker", Says, description="Says a word.")
hearer = service.role("hearer", description="Writes down what is said in its instance.")
key = speaker.var("key", Passphrase(words=3))


@speaker.exports(Word)
def say(me: Member[Says]) -> Iterator[Word]:
    yield Word(text=me.settings.word)


@speaker.configure
def speak(me: Member[Says]) -> Iterator[File]:
    calls.append(f"{me.instance}.{me.machine}")
    yield File(me.path("key"), me[key].secret)


@hearer.configure
def hear(me: Member[NoSettings]) -> Iterator[File]:
    calls.append(f"{me.instance}.{me.machine}")
    words = " ".join(each.value.text for each in me.exports(Word, instance="two"))
    yield File(me.path("heard"), words + " ".join(peer.address for peer in me.members(speaker)))
