"""The first part of the agent on a machine: ``python3 -IS -c`` of this text (see `archive.command`).

It loads the agent that the controller wants, which it requests if the machine does not have it, and lets it answer the
messages of `protocol`. Agents are stored unpacked, as ``agent/DIGEST/`` in the state directory, with their `bytecode`;
the digest is the SHA-256 of all files, as `pack` joins them. An old Python must be able to parse this file, to report
that it is too old.

Arguments: the digest of the agent; then the root of a recorded system, whose frames come over the standard streams, or
for the machine itself, the name of the `relay`'s socket, the id of the user who runs the relay, and the module that
answers: `wire`, or `confirm`, which starts sooner.
"""

import hashlib
import json
import os
import sys
from importlib import import_module
from typing import Any, Callable, Dict, List, Optional, Tuple

SILENCE = 15  # seconds without a byte from the controller, which sends one every five, after which the link is lost


def main() -> None:
    """Start the conversation."""
    os.umask(0o022)  # what packages expect, whatever the login has
    digest, *place = sys.argv[1:]
    root = place[0] if len(place) == 1 else None
    connection = None if root else connect(place[0], int(place[1]))
    source, sink = (connection.makefile("rb"), connection.makefile("wb")) if connection else own_streams()
    sink.write(b"ROLECALL-FRAMES-1" + bytes([10]))
    sink.flush()
    first = []

    def send(message: Dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        sink.write(len(text).to_bytes(4, "big") + text)
        sink.flush()

    def request() -> bytes:
        send({"type": "need-agent"})
        first.append(receive(source)[0])
        return receive(source)[1]

    home, problem = "", obstacle(root)
    if not problem:
        home, problem = install(root, digest, request)
    if problem:
        send({"type": "failed", "message": problem, "restored": True, "detail": "", "locked": False, "damaged": []})
        sys.exit(1)
    sys.path.insert(0, home)
    module = place[2] if connection else "wire"
    name = "rolecall_agent." + module  # not this package's; meanwhile, the first message is on its way
    try:
        agent = import_module(name)
    except Exception:  # noqa: BLE001 - whatever damaged byte code causes
        forget_bytecode(home)
        agent = import_module(name)
    sys.exit(agent.serve(first[0] if first else receive(source)[0], source, sink, root, connection))


def install(root: Optional[str], digest: str, request: Callable[[], bytes]) -> Tuple[str, str]:
    """Store an agent, unless that is done; return its folder, and what went wrong, or ""."""
    agents = os.path.join(root or "/", "var/lib/rolecall/agent")
    home = os.path.join(agents, os.path.basename(digest))
    try:
        os.makedirs(agents, 0o700, exist_ok=True)
        os.chmod(os.path.dirname(agents), 0o700)
        if digest_of(home) != digest:
            packed = request()
            if hashlib.sha256(packed).hexdigest() != digest:
                return home, "the agent arrived damaged"
            unpack(files_in(packed), home)
    except OSError as error:
        return home, "cannot store the agent in " + agents + ": " + str(error)
    return home, ""


def receive(source: Any) -> Tuple[Dict[str, Any], bytes]:  # noqa: ANN401
    """Return the next frame that is more than a sign of life, and its payload."""
    while True:
        head = source.read(4)
        if len(head) < 4:  # noqa: PLR2004
            sys.exit(0)
        message = json.loads(source.read(int.from_bytes(head, "big")).decode())
        payload = source.read(message.pop("payload", 0))
        if message["type"] != "alive":
            return message, payload


def own_streams() -> Tuple[Any, Any]:
    """Return the standard streams, in whose place commands get others, into which they can print."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return source, sink


def connect(name: str, user: int) -> Any:  # noqa: ANN401 - a socket
    """Return a connection to the relay of a user."""
    import socket
    import struct

    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SILENCE)
    connection.connect("\0" + name)
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", credentials)[1] != user:
        sys.exit("the socket " + name + " belongs to another user")
    return connection


def obstacle(root: Optional[str]) -> str:
    """Return why the agent cannot run here, or ""."""
    if sys.version_info < (3, 9):  # noqa: UP036
        return "the agent needs Python 3.9 or newer; python3 is " + sys.version.split()[0]
    if root is None and os.geteuid() != 0:
        return "the agent must run as root, not as uid " + str(os.geteuid())
    if root is not None and os.path.exists(root) and os.path.samefile(root, "/"):
        return root + " is the machine itself, not a recorded system"
    return ""


def digest_of(home: str) -> str:
    """Return the digest of an unpacked agent, "" if it does not exist."""
    files = {}
    for folder, _, names in os.walk(home):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    files[os.path.relpath(path, home)] = file.read()
    return hashlib.sha256(pack(files)).hexdigest() if files else ""


def pack(files: Dict[str, bytes]) -> bytes:
    """Return files as the controller sends them: of each its path and size as a line, and its bytes."""
    return b"".join(b"%s %d\n%s" % (name.encode(), len(files[name]), files[name]) for name in sorted(files))


def files_in(packed: bytes) -> Dict[str, bytes]:
    """Return the files by path; the reverse of `pack`."""
    files, at = {}, 0
    while at < len(packed):
        end = packed.index(b"\n", at)
        name, size = packed[at:end].split()
        at = end + 1 + int(size)
        files[name.decode()] = packed[end + 1 : at]
    return files


def unpack(files: Dict[str, bytes], home: str) -> None:
    """Write all files of an agent, so that no loss of power leaves one that cannot start.

    A damaged agent is mended in place, since the next boot may need it.
    """
    there = os.path.isdir(home)
    fresh, new = (home, ".new") if there else (home + "." + str(os.getpid()), "")
    due = [name for name in sorted(files) if not has(os.path.join(fresh, name), files[name])]
    for name in due:
        path = os.path.join(fresh, name)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path + new, "wb") as file:
            file.write(files[name])
            os.fchmod(file.fileno(), 0o600)
    flush(fresh)
    if there:
        mend(home, due, files)
    else:
        if os.path.lexists(home):
            os.unlink(home)
        os.rename(fresh, home)
    flush(home)


def mend(home: str, due: List[str], files: Dict[str, bytes]) -> None:
    """Put new files in the place of damaged ones, and remove those that do not belong to the agent."""
    for name in due:
        path = os.path.join(home, name)
        os.rename(path + ".new", path)
    for folder, _, names in os.walk(home):
        for name in names:
            path = os.path.join(folder, name)
            if not name.endswith(".pyc") and os.path.relpath(path, home) not in files:
                os.unlink(path)


def forget_bytecode(home: str) -> None:
    """Remove the byte code of an agent, whose digest does not cover it, and what was imported of it."""
    for folder, _, names in os.walk(home):
        for name in names:
            if name.endswith(".pyc"):
                os.unlink(os.path.join(folder, name))
    for name in [name for name in sys.modules if name.partition(".")[0] == "rolecall_agent"]:
        del sys.modules[name]


def has(path: str, data: bytes) -> bool:
    """Return whether a file has this content."""
    try:
        with open(path, "rb") as file:
            return file.read() == data
    except OSError:
        return False


def flush(path: str) -> None:
    """Wait until everything on the file system of a path is on the disk: faster than file by file."""
    if os.spawnlp(os.P_WAIT, "sync", "sync", "--file-system", path):  # noqa: S606 - the arguments are a list
        os.sync()


if __name__ == "__main__":
    main()
