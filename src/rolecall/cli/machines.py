"""``rolecall machines``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rolecall.cli.common import Invocation


@click.group()
def machines() -> None:
    """The machines of the inventory."""


@machines.command("list")
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the machines with their tags and targets."""
    from rolecall import pipeline  # noqa: PLC0415 - imported when used, here and below

    document = pipeline.as_json(pipeline.members(invocation.project))["machines"]
    rows = [
        f"{name}  {declared['deploy']['targetHost'] or '-'}  {', '.join(declared['tags'])}"
        for name, declared in document.items()
    ]
    invocation.emit(document, "\n".join(rows))


@machines.command()
@click.argument("name")
@click.option("--target-host", help="How it is reached: [user@]host[:port], or dir:PATH.")
@click.option("--tag", "tags", multiple=True, help="A tag that it gets; may be given several times.")
@click.pass_obj
def add(invocation: Invocation, name: str, target_host: str | None, tags: tuple[str, ...]) -> None:
    """Declare the machine NAME, in inventory.json beside your own inventory."""
    from rolecall import inventory  # noqa: PLC0415 - as above

    values: dict[str, object] = {}
    if tags:
        values["tags"] = list(tags)
    if target_host:
        values["deploy"] = {"targetHost": target_host}
    file = inventory.add_machine(invocation.project, name, values)
    invocation.emit({"machine": name, "file": str(file)}, f"declared {name} in {file.name}")


@machines.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def pin(invocation: Invocation, name: str, yes: bool) -> None:  # noqa: FBT001 - click's flag
    """Ask the machine NAME for its SSH host keys and pin them, after you have compared them."""
    from rolecall import pipeline  # noqa: PLC0415 - as above
    from rolecall.deploy import pins  # noqa: PLC0415 - as above

    project = invocation.project
    target = pipeline.target(project, name, None)
    keys = pins.scan(target)
    if not yes:
        for key in keys:
            click.echo(pins.fingerprint(key), err=True)
        click.confirm(f"are these the keys of {name}? (there: ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub)", abort=True)
    pins.pin(project, name, keys)
    invocation.emit({"machine": name, "keys": keys}, f"pinned {len(keys)} host keys of {name}")
