"""The inventory as written, checked for its shape but not yet for its meaning.

Field names are those of the documents: camelCase in files, snake_case here; free keys are never changed.
Which module, role or setting exists is the concern of `rolecall.evaluate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    WithJsonSchema,
    WrapValidator,
)
from pydantic import Tag as PydanticTag
from pydantic.alias_generators import to_camel

from rolecall.errors import Fault, nearest
from rolecall.model.addresses import HostAddress  # noqa: TC001 - pydantic reads it when the program runs
from rolecall.model.names import NAME_LENGTH, NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidatorFunctionWrapHandler

    from rolecall.model.source import Source

Name = Annotated[
    str,
    StringConstraints(pattern=NAME_PATTERN, max_length=NAME_LENGTH),
    WithJsonSchema({"type": "string", "format": "name", "pattern": NAME_PATTERN, "maxLength": NAME_LENGTH}),
]

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN_PATTERN = rf"^{_LABEL}(\.{_LABEL})*$"
DOMAIN_LENGTH = 253 - NAME_LENGTH - 1  # NAME.DOMAIN is a host name of at most 253 characters (RFC 1035, 2.3.4)


class Table(BaseModel):
    """A table of the inventory: camelCase in files, unknown keys refused, values never changed afterwards.

    Keys without a value have been removed (see `rolecall.inventory.nulls`).
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True, strict=True)


class PerFile(dict[str, Any]):
    """Settings that several files give at one place, by file, from general to specific."""


