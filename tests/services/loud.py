"""Prints in everything that a service can do, from its import to the exit of the program."""

import atexit
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import field_serializer, field_validator

from rolecall.service import Check, Context, File, Function, Interface, Member, Service, Settings, VarFile
from services.noise import shout

shout("import")
atexit.register(shout, "exit")
kept = sys.stdout


class Loud(Settings):
    word: str = "x"

    @field_validator("word")
    @classmethod
    def check_it(cls, word: str) -> str:
        shout("validator")
        return word

    @field_serializer("word")
    def tell(self, word: str) -> str:
        shout("serializer")
        return word


class Word(Interface):
    text: str


def make(_: Context) -> Mapping[str, bytes]:
    shout("generator")
    return {"text": b"made"}


def look(settings: Loud) -> str:
    shout("validation")
    return settings.word


service = Service("loud", description="Prints.")
role = service.role("role", Loud, description="Prints.")
var = role.var("var", Function(make, (VarFile("text", secret=False),)), validation=look)


@role.exports(Word)
def publish(_: Member[Loud]) -> Iterator[Word]:
    shout("exports")
    yield Word(text="x")


@role.configure
def configure(me: Member[Loud]) -> Iterator[File]:
    shout("configure")
    kept.write("noise kept\n")
    yield File(me.path("x"), "x")


@role.check
def checks(_: Member[Loud]) -> Iterator[Check]:
    shout("check")
    yield Check("works", ("true",))


@service.machine
def machine(_: tuple[Member[Any], ...]) -> list[File]:
    shout("machine")
    return []
