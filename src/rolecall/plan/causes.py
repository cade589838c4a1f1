"""Why a resource changes: what became of the inputs of the service code that declares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rolecall.model.plan import Why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolecall.model.plan import Change
    from rolecall_agent.protocol import Provenance

    Places = Callable[[str, str], str]

_COMMANDS = ("check", "health")  # kinds of keys whose names begin with the role


class Declared(NamedTuple):
    """What a plan of a machine is explained with.

    Attributes:
        now: Where the configuration that it is to have comes from.
        before: Where its current generation comes from; None if it does not say.
        installed: Whether it has a generation.
        place: Returns where the inventory says something, as ``FILE:LINE``, or "": of an ``INSTANCE.ROLE`` one of its
            settings, or that the machine plays it if that is "".
    """

    now: Provenance
    before: Provenance | None
    installed: bool
    place: Places


def reasons(change: Change, declared: Declared) -> tuple[tuple[str, ...], tuple[Why, ...]]:
    """Return what declares a resource, or declared it, and why it changes."""
    return origins_of(change, declared.before), why(change, declared)


def origins_of(change: Change, before: Provenance | None) -> tuple[str, ...]:
    """Return the ``INSTANCE.ROLE`` that declare a resource or a check, or that declared it before."""
    kind, _, name = change.key.partition(":")
    if kind in _COMMANDS:
        return (name.partition(": ")[0],)
    return change.origins or tuple(before["origins"].get(change.key, ()) if before else ())


def why(change: Change, declared: Declared) -> tuple[Why, ...]:
    """Return why a resource changes on a machine: everything that may be the reason, what says most first."""
    origins = origins_of(change, declared.before)
    if not origins:
        return (Why("undeclared" if change.action == "remove" and declared.before is None else "agent"),)
    if not declared.now["inputs"] and change.action != "remove":  # of a machine with very many members
        return (Why("unknown", origins[0], place=declared.place(origins[0], "")),)
    current = [origin for origin in origins if origin in declared.now["inputs"]]
    if not current:
        return (Why("undeclared", origins[0]),)
    if change.action == "repair":
        return (Why("drift", current[0], place=declared.place(current[0], "")),)
    found = [each for origin in current for each in _causes(origin, declared)]
    found = found or [each for origin in current for each in _other_members(origin, declared)]
    return tuple(found) or (Why("unknown", current[0], place=declared.place(current[0], "")),)


def _causes(origin: str, declared: Declared) -> Iterator[Why]:
    """Yield what became of the inputs of a member."""
    place = declared.place(origin, "")
    now = declared.now["inputs"][origin]
    before = declared.before["inputs"].get(origin) if declared.before else None
    if before is None:
        if declared.before or not declared.installed:
            yield Why("declared", origin, place=place)
        return
    if settings := _changed(before["settings"], now["settings"]):
        yield Why("setting", origin, settings, declared.place(origin, settings[0]))
    known = {name: digest for name, digest in now["vars"].items() if name in before["vars"]}  # the others come or go
    if names := _changed({name: before["vars"][name] for name in known}, known):  # with members, which says more
        yield Why("var", origin, names, place)
    if before["service"] != now["service"]:
        yield Why("service", origin, place=place)
    if peers := _changed(before["peers"], now["peers"]):
        yield Why("peer", origin, tuple(filter(None, peers)), place)


def _other_members(origin: str, declared: Declared) -> Iterator[Why]:
    """Yield the other members whose settings changed, which service code can read without a trace."""
    before = declared.before["inputs"].get(origin) if declared.before else None
    if before and (peers := _changed(before["members"], declared.now["inputs"][origin]["members"])):
        yield Why("peer", origin, tuple(filter(None, peers)), declared.place(origin, ""))


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))