def _keep_per_file(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    return value if isinstance(value, PerFile) else validate(value)


RawSettings = Annotated[dict[str, Any], WrapValidator(_keep_per_file)]
"""Settings as written, or `PerFile`."""


class Meta(Table):
    """The project's own name and domain."""

    name: str = Field("", description="What the project is called.")
    description: str = Field("", description="One sentence for people.")
    domain: str = Field(
        "",
        pattern=DOMAIN_PATTERN,
        max_length=DOMAIN_LENGTH,
        description="Machines call one another `NAME.DOMAIN`; without one, `NAME`.",
    )


REBOOT_SECONDS = 300
"""How long a machine may take to reboot, by default."""


class Deploy(Table):
    """How a machine is reached and updated."""

    target_host: str | None = Field(
        None,
        description="`[user@]host[:port]` for SSH, or `dir:PATH` for a directory that stands for a machine, where PATH "
        "counts from the project. Without one, the machine is reached in the project's lab while that is up.",
    )
    reboot_seconds: int = Field(
        REBOOT_SECONDS,
        ge=1,
        le=86400,
        description="How long the machine may take to reboot in an update; after that, the update is undone.",
    )


Release = Literal["bullseye", "bookworm", "trixie", "forky", "sid"]
"""A release of Debian that a machine of the lab can run."""


class Twin(Table):
    """What stands for a machine in the lab."""

    release: Release | None = Field(
        None, description="The release of Debian that it runs there; left out, that of the computer with the lab."
    )


class State(Table):
    """Folders with data that cannot be generated again, and commands (argument lists) to run around a backup."""

    folders: list[str] = Field(description="Absolute paths on the machine.")
    before_backup: list[str] = Field([], description="Run before the folders are read.")
    after_backup: list[str] = Field([], description="Run after they were read, also when the backup failed.")
    before_restore: list[str] = Field([], description="Run before the folders are written back.")
    after_restore: list[str] = Field([], description="Run after they were written back, also when that failed.")


class Machine(Table):
    """A host."""

    tags: list[Name] = Field([], description="Names of sets that the machine is in.")
    description: str = Field("", description="One sentence for people.")
    machine_class: Name = Field("linux", description="What kind of machine it is; this is a tag of the machine too.")
    platform: str = Field("", description="Its architecture, for people and tools.")
    state: dict[Name, State] = Field({}, description="What backup services back up, under names of your choice.")
    deploy: Deploy = Field(Deploy(), description="How it is reached.")
    lab: Twin = Field(Twin(), description="What stands for it in the lab.")
    address: HostAddress | None = Field(
        None,
        description="Host name or IP address at which other machines reach it. Left out, the host of its SSH target if "
        "that is an IP address or has a domain; else `NAME.DOMAIN` or `NAME`, as under `meta.domain`. In the lab, its "
        "name.",
    )
    formerly: list[Name] = Field(
        [], description="Earlier names under which it may still be installed; `rolecall machines rename` writes them."
    )
    installed_at: int | None = Field(None, description="When it was installed, in seconds since 1970; tools write it.")


class Module(Table):
    """Where an instance's service comes from."""

    name: str | None = Field(None, min_length=1, description="The service; left out, the instance's own name.")
    input: str | None = Field(
        None,
        min_length=1,
        description='Left out, `"rolecall"` or `"clan-core"`: a shipped service; `"self"`: one of the project\'s '
        "`modules/`; else the name of an installed distribution, or an alias under `inputs`.",
    )


class RoleMachine(Table):
    """One machine named in a role."""

    settings: RawSettings = Field({}, description="Settings of this machine alone; they override all others.")


class RoleTag(Table):
    """One tag named in a role."""

    settings: RawSettings = Field({}, description="Settings of the members with this tag.")


def _tags_as_table(value: object) -> object:
    """Read ``tags = ["a"]`` as short for ``tags.a = {}``."""
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return {tag: {} for tag in value}
    return value


class Role(Table):
    """One role of an instance: who plays it, with what settings."""

    machines: dict[Name, RoleMachine] = Field({}, description="Machines that play the role.")
    tags: Annotated[dict[Name, RoleTag], BeforeValidator(_tags_as_table)] = Field(
        {}, description="Tags whose machines play the role: a list, or a table with settings for each tag."
    )
    settings: RawSettings = Field({}, description="Settings of all members of the role.")


class Instance(Table):
    """One use of a service, under a name of the user's choice."""

    module: Module = Field(Module(), description="Which service it uses.")
    roles: dict[Name, Role] = Field({}, description="Who plays which role of the service, with what settings.")
    data_name: Name | None = Field(
        None,
        description="The name under which it keeps data on machines, if not its own: the one that it had before "
        "`rolecall instances rename`, which writes this.",
    )


class Selection(Table):
    """A tag that selects machines by their other tags: those that match `any`, `all` and `none`, and the ones listed.

    The tags that it names are plain: of machines, lists, or computed. An empty list is ignored; without `any`,
    `all` and `none` it selects no machine.
    """

    any: list[Name] = Field([], description="Tags of which a machine has at least one.")
    all: list[Name] = Field([], description="Tags of which a machine has all.")
    none: list[Name] = Field([], description="Tags of which a machine has none.")
    machines: list[Name] = Field([], description="Machines that have the tag in any case.")


class DeclaredPrompt(Table):
    """A prompt for a secret of a var."""

    description: str = Field(description="What it is for, as shown in the prompt.")
    kind: Literal["line", "hidden", "multiline"] = Field(
        "hidden", description="How it is typed: one line shown, hidden, or several lines."
    )


class DeclaredVar(Table):
    """A var of your own, for secrets that you enter, such as the password of a mail account."""

    scope: Literal["shared", "machine"] = Field(
        "shared", description="Whether all machines have one together, or each machine its own."
    )
    prompts: dict[Name, DeclaredPrompt] = Field(
        {}, description="Its prompts, answered once; settings refer to an answer as `VAR/PROMPT`."
    )


def _form_of_tag(value: object) -> str:
    """Return the form of a tag's value; `rolecall.inventory.shape` removes these words from pydantic's paths."""
    return "[table]" if isinstance(value, dict | Selection) else "[list]"


Tagged = Annotated[
    Annotated[Selection, PydanticTag("[table]")] | Annotated[list[Name], PydanticTag("[list]")],
    Discriminator(_form_of_tag),
]


class Inventory(Table):
    """The whole inventory as written, over all its sources.

    ``tags`` holds the user's own ``tags.T``; `Loaded.tags` has the machines' tags and the computed ones too.
    """

    meta: Meta = Field(Meta(), description="The project's own name and domain.")
    machines: dict[Name, Machine] = Field({}, description="The machines, by name.")
    tags: dict[Name, Tagged] = Field(
        {}, description="Tags of your own: a list of machines, or a table that selects machines by their other tags."
    )
    instances: dict[Name, Instance] = Field({}, description="Uses of services, under names of your choice.")
    vars: dict[Name, DeclaredVar] = Field(
        {}, description='Secrets that you enter at a prompt, and that settings refer to: `{ var = "VAR/PROMPT" }`.'
    )


class Loaded:
    """An inventory with its sources and warnings.

    Attributes:
        inventory: The merged inventory.
        sources: From general to specific; a later one wins over an earlier one.
        tags: Every tag with its machines, the computed ones (``all``, one per machine class) included, sorted.
        warnings: Problems of its tags that stop nothing.
    """

    __slots__ = ("inventory", "sources", "tags", "warnings")

    def __init__(
        self,
        inventory: Inventory,
        sources: tuple[Source, ...],
        tags: Mapping[str, tuple[str, ...]],
        warnings: tuple[Fault, ...] = (),
    ) -> None:
        self.inventory = inventory
        self.sources = sources
        self.tags = tags
        self.warnings = warnings

    def unknown_machine(self, name: str) -> Fault:
        """Return the fault that no machine has this name."""
        hint = nearest(name, self.inventory.machines, what="machines")
        return Fault(f"machine {name!r} does not exist", hint=hint)
