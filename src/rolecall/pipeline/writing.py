"""The files of a machine's configuration in a folder, without a machine."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from rolecall.errors import fault, nearest
from rolecall.pipeline.plans import revealer
from rolecall_agent.content import Secret
from rolecall_agent.resources import Directory, File, Symlink, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rolecall.pipeline.workspace import Workspace


def qr_code(workspace: Workspace, machine: str, path: str) -> str:
    """Return a file of a machine, secrets included, as a QR code for a terminal of dark background.

    Raises:
        Faults: As `Workspace.evaluation_of`; when the machine has no such file, or it does not fit in a QR code; when a
            secret cannot be decrypted.
    """
    import segno

    evaluation = workspace.evaluation_of([machine])
    files = {
        resource.path: resource
        for resource in evaluation.configured[machine].configuration.resources
        if isinstance(resource, File)
    }
    if path not in files:
        raise fault(f"{machine} has no file {path!r}", hint=nearest(path, files, what="files"))
    values = revealer(workspace.project, evaluation)(list(files[path].secrets))
    try:
        code = segno.make_qr(_content(files[path], values), error="l")
    except segno.DataOverflowError:
        raise fault(f"{path} does not fit in a QR code: it can hold 2,953 bytes") from None
    output = StringIO()
    code.terminal(output, compact=True)
    return output.getvalue().rstrip("\n")


def _content(file: File | Unit, values: Mapping[str, bytes]) -> bytes:
    return b"".join(values[it.version] if isinstance(it, Secret) else it.data or b"" for it in file.parts)


def write_files(workspace: Workspace, machine: str, folder: Path) -> tuple[list[str], list[str]]:
    """Write the files, units, links and directories of a machine below a folder; files with their modes.

    Args:
        workspace: The project.
        machine: The machine.
        folder: A folder that is empty or does not exist.

    Returns:
        The keys of the resources that were written, and of those that are not files.

    Raises:
        Faults: As `Workspace.evaluation_of`; when the folder is not empty or cannot be written; when a secret cannot be
            decrypted. Nothing is written then, unless the disk is full.
    """
    evaluation = workspace.evaluation_of([machine])
    resources = evaluation.configured[machine].configuration.resources
    secrets = {secret.version: secret for resource in resources for secret in resource.secrets}
    values = revealer(workspace.project, evaluation)(list(secrets.values()))
    left: list[str] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise fault(f"{folder} is not empty", hint="name a new folder")
        for resource in resources:
            path = folder / getattr(resource, "path", "").lstrip("/")
            if isinstance(resource, File | Unit) and resource.parts:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(0o600)
                path.write_bytes(_content(resource, values))
                path.chmod(resource.mode if isinstance(resource, File) else 0o644)
            elif isinstance(resource, Symlink):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(resource.target)
            elif isinstance(resource, Directory):
                path.mkdir(parents=True, exist_ok=True)
            else:
                left.append(resource.key)
        written = [resource.key for resource in resources if resource.key not in left]
    except OSError as error:
        raise fault(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    return written, left
