"""Reads addresses: each caller those of all answerers, and an answerer its own, for its file or for others."""

from collections.abc import Iterator
from typing import Literal

from rolecall.service import Check, File, Interface, Member, Service, Settings


class Address(Interface):
    text: str


class Own(Settings):
    own: Literal["unread", "written", "published"] = "unread"


class Calls(Settings):
    network: str | None = None


service = Service("reach", description="Reads addresses.")
answerer = service.role("answerer", Own, description="Answers.")
caller = service.role("caller", Calls, description="Calls all answerers.")


@answerer.exports(Address)
def publish(me: Member[Own]) -> Iterator[Address]:
    if me.settings.own == "published":
        yield Address(text=me.address)


@answerer.configure
def answer(me: Member[Own]) -> Iterator[File]:
    yield File(me.path("own"), me.address if me.settings.own == "written" else "")


@caller.configure
def call(me: Member[Calls]) -> Iterator[File]:
    addresses = [f"{peer.address_in(me.settings.network)}:{peer.port}" for peer in me.members(answerer)]
    yield File(me.path("peers"), " ".join(addresses))


@caller.check
def answers(me: Member[Calls]) -> Iterator[Check]:
    yield Check("all answer", ("call", me.path("peers")), peers=True)
