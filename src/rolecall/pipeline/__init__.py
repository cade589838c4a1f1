"""The whole way of an entry, from the inventory's files to the machines.

    load → resolve → steps (vars and exports) → configure → plan → apply

Each stage is functions of its own package and knows no other stage; only this one joins them: `evaluation` up to the
configurations, `plans` from there to the machines; `editing`, `vars` and `views` are what else is asked of it. The
command line, and whatever else will drive Rolecall, calls what stands here. Each module is imported when it is first
needed: most commands need few.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rolecall.deploy.backups import Archive
    from rolecall.evaluate.explain import Explanation, LayerValue, Reason
    from rolecall.inventory.edit import Edited
    from rolecall.model.vars import STEPS
    from rolecall.pipeline.access import (
        Admin,
        Audience,
        Removal,
        add_admin,
        admins,
        audiences,
        create_admin,
        known_to,
        lost_to_user,
        removal,
        remove_admin,
    )
    from rolecall.pipeline.answers import read_answers
    from rolecall.pipeline.beginning import Created, create
    from rolecall.pipeline.catalog import service, service_document, service_text, services
    from rolecall.pipeline.editing import (
        Entry,
        RemovedMachine,
        add_machine,
        convert,
        edit,
        forget_machine,
        get,
        remove_machine,
        rename_machine,
        schema,
        set_value,
        unset_value,
        write_schema,
    )
    from rolecall.pipeline.evaluation import Evaluation, Members
    from rolecall.pipeline.plans import Planned, planning, purge_machine
    from rolecall.pipeline.reaching import (
        HostKeys,
        MachineBackups,
        RecoveredMachine,
        backups,
        host_keys,
        login,
        pin,
        recover_machine,
        targets,
    )
    from rolecall.pipeline.rotation import Rotated, rotatable, rotate, rotate_with_updates
    from rolecall.pipeline.transfer import Imported, export_vars, import_vars
    from rolecall.pipeline.vars import (
        Pruning,
        StoredValue,
        Unwanted,
        check_vars,
        discard,
        find_value,
        fix_vars,
        generate,
        prune,
        pruning,
        read_value,
        set_var,
        stored_values,
        unwanted,
    )
    from rolecall.pipeline.views import as_json, clan_note, explain, subjects
    from rolecall.pipeline.workspace import Workspace, open  # noqa: A004 - called as `pipeline.open`
    from rolecall.project import unanswered
    from rolecall.service.registry import Found

__all__ = [
    "STEPS",
    "Admin",
    "Archive",
    "Audience",
    "Created",
    "Edited",
    "Entry",
    "Evaluation",
    "Explanation",
    "Found",
    "HostKeys",
    "Imported",
    "LayerValue",
    "MachineBackups",
    "Members",
    "Planned",
    "Pruning",
    "Reason",
    "RecoveredMachine",
    "Removal",
    "RemovedMachine",
    "Rotated",
    "StoredValue",
    "Unwanted",
    "Workspace",
    "add_admin",
    "add_machine",
    "admins",
    "as_json",
    "audiences",
    "backups",
    "check_vars",
    "clan_note",
    "convert",
    "create",
    "create_admin",
    "discard",
    "edit",
    "explain",
    "export_vars",
    "find_value",
    "fix_vars",
    "forget_machine",
    "generate",
    "get",
    "host_keys",
    "import_vars",
    "known_to",
    "login",
    "lost_to_user",
    "open",
    "pin",
    "planning",
    "prune",
    "pruning",
    "purge_machine",
    "read_answers",
    "read_value",
    "recover_machine",
    "removal",
    "remove_admin",
    "remove_machine",
    "rename_machine",
    "rotatable",
    "rotate",
    "rotate_with_updates",
    "schema",
    "service",
    "service_document",
    "service_text",
    "services",
    "set_value",
    "set_var",
    "stored_values",
    "subjects",
    "targets",
    "unanswered",
    "unset_value",
    "unwanted",
    "write_schema",
]

# Each after those that it imports itself.
_MODULES: Final = (
    *("evaluation", "workspace", "views", "vars", "plans", "access", "editing", "reaching", "rotation", "transfer"),
    *("catalog", "beginning", "answers"),
)


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in (import_module(f"{__name__}.{each}") for each in _MODULES):
            if hasattr(module, name):
                globals()[name] = found = getattr(module, name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
