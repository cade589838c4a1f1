from __future__ import annotations

import shutil
import subprocess

import pytest

from rolecall.service.calendar import is_calendar_event

GOOD = """
daily|MINUTELY|semiannually|weekly UTC|*-*-* 01:00:00|Mon..Fri *-*-* 01:30:00|*:0/15|Mon|monday|Mon,Tue 03:00
2003-03-05|2003-03-05 05:40|*-*~1|*-02~03|Mon *-05~07/1|05:40|*-*-1/2|12:00 Etc/GMT+1|12:00 Europe/Berlin|12:00 CET
12:00:00.5|Mon..Wed,Sat..Sun|*:*:*|03-05|12:00 utc|*-*-* 0..5:00|*-*-* 0,12,18:00:00|Wed, 17:48|10-15 UTC|*-*-*
*:5/10:0|70-1-1|68-1-1|2199-1-1|5..10/3:00|0:45..59/20|*-*~3..5|Mon  03:00|0:0:0/1.5|0:0:5.5..7.5/0.5|0/23:00
@1395716396|Mon @1|010:00|Sun 2..3-1 1:1|12:00 EST5EDT|0:0:59.9|Mon-Fri|2-3-4 5:6:7|*-*-1,15
12:00 America/Port-au-Prince|12:00 America/Argentina/Buenos_Aires
"""
BAD = r"""
Mon..|2003-03|25:00|*-13-01|Foo| daily|daily ||*|1..5|*:00/0|Mon;rm|%H:00|Tue..Mon|*-*-* 5..1:00|1960-1-1|*-*-32
*-0-1|0:60|0:0:60|0:50/15|*-*-30/5|*-*~31/5|*-*~0|*-*~5..3|100-1-1|2200-1-1|Mon,,Tue|Mon, Tue|1,2|*,1:00|1/24:00
Mond|12:00 +02:00|@1.5|@-1|daily daily|1:2:3:4|Mon..Wed..Fri|Mon/2|+5:00|0:0:60.1|Mon ,Tue|12:00 Foo|1.5:00|Mon Foo
12:00\n|Mon\t03:00|12:00;|٣:00|1:1..|/5:00|UTC|1:1 UTC UTC|..5:00|-|~|12:00 \u00a0UTC|12:00\rX=1
"""


def expressions(text: str) -> list[str]:
    return [each.encode("latin-1", "backslashreplace").decode("unicode_escape") for each in _split(text)]


def _split(text: str) -> list[str]:
    return [each for line in text.strip("\n").split("\n") for each in line.split("|")]


@pytest.mark.parametrize("text", expressions(GOOD))
def test_what_systemd_documents_is_a_calendar_event(text: str) -> None:
    assert is_calendar_event(text)


@pytest.mark.parametrize("text", expressions(BAD))
def test_nothing_else_is(text: str) -> None:
    assert not is_calendar_event(text)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_agrees() -> None:
    def refused(texts: list[str]) -> int:
        argv = ["systemd-analyze", "calendar", "--", *texts]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        return done.stderr.count("Failed to parse calendar specification")

    assert refused(expressions(GOOD)) == 0
    assert refused(expressions(BAD)) == len(expressions(BAD))
