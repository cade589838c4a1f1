#!/usr/bin/python3
"""Back up this machine's declared state with borg. Installed by Rolecall; reads backup.json beside it.

    backup [--server NAME] create | list | restore ARCHIVE [PATH ...] | probe | health | version

Standard library only, Python 3.9 and newer: it runs on the machines.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Borg's exit codes: 0 success, 1 done with warnings (a file changed while it was read), 2 error (borg(1)).
WARNED = 1
Plan = dict[str, Any]


def environment(plan: Plan, key: int) -> dict[str, str]:
    """Return the environment in which borg finds its keys; the passphrase stays in its file.

    ``key`` is an open file: ssh reads a key twice, to offer it and to sign, and an update may replace it in between.
    """
    ssh = ["ssh", "-F", "none", "-i", f"/proc/{os.getpid()}/fd/{key}"]
    ssh += ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    ssh += ["-o", f"UserKnownHostsFile={plan['known_hosts']}", "-o", "GlobalKnownHostsFile=/dev/null"]
    ssh += ["-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=30"]
    return {
        **os.environ,
        "BORG_RSH": shlex.join(ssh),
        "BORG_PASSCOMMAND": shlex.join(["cat", plan["passphrase"]]),
        "BORG_BASE_DIR": plan["cache"],
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",  # a server may change its address; its host key is what is trusted
        "LC_ALL": "C.UTF-8",
    }


def borg(plan: Plan, *argv: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run borg; it waits up to ten minutes for another run on the same repository."""
    command = ["borg", "--lock-wait", "600", *argv]
    stderr = subprocess.PIPE if quiet else None
    with Path(plan["key"]).open("rb") as key:
        return subprocess.run(
            command,
            env=environment(plan, key.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
            cwd="/",
        )


def initialised(plan: Plan, repository: str) -> bool:
    """Create the repository unless it exists; return whether it can be used."""
    seen = borg(plan, "--log-json", "list", "--short", "--last", "1", repository, quiet=True)
    if seen.returncode <= WARNED:
        return True
    if "Repository.DoesNotExist" not in seen.stderr and "Repository.InvalidRepository" not in seen.stderr:
        sys.stderr.write(messages(seen.stderr))
        return False
    # Borg's advice to keep key and passphrase is followed: the repository holds the one, the project the other.
    made = borg(plan, "--log-json", "init", "--encryption", "repokey-blake2", repository, quiet=True)
    if made.returncode > WARNED:
        sys.stderr.write(messages(made.stderr))
    return made.returncode <= WARNED


def messages(log: str) -> str:
    """Return the texts of borg's JSON log lines."""
    lines = []
    for line in log.splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            line = entry.get("message", "") if isinstance(entry, dict) else line  # noqa: PLW2901 - the same line, plainer
        lines.append(line)
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def around(states: list[Plan], before: str, after: str) -> Iterator[bool]:
    """Run each state's command before and, in any case, the one after. Yield whether all commands before succeeded."""
    begun = []
    ready = True
    try:
        for state in states:
            begun.append(state)
            if not run(state, before):
                ready = False
                break
        yield ready
    finally:
        for state in reversed(begun):
            run(state, after)


def run(state: Plan, when: str) -> bool:
    """Run one of a state's commands, with its output on standard error."""
    if not state[when]:
        return True
    try:
        status = subprocess.run(state[when], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode
    except OSError as error:
        sys.stderr.write(f"backup: {error}\n")
        status = 1
    if status:
        sys.stderr.write(f"backup: {when} of {state['name']} failed: {shlex.join(state[when])}\n")
    return not status


def create(plan: Plan, repositories: dict[str, str]) -> bool:
    """Create an archive in each repository, print its name, and remove old ones as the retention says."""
    if not plan["states"]:
        sys.stderr.write("backup: nothing to do: no state is declared on this machine\n")
        return True
    archive = datetime.datetime.now(datetime.timezone.utc).strftime(f"{plan['machine']}-%Y-%m-%dT%H:%M:%S.%fZ")
    with around(plan["states"], "before_backup", "after_backup") as ready:
        if not ready:
            return False
        present, missing = folders(plan)  # only now: a command before may have made them
        for folder in missing:
            sys.stderr.write(f"backup: {folder} is declared, but does not exist\n")
        excludes = [f"--exclude={pattern}" for pattern in plan["exclude"]]
        made = {}
        for server, repository in repositories.items() if present else ():
            made[server] = initialised(plan, repository) and (
                borg(plan, "create", *excludes, "--", f"{repository}::{archive}", *present).returncode <= WARNED
            )
            if not made[server]:
                sys.stderr.write(f"backup: no archive on {server}\n")
            elif not missing:
                note(plan, server)
    done = bool(made) and all(made.values()) and not missing
    for repository in repositories.values() if done else ():
        done = tidy(plan, repository) and done
    if any(made.values()):
        sys.stdout.write(f"{archive}\n")
    return done


def note(plan: Plan, server: str) -> None:
    """Note when the last archive of all declared folders was made on a server."""
    path = last(plan, server)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(str(int(time.time())))
    new.replace(path)


def last(plan: Plan, server: str) -> Path:
    """Return the file in which that is noted."""
    return Path(plan["cache"], "last", server)


def health(plan: Plan, repositories: dict[str, str]) -> bool:
    """Print a report: of when the oldest of the last good backups to the servers is."""
    times = {}
    for server in repositories:
        try:
            times[server] = int(last(plan, server).read_text())
        except (OSError, ValueError):
            missing = {"level": "warning", "text": f"no good backup on {server} yet"}
            sys.stdout.write(json.dumps(missing) + "\n")
            return True
    at = min(times.values(), default=int(time.time()))
    when = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    sys.stdout.write(json.dumps({"level": "ok", "text": when, "at": at}) + "\n")
    return True


def folders(plan: Plan) -> tuple[list[str], list[str]]:
    """Return the declared folders that exist, with the targets of links, and those that are missing."""
    declared = sorted({folder for state in plan["states"] for folder in state["folders"]})
    missing = [folder for folder in declared if not Path(folder).exists()]
    present = {path for folder in declared if folder not in missing for path in (folder, os.path.realpath(folder))}
    return sorted(present), missing


def tidy(plan: Plan, repository: str) -> bool:
    """Remove archives that the retention no longer keeps, and free their space."""
    keep = [f"--keep-{span}={value}" for span, value in plan["keep"].items()]
    prune = borg(plan, "prune", "--glob-archives", f"{plan['machine']}-*", *keep, repository)
    return prune.returncode <= WARNED and borg(plan, "compact", repository).returncode <= WARNED


def listing(plan: Plan, repositories: dict[str, str]) -> bool:
    """Print a JSON list of archives, oldest first."""
    archives: list[dict[str, str]] = []
    done = True
    for server, repository in repositories.items():
        found = borg(plan, "--log-json", "list", "--json", repository, quiet=True)
        if found.returncode > WARNED:
            if "Repository.DoesNotExist" not in found.stderr and "Repository.InvalidRepository" not in found.stderr:
                sys.stderr.write(f"backup: {server}: {messages(found.stderr)}")
                done = False
            continue
        archives += [
            {"name": entry["name"], "time": entry["time"], "server": server}
            for entry in json.loads(found.stdout)["archives"]
        ]
    sys.stdout.write(json.dumps(sorted(archives, key=lambda archive: archive["time"])) + "\n")
    return done


def restore(plan: Plan, repositories: dict[str, str], archive: str, paths: list[str]) -> bool:
    """Restore an archive's files to their original places, with owners and modes; return whether all were."""
    for repository in repositories.values():
        wanted = [path.lstrip("/") for path in paths]
        if borg(plan, "info", "--", f"{repository}::{archive}", quiet=True).returncode > WARNED:
            continue
        with around(plan["states"], "before_restore", "after_restore") as ready:
            return ready and borg(plan, "extract", "--", f"{repository}::{archive}", *wanted).returncode == 0
    sys.stderr.write(f"backup: archive {archive!r} does not exist on {', '.join(repositories)}\n")
    return False


def probe(plan: Plan, repositories: dict[str, str]) -> bool:
    """Return whether every server accepts this machine; a repository need not exist yet."""
    done = True
    for server, repository in repositories.items():
        seen = borg(plan, "--log-json", "list", "--short", "--last", "1", repository, quiet=True)
        absent = "Repository.DoesNotExist" in seen.stderr or "Repository.InvalidRepository" in seen.stderr
        if seen.returncode > WARNED and not absent:
            sys.stderr.write(f"backup: {server}: {messages(seen.stderr)}")
            done = False
    return done


def main() -> int:
    """Run the command line. Return exit status 0 when everything succeeded, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="only this server")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("create", "list", "probe", "health", "version"):
        verbs.add_parser(verb)
    back = verbs.add_parser("restore")
    back.add_argument("archive")
    back.add_argument("paths", nargs="*")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that commands after a backup run
    plan: Plan = json.loads((Path(__file__).parent / "backup.json").read_text())
    repositories = plan["repositories"]
    if arguments.server:
        if arguments.server not in repositories:
            parser.error(f"server {arguments.server!r} does not exist")
        repositories = {name: url for name, url in repositories.items() if name == arguments.server}
    if arguments.verb == "version":
        return borg(plan, "--version").returncode
    if arguments.verb == "restore":
        return 0 if restore(plan, repositories, arguments.archive, arguments.paths) else 1
    act = {"create": create, "list": listing, "probe": probe, "health": health}[arguments.verb]
    return 0 if act(plan, repositories) else 1


if __name__ == "__main__":
    sys.exit(main())
