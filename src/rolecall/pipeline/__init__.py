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
    from rolecall.model.vars import STEPS
    from rolecall.pipeline.editing import (
        add_machine,
        edit,
        forget_machine,
        remove_machine,
        rename_machine,
        schema,
        write_schema,
    )
    from rolecall.pipeline.evaluation import Evaluation, Members, check, evaluate, evaluate_some, members, recipes
    from rolecall.pipeline.plans import Planned, planning, purge_machine
    from rolecall.pipeline.transfer import Imported, export_vars, import_vars
    from rolecall.pipeline.vars import (
        Audience,
        Rotated,
        Unwanted,
        audiences,
        check_vars,
        discard,
        fix_vars,
        generate,
        known_to,
        needs_force,
        prunable,
        rotate,
        set_var,
        unwanted,
        waiting,
    )
    from rolecall.pipeline.views import as_json, backups, clan_note, explain, machine_names, service, services, target

__all__ = [
    "STEPS",
    "Audience",
    "Evaluation",
    "Imported",
    "Members",
    "Planned",
    "Rotated",
    "Unwanted",
    "add_machine",
    "as_json",
    "audiences",
    "backups",
    "check",
    "check_vars",
    "clan_note",
    "discard",
    "edit",
    "evaluate",
    "evaluate_some",
    "explain",
    "export_vars",
    "fix_vars",
    "forget_machine",
    "generate",
    "import_vars",
    "known_to",
    "machine_names",
    "members",
    "needs_force",
    "planning",
    "prunable",
    "purge_machine",
    "recipes",
    "remove_machine",
    "rename_machine",
    "rotate",
    "schema",
    "service",
    "services",
    "set_var",
    "target",
    "unwanted",
    "waiting",
    "write_schema",
]

# Each after those that it imports itself.
_MODULES: Final = ("evaluation", "views", "editing", "plans", "vars", "transfer")


def __getattr__(name: str) -> object:
    if name in __all__:
        for module in (import_module(f"{__name__}.{each}") for each in _MODULES):
            if hasattr(module, name):
                globals()[name] = found = getattr(module, name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
