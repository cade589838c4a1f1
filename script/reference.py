"""Write the reference pages from the code: one for the inventory, and one for each shipped service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rolecall import pipeline
from rolecall.model.generators import prompts_of
from rolecall.model.inventory import Inventory
from rolecall.service import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel

    from rolecall.service.contract import Need, Role, Service

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by script/reference from the code; change it there. -->"


def pages() -> dict[str, str]:
    """Return the text of each page by its path below docs/reference/.

    Raises:
        Faults: When a shipped service cannot be loaded.
    """
    services = [entry.service for entry in pipeline.services(None)[0] if entry.source is None]
    return {"inventory.md": inventory(services)} | {
        f"services/{service.name}.md": page_of(service) for service in services
    }


def inventory(services: Iterable[Service]) -> str:
    """Return the page about the fields of an inventory."""
    lines = [
        "# Reference: the inventory",
        "",
        NOTE,
        "",
        "Every field of an inventory, in any notation; [the inventory](../inventory.md) explains them. `NAME`",
        "stands for a name of your choice: at most 63 letters, digits, `_` and `-`, not starting with `-`.",
        "",
        *table(Inventory),
        "",
        "The fields under `settings` depend on the service:",
        "",
        *(f"- [{service.name}](services/{service.name}.md): {service.description}" for service in services),
    ]
    return "\n".join(lines) + "\n"


def page_of(service: Service) -> str:
    """Return the page about one service."""
    limit = f" At most {service.maximum_instances} in an inventory." if service.maximum_instances else ""
    lines = [
        f"# Reference: {service.name}",
        "",
        NOTE,
        "",
        f'{service.description}{limit} An instance uses it with `module.name = "{service.name}"`.',
    ]
    for role in service.roles.values():
        lines += ["", *section(role)]
    return "\n".join(lines) + "\n"


def section(role: Role) -> Iterator[str]:
    """Yield the lines about one role."""
    yield f"## Role `{role.name}`"
    yield ""
    yield f"{role.description} Played by {describe.machines(role)}{excluded(role)}."
    yield ""
    yield from table(role.settings)
    if role.vars:
        yield ""
        yield "Each machine has these vars:"
        yield ""
    for var in role.vars.values():
        files = ", ".join(f"`{file.name}` ({'secret' if file.secret else 'public'})" for file in var.generator.files)
        yield f"- `{var.name}`: {'; '.join([files + needed(var.needs), *describe.traits(var)])}"
        yield from (f"  - asks `{prompt.name}`: {prompt.description}" for prompt in prompts_of(var.generator))
    for publisher in role.publishers:
        interface = publisher.interface
        yield ""
        name = describe.interface_name(interface)
        yield f"It exports `{name}`{needed(publisher.needs)}. {describe.meaning(interface)}"
        yield ""
        yield from table(interface)


def table(model: type[BaseModel]) -> Iterator[str]:
    """Yield a table of the fields of a model."""
    yield "| field | takes | default | meaning |"
    yield "|---|---|---|---|"
    for entry in describe.entries(model):
        default = "required" if entry.required else f"`{entry.default}`" if entry.default else ""
        yield f"| `{entry.name}` | {cell(entry.type)} | {cell(default)} | {cell(entry.description)} |"


def cell(text: str) -> str:
    """Return text escaped for a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def excluded(role: Role) -> str:
    """Return the roles that a machine cannot have besides this one, as the end of a sentence."""
    return f"; none of them plays {', '.join(f'`{name}`' for name in sorted(role.excluded))}" if role.excluded else ""


def needed(needs: tuple[Need, ...]) -> str:
    """Return what a step reads, as a part of a sentence."""
    return f", from {', '.join(f'`{name}`' for name in describe.named(needs))}" if needs else ""


if __name__ == "__main__":
    for path, text in pages().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")
