"""Damage of the state directory: what only a comparison of its files shows, and how a person gives up what is lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable

from rolecall_agent import journal as journals
from rolecall_agent.originals import INDEX, is_resource
from rolecall_agent.state import DamagedError, damaged

if TYPE_CHECKING:
    from rolecall_agent.store import Store


def require_whole(store: Store) -> None:
    """Require that nothing is damaged or lost of what every run needs.

    Raises:
        DamagedError: When something is.
    """
    _require_current(store)
    if _is_index_lost(store):
        raise damaged(INDEX, "it is missing")


def give_up(store: Store) -> bool:
    """Forget what is damaged, so that the next run can work; return whether there was something.

    The current generation is then the newest one that is intact. If the index of originals is damaged, nobody knows any
    more what was in the place of a resource before, so it stays when it is undeclared. If the journal is damaged,
    everything stays as the interrupted switch has left it.

    Raises:
        Failure: When another version of Rolecall wrote it.
    """
    lost = False
    if _is_damaged(store.schema):
        store.write_schema()
        lost = True
    if _is_damaged(lambda: store.originals):
        store.forget_originals()
        lost = True
    if _is_damaged(lambda: journals.load(store)):
        store.drop_journal()
        lost = True
    if _is_damaged(lambda: _require_current(store)):
        intact = [number for number in store.numbers() if not _is_damaged(partial(store.configuration, number))]
        store.set_current(max(intact, default=0))
        lost = True
    if _is_index_lost(store):
        store.forget_originals()
        lost = True
    if lost:  # of a damaged generation, or an interrupted switch
        declared = {resource.key for resource in store.configuration(store.current).resources}
        store.mark_abandoned(key for key in store.originals if key not in declared and is_resource(key))
    return lost


def _require_current(store: Store) -> None:
    store.configuration(store.current)
    kept = [key for key, original in store.originals.items() if not original.get("abandoned")]
    committed = any(map(is_resource, kept))
    if committed and not store.current and not store.is_interrupted:
        raise damaged("current", "it is missing")


def _is_index_lost(store: Store) -> bool:
    return bool(store.configuration(store.current).resources) and not store.has_originals


def _is_damaged(read: Callable[[], object]) -> bool:
    try:
        read()
    except DamagedError:
        return True
    return False
