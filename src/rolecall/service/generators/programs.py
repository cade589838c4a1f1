"""Generators written as a function or as a shell script."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rolecall.errors import fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rolecall.model.generators import Context, Prompt
    from rolecall.model.vars import Values, VarFile
    from rolecall_agent.content import Secret

SECONDS: Final = 60

# What a script can read of this machine: programs and what they need, none of the user's files.
_READABLE: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/run/current-system/sw",
)
_SETTINGS: Final = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl", "/etc/pki")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"

# Files pass through the standard streams, so that in a sandbox none is left on this machine, not even after a kill. Of
# a script that fails, the line is reported, not its output: that may contain a secret.
_WRAPPER: Final = """
set -eu
umask 077
cd "$1"
mkdir out home
tar -xf -
export in="$1/in" prompts="$1/prompts" out="$1/out" HOME="$1/home" TMPDIR="$1/home"
status=0
if [ "$(head -c 2 script)" = '#!' ]; then
  chmod 700 script
  ./script </dev/null >&2 || status=$?
else
  printf '%s\\n' 'trap '\\''echo "$LINENO" >"$out/../line"'\\'' ERR' >start
  bash -c 'set -Eeuo pipefail; . "$1"; . "$2"' bash ./start ./script </dev/null >&2 || status=$?
fi
[ "$status" = 0 ] || rm -rf out/* in prompts script
tar -cf - out $(ls line 2>/dev/null)
exit "$status"
"""


def _unchanged(files: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
    return dict(files)


@dataclass(frozen=True, slots=True)
class Function:
    """A function that generates the files. It runs in this process and can read what its var needs.

    Attributes:
        function: Returns each file's content, from the context.
        files: The files. One with a prompt's name holds the answer, unless the function returns it.
        prompts: The prompts.
    """

    function: Callable[[Context], Mapping[str, bytes]]
    files: tuple[VarFile, ...]
    prompts: tuple[Prompt, ...] = ()

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Call the function."""
        return self.function(context)

    def view(self, files: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        """Return the files by name: public ones as text, secret ones as references."""
        return _unchanged(files)


@dataclass(frozen=True, slots=True)
class Script:
    """A shell script that generates the files, without network, in an empty folder, without the user's environment.

    It reads vars that it needs from ``$in/NAME/FILE`` (of other roles ``$in/NAME/MACHINE/FILE``) and answers from
    ``$prompts/NAME``, and writes ``$out/FILE``. Bash runs it, and stops at the first command that fails; a script that
    begins with ``#!`` is run by the program named there.

    Attributes:
        script: Its text.
        files: The files. One with a prompt's name holds the answer, unless the script writes it.
        prompts: The prompts.
    """

    script: str
    files: tuple[VarFile, ...]
    prompts: tuple[Prompt, ...] = ()

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Run the script.

        Raises:
            Faults: When it fails or takes longer than `SECONDS`; or when a sandbox is required and not available.
        """
        given = {"script": self.script.encode()}
        given |= {f"prompts/{name}": answer for name, answer in context.prompts.items()}
        given |= {
            f"in/{name}/{file}": value for name, values in context.inputs.items() for file, value in values.items()
        }
        for name, machines in context.peers.items():
            for machine, values in machines.items():
                given |= {f"in/{name}/{machine}/{file}": value for file, value in values.items()}
        with _prefix(sandbox=context.sandbox) as (prefix, folder):
            status, made = _run([*prefix, "/bin/sh", "-c", _WRAPPER, "sh", folder], given)
        if status:
            line = f" in line {made['line'].decode().strip()}" if "line" in made else ""
            what = "a command that was not found" if status == 127 else f"exit status {status}"  # noqa: PLR2004 - sh(1)
            raise fault(f"the script fails{line} with {what}", hint="its output is not shown: it may contain secrets")
        return {name.removeprefix("out/"): value for name, value in made.items() if name.startswith("out/")}

    def view(self, files: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        """Return the files by name: public ones as text, secret ones as references."""
        return _unchanged(files)


@contextlib.contextmanager
def _prefix(*, sandbox: bool) -> Iterator[tuple[list[str], str]]:
    """Yield arguments that run a command in a sandbox, and an empty folder as the command sees it."""
    if not sandbox:
        memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own in it
        with tempfile.TemporaryDirectory(prefix="rolecall-", dir=memory if memory.is_dir() else None) as folder:
            yield ["env", "-i", f"PATH={_PATH}"], folder
        return
    if not shutil.which("bwrap"):
        hint = "apt-get install bubblewrap; or run scripts without a sandbox: `rolecall --no-sandbox …`"
        raise fault("`bwrap`, the sandbox for scripts, is not installed", hint=hint)
    argv = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--setenv", "PATH", _PATH]
    for path in map(Path, _READABLE):
        if path.is_symlink() and path.parent == Path("/"):
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            argv += ["--ro-bind", str(path), str(path)]
    for setting in _SETTINGS:
        argv += ["--ro-bind-try", setting, setting]
    yield [*argv, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/tmp/work"], "/tmp/work"  # noqa: S108 - its own


def _run(argv: Sequence[str], given: Values) -> tuple[int, Values]:
    """Run a command that reads and writes a tar file; return its exit status and files, and discard its messages."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            packed, _ = process.communicate(_packed(given), SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            if isinstance(error, subprocess.TimeoutExpired):
                raise fault(f"the script did not end within {SECONDS} seconds") from None
            raise
    from tarfile import TarError

    try:
        return process.returncode, _unpacked(packed)
    except TarError:
        return process.returncode or 1, {}


def _packed(files: Values) -> bytes:
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def _unpacked(data: bytes) -> Values:
    """Return the plain files of a tar file."""
    import tarfile

    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            if entry.isfile() and (content := tar.extractfile(entry)):
                found[entry.name] = content.read()
    return found
