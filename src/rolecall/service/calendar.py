"""A check for calendar events of systemd.time(7).

    [weekdays] [[year-]month-day] [hour:minute[:second]] [zone]

It accepts all that systemd's manual documents. A zone's name is checked for its form alone: only the machine knows its
zones.
"""

from __future__ import annotations

import re

_SHORTHAND = {
    "minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually",
}  # fmt: skip
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = r"(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_DAY_RANGE = re.compile(rf"({_DAY})(?:(?:\.\.|-)({_DAY}))?\Z")
_ZONE = re.compile(r"(?:[Uu][Tt][Cc]|[A-Z]{2,}[A-Z0-9+-]*|[A-Z][A-Za-z]+(?:/[A-Za-z0-9_+-]+)+)\Z")
_VALUE = r"\*|[0-9][0-9.,/]*"
_DATE = re.compile(rf"(?:(?P<year>{_VALUE})-)?(?P<month>{_VALUE})(?P<from>[-~])(?P<day>{_VALUE})\Z")
_TIME = re.compile(rf"(?P<hour>{_VALUE}):(?P<minute>{_VALUE})(?::(?P<second>{_VALUE}))?\Z")
_PART = re.compile(
    r"(?P<start>[0-9]{1,9}(?:\.[0-9]+)?)(?:\.\.(?P<stop>[0-9]{1,9}(?:\.[0-9]+)?))?"
    r"(?:/(?P<step>[0-9]{1,9}(?:\.[0-9]+)?))?\Z"
)
_LIMITS = {
    "year": (1970, 2199),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59.999999),
}


def is_calendar_event(text: str) -> bool:
    """Return whether systemd accepts a text for ``OnCalendar=``."""
    words = text.split(" ")
    if not words[0] or not words[-1] or not text.isascii() or not text.isprintable():
        return False
    words = [word for word in words if word]
    if len(words) > 1 and _ZONE.match(words[-1]):
        words.pop()
    if len(words) == 1 and (words[0].lower() in _SHORTHAND or _weekdays(words[0])):
        return True
    if len(words) > 1 and _weekdays(words[0]):
        words.pop(0)
    match words:
        case [one]:
            return _date(one) or _time(one) or re.fullmatch(r"@[0-9]{1,18}", one) is not None
        case [date, time]:
            return _date(date) and _time(time)
        case _:
            return False


def _weekdays(word: str) -> bool:
    """Return whether a word is days and ranges of days, ``Mon,Wed..Fri``."""
    for part in word.lower().removesuffix(",").split(","):
        found = _DAY_RANGE.match(part)
        if not found:
            return False
        first, last = (_DAYS.index(day[:3]) if day else None for day in found.groups())
        if first is not None and last is not None and first > last:
            return False
    return True


def _date(word: str) -> bool:
    found = _DATE.match(word)
    return found is not None and all(_component(found[name], name) for name in ("year", "month", "day") if found[name])


def _time(word: str) -> bool:
    found = _TIME.match(word)
    parts = ("hour", "minute", "second")
    return found is not None and all(_component(found[name], name) for name in parts if found[name])


def _component(text: str, name: str) -> bool:
    """Return whether a text is ``*``, or values with ranges and steps within the component's limits."""
    return text == "*" or all(_part(part, name) for part in text.split(","))


def _part(text: str, name: str) -> bool:
    found = _PART.match(text)
    if not found or ("." in text.replace("..", "") and name != "second"):
        return False
    low, high = _LIMITS[name]
    start, stop = (_number(found[group] or found["start"], name) for group in ("start", "stop"))
    step = float(found["step"] or 0)
    in_range = low <= start <= stop <= high
    return in_range and (not found["step"] or (step > 0 and (bool(found["stop"]) or start + step <= high)))


def _number(text: str, name: str) -> float:
    if name == "year" and len(text) < 3:  # noqa: PLR2004 - systemd reads years of two digits as 1970 to 2069
        return float(text) + (1900 if int(text) >= 70 else 2000)  # noqa: PLR2004 - as above
    return float(text)
