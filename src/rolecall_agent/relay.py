"""The command that ssh(1) runs on a machine (see `archive.relay_command`). It needs no privileges.

Unless it can answer `early`, it starts the agent as a transient service of systemd, as root by sudo(8) if
the login is another user, and copies bytes between its own standard streams and the agent. The agent thus outlives the
login session, and systemd starts `recover` however the agent ends. sudo gets no input, which it might record, and no
secret as an argument. An old Python must be able to parse this file.

The agent connects to an abstract Unix socket of the relay. Such a socket has no permissions, so both sides look at the
user of the other one. Importing `typing` would take longer than all the rest.

Arguments: the text of the `bootstrap`, the digest of the agent, and the module of it that answers. To join an agent
whose relay was lost (`link`), the name of its socket.
"""

import os
import select
import socket
import struct
import sys

START = 30  # seconds for the agent to connect
# An agent that ends well leaves nothing to undo; another one may be at work. There is no `$` in it: systemd 252 escapes
# one in the file of a transient unit, and does not understand that after a daemon-reload.
RECOVER = """
test ! -e /var/lib/rolecall/journal.json || env | grep -qx SERVICE_RESULT=success ||
exec python3 -I -S -B -X utf8 /var/lib/rolecall/agent/boot recover
""".replace("\n", " ")


def main() -> None:
    """Start the agent, and copy bytes until it ends."""
    os.write(1, b"\n")  # at once: the controller sees that the login is over
    if len(sys.argv) == 2:  # noqa: PLR2004
        copy(join(sys.argv[1]))
    if not os.path.isdir("/run/systemd/system"):
        sys.exit("the machine does not run systemd, which must undo an update whose connection is lost")
    _, bootstrap, digest, module = sys.argv
    request = b"" if os.geteuid() else answer(digest, module)
    name = "rolecall-agent-" + os.urandom(16).hex()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen(8)
        agent = accept(listener, *start(service(name, bootstrap, digest, module)))
    agent.sendall(request)
    copy(agent)


def answer(digest: str, module: str) -> bytes:
    """Answer the controller and exit, or return what the agent must receive first."""
    sys.path.insert(0, "/var/lib/rolecall/agent/" + digest)  # which only root can write
    try:
        from rolecall_agent import early
    except Exception:  # noqa: BLE001 - the machine does not have this agent, or it is damaged: the bootstrap mends it
        return b""
    return early.answer(digest, module)


def join(name: str) -> socket.socket:
    """Return a connection to an agent that is there already. Exit when it is not."""
    agent = socket.socket(socket.AF_UNIX)
    try:
        agent.connect("\0" + name)
    except OSError:
        sys.exit("the agent has ended")
    if peer(agent):
        sys.exit("the socket " + name + " belongs to another user")
    return agent


def service(name: str, bootstrap: str, digest: str, module: str) -> "list[str]":
    """Return the command that starts the agent as a service of this name, to connect to the socket of this name."""
    properties = {
        "Type": "exec",
        "NotifyAccess": "main",  # for its watchdog, see `link`
        "KillMode": "control-group",  # also what it has started ends with it
        "KillSignal": "SIGKILL",  # at once: it undoes nothing then; this does
        "WatchdogSignal": "SIGKILL",
        "ExecStopPost": "-/bin/sh -c '" + RECOVER + "'",
        "TimeoutStopSec": "3600",  # for that
    }
    become_root = ["sudo", "-n", "--"] if os.geteuid() else []
    run = ["systemd-run", "--quiet", "--collect", "--unit=" + name, "--description=Rolecall: agent"]
    options = ["--property=" + key + "=" + value for key, value in properties.items()]
    agent = ["python3", "-I", "-S", "-B", "-X", "utf8", "-c", bootstrap, digest, name, str(os.geteuid()), module]
    return become_root + run + options + ["--"] + agent


def start(argv: "list[str]") -> "tuple[int, int]":
    """Start a command without input; return its process id, and the pipe of what it prints."""
    output, end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(end, 1)
            os.dup2(end, 2)
            os.execvp(argv[0], argv)  # noqa: S606 - the arguments are a list
        except OSError as error:
            os.write(2, (argv[0] + ": " + str(error.strerror)).encode())
        finally:
            os._exit(127)
    os.close(end)
    return pid, output


def accept(listener: socket.socket, pid: int, output: int) -> socket.socket:
    """Return the agent's connection. Exit with the reason when the command that starts it fails."""
    printed = b""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    waiting.register(output, select.POLLIN)
    while True:
        ready = [fd for fd, _ in waiting.poll(START * 1000)]
        if not ready:
            sys.exit("the agent did not start within " + str(START) + " seconds\n" + printed.decode(errors="replace"))
        if output in ready:
            data = os.read(output, 4096)
            printed = (printed + data)[-4096:]
            if not data:
                waiting.unregister(output)
                if os.waitpid(pid, 0)[1]:
                    sys.exit(explained(printed.decode(errors="replace").strip()))
        if listener.fileno() in ready:
            agent, _ = listener.accept()
            if peer(agent) == 0:
                return agent
            agent.close()


def explained(problem: str) -> str:
    """Return why the agent could not be started, from what sudo(8) or systemd-run(1) printed."""
    if "must have a tty" in problem:
        return problem + "; remove `requiretty` for this user in sudoers(5)"
    if problem.startswith("sudo:") and "password" in problem:
        return problem + "; allow this user to run commands without one: `NOPASSWD: ALL` in sudoers(5)"
    return problem or "the agent could not be started"


def peer(connection: socket.socket) -> int:
    """Return the user id of the other side of a Unix socket."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def copy(agent: socket.socket) -> None:
    """Copy standard input to the agent, and what the agent sends to standard output, until the agent ends."""
    import _thread

    _thread.start_new_thread(send, (agent,))
    try:
        while True:
            data = agent.recv(1 << 16)
            if not data:
                break
            while data:
                data = data[os.write(1, data) :]
    except OSError:  # the login session has ended, or the agent was killed
        pass
    os._exit(0)


def send(agent: socket.socket) -> None:
    """Copy standard input to the agent, which sees its end."""
    try:
        while True:
            data = os.read(0, 1 << 16)
            if not data:
                break
            agent.sendall(data)
        agent.shutdown(socket.SHUT_WR)
    except OSError:  # the agent has ended
        pass


if __name__ == "__main__":
    main()
