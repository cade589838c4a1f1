"""The whole way of an entry, from the inventory's files to the machines.

    load → resolve → steps (vars and exports) → configure → plan → apply

Each stage is functions of its own package and knows no other stage; only this one joins them: `evaluation` up to the
configurations, `planning` from there to the machines; `editing`, `vars` and `views` are what else is asked of a project.
The command line, and whatever else will drive Rolecall, calls what stands here.
"""

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
from rolecall.pipeline.planning import Planned, planning
from rolecall.pipeline.vars import Rotated, deliveries, discard, generate, rotate, set_var, waiting
from rolecall.pipeline.views import as_json, backups, explain, machine_names, service, services, target

__all__ = [
    "STEPS",
    "Evaluation",
    "Members",
    "Planned",
    "Rotated",
    "add_machine",
    "as_json",
    "backups",
    "check",
    "deliveries",
    "discard",
    "edit",
    "evaluate",
    "evaluate_some",
    "explain",
    "forget_machine",
    "generate",
    "machine_names",
    "members",
    "planning",
    "recipes",
    "remove_machine",
    "rename_machine",
    "rotate",
    "schema",
    "service",
    "services",
    "set_var",
    "target",
    "waiting",
    "write_schema",
]
