"""Functions and scripts that make vars: what they get, what they give, and what a script does not see."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rolecall.errors import Faults
from rolecall.model.generators import Context, Prompt
from rolecall.model.vars import VarFile, VarKey
from rolecall.service import Function, Script
from rolecall.service.generators import programs

FILES = (VarFile("one"), VarFile("two", secret=False))
CONTEXT = Context(
    VarKey("jon", "web.x"),
    None,
    {"own": {"key": b"k\0\n"}},
    {"ca": {"store": {"certificate": b"c"}}},
    {"word": b"w"},
)
BOTH = pytest.mark.parametrize("sandbox", [True, False])


@pytest.fixture(autouse=True)
def _only_where_there_is_one(request: pytest.FixtureRequest) -> None:
    import shutil

    if "sandbox" in request.fixturenames and request.getfixturevalue("sandbox") and not shutil.which("bwrap"):
        pytest.skip("no bwrap here")


def run(script: str, *, sandbox: bool) -> dict[str, bytes]:
    from dataclasses import replace

    return dict(Script(script, FILES).generate(replace(CONTEXT, sandbox=sandbox)))


def test_a_function_sees_its_context() -> None:
    generator = Function(lambda context: {"one": context.inputs["own"]["key"] + context.prompts["word"]}, FILES)
    assert generator.generate(CONTEXT) == {"one": b"k\0\nw"}
    assert generator.view({"two": "x"}) == {"two": "x"}


@BOTH
def test_a_script_gets_inputs_and_answers_and_gives_files(*, sandbox: bool) -> None:
    script = 'cat "$in/own/key" "$in/ca/store/certificate" "$prompts/word" >"$out/one"\nprintf two >"$out/two"'
    assert run(script, sandbox=sandbox) == {"one": b"k\0\ncw", "two": b"two"}


@BOTH
def test_what_a_script_starts_with_runs_it(*, sandbox: bool) -> None:
    script = (
        '#!/usr/bin/env -S python3 -I\nimport os\nopen(os.environ["out"] + "/one", "wb").write(bytes(range(256)))\n'
    )
    assert run(script, sandbox=sandbox) == {"one": bytes(range(256))}


@BOTH
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("true\nfalse\ntrue", "the script fails in line 2 with exit status 1"),
        ("echo x\n\nfoo_bar_baz", "the script fails in line 3 with a command that was not found"),
        ('echo "$unset_variable"', "the script fails with exit status 1"),
        ("exit 7", "the script fails with exit status 7"),
        ("false | true", "the script fails in line 1 with exit status 1"),
        ("if true; then", "the script fails with exit status"),
        ("f() {\n  false\n}\nf", "the script fails in line 2 with exit status 1"),
        ("#!/nothing/here\n", "the script fails with a command that was not found"),
    ],
)
def test_a_script_that_fails_is_told_by_its_line(script: str, told: str, *, sandbox: bool) -> None:
    with pytest.raises(Faults) as caught:
        run(script, sandbox=sandbox)
    assert caught.value.faults[0].message.startswith(told)


@BOTH
def test_nothing_that_a_script_says_is_told(*, sandbox: bool, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Faults) as caught:
        run("echo MARKER; echo MARKER >&2; set -x; true MARKER; cat MARKER", sandbox=sandbox)
    assert "MARKER" not in str(caught.value) + "".join(capfd.readouterr())


@BOTH
def test_a_script_has_nothing_of_a_persons_environment(*, sandbox: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKER", "x")
    monkeypatch.setenv("BASH_ENV", "/nothing")
    made = run('env >"$out/one"; pwd >"$out/two"; test -z "$(ls -A "$HOME")"', sandbox=sandbox)
    names = {line.partition("=")[0] for line in made["one"].decode().splitlines()}
    assert names <= {"HOME", "OLDPWD", "PATH", "PWD", "SHLVL", "TMPDIR", "_", "in", "out", "prompts"}


@pytest.mark.parametrize("sandbox", [True])
def test_a_script_in_the_sandbox_sees_no_network_and_no_files_of_a_person(*, sandbox: bool, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    made = run(
        f'ls /home /root /etc/passwd {tmp_path} 2>&1 >"$out/one" || true; cat "$out/one"\n'
        'grep -c : /proc/net/dev >"$out/two"; ! touch /usr/x 2>/dev/null; ! kill -0 $PPID$PPID 2>/dev/null',
        sandbox=sandbox,
    )
    assert made == {"one": b"", "two": b"1\n"}  # the loopback of a network of its own, which is down


@BOTH
def test_a_script_that_hangs_is_ended_with_all_that_it_started(
    *, sandbox: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SECONDS", 0.5)
    begin = time.monotonic()
    with pytest.raises(Faults, match="did not end within"):
        run("sleep 31415.926 & sleep 31415.926", sandbox=sandbox)
    assert time.monotonic() - begin < 5
    end = time.monotonic() + 5
    while any("31415.926" in text for text in _commands()):
        assert time.monotonic() < end
        time.sleep(0.01)


def _commands() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                found.append((entry / "cmdline").read_text())
            except OSError:
                continue
    return found


@BOTH
def test_a_script_leaves_nothing(*, sandbox: bool) -> None:
    def left() -> set[str]:
        return {str(path) for folder in ("/dev/shm", "/tmp") for path in Path(folder).glob("rolecall-*")}  # noqa: S108 - looked at

    before = left()
    run('echo MARKER >"$out/one"; echo MARKER >x; echo MARKER >"$TMPDIR/y"', sandbox=sandbox)
    assert left() == before


def test_without_a_sandbox_a_script_runs_only_when_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Faults, match="is not installed"):
        Script("true", FILES).generate(CONTEXT)


def test_a_prompt_has_a_kind() -> None:
    assert Prompt("a", "b").kind == "hidden"
