"""The first part of the agent on a machine: ``python3 -IS -c`` of this text (see `archive.command`).

It reads one frame of `protocol` (open or confirm), requests the agent that the frame names if the machine does not have
it, and passes the frame on to that agent. Agents are stored unpacked, as ``agent/DIGEST/`` in the state directory, so
that Python can cache their byte code; the digest is that of the canonical JSON of all files. An old Python must be able
to parse this file, to report that it is too old. Argument: the root of a recorded system; none for the machine itself.
"""

import hashlib
import json
import os
import sys
from typing import Any, Dict, Optional, Tuple


def main() -> None:
    """Start the conversation."""
    os.umask(0o022)  # what packages expect, whatever the login has
    # The frames get streams of their own, so that commands cannot print into them or read from them.
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sink.write(b"ROLECALL-FRAMES-1" + bytes([10]))
    sink.flush()

    def receive() -> Tuple[Dict[str, Any], bytes]:
        head = source.read(4)
        if len(head) < 4:  # noqa: PLR2004
            sys.exit(0)
        message = json.loads(source.read(int.from_bytes(head, "big")).decode())
        return message, source.read(message.pop("payload", 0))

    def send(message: Dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        sink.write(len(text).to_bytes(4, "big") + text)
        sink.flush()

    def fail(message: str) -> None:
        send({"type": "failed", "message": message, "restored": True, "detail": ""})
        sys.exit(1)

    first, _ = receive()
    root = sys.argv[1] if len(sys.argv) > 1 else None
    if obstacle(root):
        fail(obstacle(root))
    agents = os.path.join(root or "/", "var/lib/rolecall/agent")
    home = os.path.join(agents, os.path.basename(first["agent"]))
    try:
        os.makedirs(agents, 0o700, exist_ok=True)
        os.chmod(os.path.dirname(agents), 0o700)
        if digest_of(home) != first["agent"]:
            send({"type": "need-agent"})
            _, packed = receive()
            if hashlib.sha256(packed).hexdigest() != first["agent"]:
                fail("the agent arrived damaged")
            unpack(json.loads(packed.decode()), home)
    except OSError as error:
        fail("cannot store the agent in " + agents + ": " + str(error))
    sys.path.insert(0, home)
    from rolecall_agent.conversation import serve

    sys.exit(serve(first, source, sink, root))


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
                with open(path, encoding="utf-8") as file:
                    files[os.path.relpath(path, home)] = file.read()
    text = json.dumps(files, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest() if files else ""


def unpack(files: Dict[str, str], home: str) -> None:
    """Write all files of an agent, or none."""
    fresh = home + "." + str(os.getpid())
    for name in sorted(files):
        path = os.path.join(fresh, name)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(files[name])
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
    if os.path.lexists(home):  # damaged; rename(2) cannot replace a directory that is not empty
        os.rename(home, fresh + ".damaged")
    os.rename(fresh, home)


if __name__ == "__main__":
    main()
