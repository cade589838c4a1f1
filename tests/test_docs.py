"""Every fenced block of the documentation runs; so do the scripts of the command line, tests/cli/*.md.

Each page has a scratch folder, and its blocks run there in order:

- `console`: bash runs lines that start with `$ ` (lines that start with `> ` continue the command), and the lines
  below must be what it prints. `...` stands for any part of a line; alone on a line, for any number of lines. `cd` and
  `export` last to the end of the page. A command that fails is followed by `$ echo $?`.
- `python` without a title runs.
- Any language with `title="FILE"` is written to that file.
- `text` does not run. A block with the word `lab` after its language runs on lab machines only.

The examples are in `examples/`, as in a checkout.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOBS = ("*.md", "docs/**/*.md", "examples/**/*.md", "src/**/*.md", "tests/cli/*.md")
PAGES = [str(page.relative_to(ROOT)) for glob in GLOBS for page in sorted(ROOT.glob(glob))]
FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)(?P<words>.*)\n(?P<text>(?:.*\n)*?)(?P=fence)$", re.MULTILINE)
COMMAND = re.compile(r"^\$ (?P<command>.*\n(?:> .*\n)*)(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)

# Each command has a bash of its own; what lasts (the folder, exported variables, $?) goes on through a file.
BASH = """
[ ! -e "$0" ] || . "$0"
(exit "$1"); eval "$2"; status=$?
{ export -p; printf 'cd %q\\n' "$PWD"; } >"$0"
exit $status
"""


def run_page(page: str, folder: Path, *, lab: bool = False) -> None:
    """Run a page's blocks in a folder; the first that does not do what it shows fails the test."""
    project = folder / "project"
    project.mkdir()
    if (ROOT / "examples").exists():
        shutil.copytree(ROOT / "examples", project / "examples")
    for block in FENCE.finditer(page):
        line = page.count("\n", 0, block.start()) + 1
        language, words, text = block["language"], block["words"], block["text"]
        if language == "text" or ("lab" in words.split() and not lab):
            continue
        if title := re.search(r'title="(.+?)"', words):
            target = project / title[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        elif language == "console":
            assert text.startswith("$ "), f"line {line}: a console block starts with a command"
            run_console(text, folder, f"block at line {line}")
        elif language == "python":
            subprocess.run([sys.executable, "-c", text], cwd=project, env=environment(folder), check=True)
        else:
            pytest.fail(f"line {line}: a block of {language or 'no language'} needs a title, or is text")


def run_console(text: str, folder: Path, where: str) -> None:
    """Run the commands of one block and compare what they print; only `echo $?` may follow a failure."""
    status = 0
    for found in COMMAND.finditer(text):
        command = re.sub(r"^> ", "", found["command"], flags=re.MULTILINE).strip()
        assert status == 0 or command == "echo $?", f"{where}: exit status {status} before: {command}"
        done = subprocess.run(
            ["bash", "-c", BASH, str(folder / "state"), str(status), command],
            cwd=folder / "project",
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
            text=True,
            check=False,
        )
        assert matches(found["output"], done.stdout), f"{where}: $ {command}\n{done.stdout}"
        status = done.returncode
    assert status == 0, f"{where}: exit status {status}"


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a page's commands, the same on every machine."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),  # what the lab boots from
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }


def matches(shown: str, printed: str) -> bool:
    """Tell whether a command printed what the page shows."""
    lines = (
        r"(?:.*\n)*" if line == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r"\n"
        for line in shown.splitlines()
    )
    return re.fullmatch("".join(lines), "".join(f"{line.rstrip()}\n" for line in printed.splitlines())) is not None


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, tmp_path: Path) -> None:
    run_page((ROOT / page).read_text(), tmp_path)


@pytest.mark.lab
@pytest.mark.parametrize("page", [page for page in PAGES if "console lab\n" in (ROOT / page).read_text()])
def test_page_in_the_lab(page: str, tmp_path: Path) -> None:
    try:
        run_page((ROOT / page).read_text(), tmp_path, lab=True)
    finally:
        rolecall = Path(sys.executable).parent / "rolecall"
        subprocess.run([rolecall, "lab", "down"], cwd=tmp_path / "project", check=True)


GOOD = """
```toml title="a/b.toml"
x = 1
```
```console
$ cat a/b.toml
x = 1
$ cd a; export Y="two words"; (echo one; echo two; echo three 3) >&2
one
...
thr... 3
$ cat <<END
> $Y $(ls)
> END
two words b.toml
$ false
$ echo $?
1
```
```python
open("made", "w").close()
```
```console lab
$ false
```
"""


def test_a_good_page_passes(tmp_path: Path) -> None:
    run_page(GOOD, tmp_path)
    assert (tmp_path / "project/made").exists()


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("\nx = 1\n```\n```console", "\nx = 2\n```\n```console"),
        ("thr... 3", "thr... 4"),
        ("one\n...", "..., not one\n..."),
        ("$ echo $?\n1\n", ""),
        ("$ echo $?\n1\n", "$ true\n"),
        ("$ false", "$ true"),
        ('title="a/b.toml"', ""),
        ("console lab", "console"),
        ("console\n$ cat a", "console\ncat a"),
        ("open(", "open_("),
    ],
)
def test_a_page_that_is_wrong_fails(was: str, becomes: str, tmp_path: Path) -> None:
    assert GOOD.count(was) >= 1
    with pytest.raises((AssertionError, subprocess.CalledProcessError, pytest.fail.Exception)):
        run_page(GOOD.replace(was, becomes, 1), tmp_path)
