"""Lists, tables and sets that cannot be changed, for data that all members share.

They stay what they are to `isinstance`, ``==`` and JSON. A copy of one can be changed.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def frozen(value: T) -> T:
    """Return a value in which nothing can be changed; a model is changed in place."""
    found: Any = value
    kind = type(value)
    if hasattr(kind, "__pydantic_fields__"):  # a model; recognized without importing pydantic
        for fields in (found.__dict__, found.__pydantic_extra__ or {}):
            for name, each in fields.items():
                if not isinstance(each, _PLAIN):
                    fields[name] = frozen(each)
    elif kind is list:
        found = _List(map(frozen, found))
    elif kind is dict:
        found = _Dict({key: frozen(each) for key, each in found.items()})
    elif kind is set:
        found = _Set(found)
    elif kind is tuple:
        found = tuple(map(frozen, found))
    return found  # type: ignore[no-any-return]  # of the same kind


_PLAIN = (str, int, float, bytes, type(None))


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    kind = next(each.__name__ for each in (list, dict, set) if isinstance(self, each))
    raise TypeError(f"settings, exports and vars are shared, so they cannot be changed; copy this one first: {kind}(…)")


class _List(list[Any]):
    __slots__ = ()
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __reduce__(self) -> Any:  # noqa: ANN401 - as copy and pickle want it
        return list, ([*self],)


class _Dict(dict[Any, Any]):
    __slots__ = ()
    update = setdefault = pop = popitem = clear = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __reduce__(self) -> Any:  # noqa: ANN401
        return dict, ({**self},)


class _Set(set[Any]):
    __slots__ = ()
    add = remove = discard = pop = clear = update = _refuse
    intersection_update = difference_update = symmetric_difference_update = _refuse
    __ior__ = __iand__ = __isub__ = __ixor__ = _refuse

    def __reduce__(self) -> Any:  # noqa: ANN401
        return set, ({*self},)
