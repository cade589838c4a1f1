"""The first part of the agent on a machine: ``python3 -IS -c`` of this text (see `archive.command`).

It reads one frame of `protocol` (open or confirm), finds the agent that the frame names, asks for it when the machine
lacks it, and hands the frame on. An agent is kept unpacked, as ``agent/DIGEST/`` below the state directory, so that
Python can keep its byte code; its digest is that of the canonical JSON of its files' texts. Even an old Python must be
able to read this, to say that it is too old. Argument: the root of a recorded system; none for the machine itself.
"""

import hashlib
import json
import os
import sys
from typing import Any, Dict, Optional, Tuple


def main() -> None:
    """Starts the conversation."""
    os.umask(0o022)  # that of the one who logged in says nothing about the machine; packages expect this one
    # The frames get streams of their own: nothing that a command prints or reads can come between them.
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
        fail("the agent cannot be kept below " + agents + ": " + str(error))
    sys.path.insert(0, home)
    from rolecall_agent.conversation import serve  # noqa: PLC0415 - it is there only now

    sys.exit(serve(first, source, sink, root))


def obstacle(root: Optional[str]) -> str:
    """Why the agent cannot work here, or ""."""
    if sys.version_info < (3, 9):  # noqa: UP036
        return "the agent needs Python 3.9 or newer; python3 is " + sys.version.split()[0]
    if root is None and os.geteuid() != 0:
        return "the agent must be root; it runs as uid " + str(os.geteuid())
    if root is not None and os.path.exists(root) and os.path.samefile(root, "/"):
        return root + " is the machine itself; it cannot be a recorded one"
    return ""


def digest_of(home: str) -> str:
    """The digest of an unpacked agent, "" when there is none."""
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
    """Writes an agent's files: whole or not at all."""
    fresh = home + "." + str(os.getpid())
    for name in sorted(files):
        path = os.path.join(fresh, name)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(files[name])
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
    if os.path.lexists(home):  # a damaged one; a directory cannot be replaced in one step
        os.rename(home, fresh + ".damaged")
    os.rename(fresh, home)


if __name__ == "__main__":
    main()
