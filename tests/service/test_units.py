"""What a unit file says is what was meant, whatever the words hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.service import exec_line, service_unit, timer_unit, unit_text

WORDS = st.text(st.characters(blacklist_categories=["Cc", "Cs"]) | st.sampled_from(" ;\"'\\%${}#@!-:+|=,"), max_size=12)


def words_of(line: str) -> list[str]:
    """Read an ExecStart= as systemd.service(5) "COMMAND LINES" and systemd.syntax(7) "QUOTING" say."""
    words, rest = [], line
    while rest := rest.lstrip(" \t"):
        assert not re.match(r";(\s|$)", rest), "a lone semicolon starts another command"
        word = ""
        while rest and not re.match(r"[ \t]", rest):
            if quoted := re.match(r'"((?:[^"\\]|\\.)*)"', rest):
                word += re.sub(r'\\(["\\])', r"\1", quoted[1])
                assert not re.search(r'\\[^"\\]', quoted[1].replace("\\\\", "")), "an escape that means something else"
            elif not (quoted := re.match(r"""[^"'\\ \t]+""", rest)):
                raise AssertionError(rest)
            else:
                word += quoted[0]
            rest = rest[quoted.end() :]
        assert not re.search(r"(?<!%)(%%)*%(?!%)", word), "a specifier"
        assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", word), "a variable"
        words.append(word.replace("%%", "%").replace("$$", "$"))
    return words


@given(st.lists(WORDS, max_size=5))
@example([""])
@example([";", "a;b", "'", '"', "\\", "\\x41", "%n", "$HOME", "${HOME}", "%%", "$$", "ü \u2028", "#", "-", "+x"])
def test_every_word_of_a_command_is_taken_literally(words: list[str]) -> None:
    assert words_of(exec_line(["/bin/echo", *words])) == ["/bin/echo", *words]


@pytest.mark.parametrize("word", ["a\nb", "a\rb", "a\0b", "\x1b", "\x7f"])
def test_control_characters_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match="single line"):
        exec_line(["/bin/echo", word])


@pytest.mark.parametrize("program", ["-rm", "@sh", ":a", "+a", "!a", "|a", "a$b", ""])
def test_what_systemd_would_read_as_a_prefix_is_no_program(program: str) -> None:
    with pytest.raises(ValueError, match="program"):
        exec_line([program, "x"])


@given(WORDS)
def test_no_value_breaks_out_of_its_line(value: str) -> None:
    if not value.endswith("\\"):
        assert unit_text({"Unit": {"Description": value}}) == f"[Unit]\nDescription={value}\n"


@pytest.mark.parametrize("value", ["a\n[Service]", "a\\", "a\r"])
def test_what_would_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="unit setting Description"):
        service_unit("a.service", ["/bin/true"], description=value)


def test_a_job_and_its_timer() -> None:
    job = service_unit("a.service", ["/bin/true", "x y"], description="A job", oneshot=True)
    timer = timer_unit(job, "daily", description="Start it", random_delay=60)
    assert job.text.data.decode() == (  # type: ignore[union-attr]
        "[Unit]\nDescription=A job\nWants=network-online.target\nAfter=network-online.target\n\n"
        '[Service]\nType=oneshot\nExecStart=/bin/true "x y"\n'
    )
    assert timer.name == "a.timer"
    assert timer.text.data.decode() == (  # type: ignore[union-attr]
        "[Unit]\nDescription=Start it\n\n"
        "[Timer]\nOnCalendar=daily\nPersistent=true\nUnit=a.service\nRandomizedDelaySec=60\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def test_a_daemon_runs_from_boot_on_and_starts_again_when_its_file_changes() -> None:
    unit = service_unit("a.service", ["/bin/true"], description="A daemon", settings={"User": "a"})
    assert (unit.enabled, unit.started) == (True, True)
    assert "User=a\n" in unit.text.data.decode()  # type: ignore[union-attr]
