"""The whole way of an entry, from the inventory's files to the machines.

    load → resolve → steps (vars and exports) → configure → plan → apply

Each stage is functions of its own package and knows no other stage; only this one joins them: `evaluation` up to the
configurations, `plans` from there to the machines; the other modules are one group of commands each. The command
line, and every other client, calls the names below. Each module is imported when one of its names is first used,
because most commands need few.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rolecall.deploy.backups import Archive as Archive
    from rolecall.deploy.commands import CommandAnswer as CommandAnswer
    from rolecall.evaluate.explain import Explanation as Explanation
    from rolecall.evaluate.explain import LayerValue as LayerValue
    from rolecall.evaluate.explain import PeerAddress as PeerAddress
    from rolecall.evaluate.explain import Reason as Reason
    from rolecall.inventory.edit import Edited as Edited
    from rolecall.model.vars import STEPS as STEPS
    from rolecall.pipeline.access import Admin as Admin
    from rolecall.pipeline.access import Audience as Audience
    from rolecall.pipeline.access import Removal as Removal
    from rolecall.pipeline.access import add_admin as add_admin
    from rolecall.pipeline.access import admins as admins
    from rolecall.pipeline.access import audiences as audiences
    from rolecall.pipeline.access import create_admin as create_admin
    from rolecall.pipeline.access import known_to as known_to
    from rolecall.pipeline.access import lost_to_user as lost_to_user
    from rolecall.pipeline.access import removal as removal
    from rolecall.pipeline.access import remove_admin as remove_admin
    from rolecall.pipeline.answering import Answer as Answer
    from rolecall.pipeline.answers import read_answers as read_answers
    from rolecall.pipeline.beginning import Created as Created
    from rolecall.pipeline.beginning import create as create
    from rolecall.pipeline.catalog import service as service
    from rolecall.pipeline.catalog import service_document as service_document
    from rolecall.pipeline.catalog import service_text as service_text
    from rolecall.pipeline.catalog import services as services
    from rolecall.pipeline.choosing import Choice as Choice
    from rolecall.pipeline.choosing import chosen as chosen
    from rolecall.pipeline.commands import CommandReport as CommandReport
    from rolecall.pipeline.commands import run_command as run_command
    from rolecall.pipeline.connecting import planning as planning
    from rolecall.pipeline.editing import Entry as Entry
    from rolecall.pipeline.editing import convert as convert
    from rolecall.pipeline.editing import edit as edit
    from rolecall.pipeline.editing import get as get
    from rolecall.pipeline.editing import set_value as set_value
    from rolecall.pipeline.editing import unset_value as unset_value
    from rolecall.pipeline.evaluation import Evaluation as Evaluation
    from rolecall.pipeline.evaluation import Members as Members
    from rolecall.pipeline.installing import NewMachine as NewMachine
    from rolecall.pipeline.installing import new_machine as new_machine
    from rolecall.pipeline.installing import with_peers as with_peers
    from rolecall.pipeline.instances import rename_instance as rename_instance
    from rolecall.pipeline.inventory_schema import schema as schema
    from rolecall.pipeline.inventory_schema import write_schema as write_schema
    from rolecall.pipeline.machines import RemovedMachine as RemovedMachine
    from rolecall.pipeline.machines import add_machine as add_machine
    from rolecall.pipeline.machines import forget_machine as forget_machine
    from rolecall.pipeline.machines import remove_machine as remove_machine
    from rolecall.pipeline.machines import rename_machine as rename_machine
    from rolecall.pipeline.pinning import HostKeys as HostKeys
    from rolecall.pipeline.pinning import host_keys as host_keys
    from rolecall.pipeline.pinning import pin as pin
    from rolecall.pipeline.pinning import unpinned as unpinned
    from rolecall.pipeline.plans import Planned as Planned
    from rolecall.pipeline.plans import purge_machine as purge_machine
    from rolecall.pipeline.reaching import MachineBackups as MachineBackups
    from rolecall.pipeline.reaching import RecoveredMachine as RecoveredMachine
    from rolecall.pipeline.reaching import ask_ways as ask_ways
    from rolecall.pipeline.reaching import backups as backups
    from rolecall.pipeline.reaching import login as login
    from rolecall.pipeline.reaching import recover_machine as recover_machine
    from rolecall.pipeline.reaching import target_of as target_of
    from rolecall.pipeline.reaching import targets as targets
    from rolecall.pipeline.retiring import Retiring as Retiring
    from rolecall.pipeline.retiring import planning_retirement as planning_retirement
    from rolecall.pipeline.retiring import retire_machine as retire_machine
    from rolecall.pipeline.rollback import PlannedRollback as PlannedRollback
    from rolecall.pipeline.rollback import Rollback as Rollback
    from rolecall.pipeline.rollback import planning_rollback as planning_rollback
    from rolecall.pipeline.rotation import Rotated as Rotated
    from rolecall.pipeline.rotation import left_behind as left_behind
    from rolecall.pipeline.rotation import rotatable as rotatable
    from rolecall.pipeline.rotation import rotate as rotate
    from rolecall.pipeline.rotation import rotate_with_updates as rotate_with_updates
    from rolecall.pipeline.runs import history as history
    from rolecall.pipeline.saving import planning_saved as planning_saved
    from rolecall.pipeline.stored import StoredValue as StoredValue
    from rolecall.pipeline.stored import find_value as find_value
    from rolecall.pipeline.stored import read_value as read_value
    from rolecall.pipeline.stored import stored_values as stored_values
    from rolecall.pipeline.surveying import status as status
    from rolecall.pipeline.transfer import Imported as Imported
    from rolecall.pipeline.transfer import export_vars as export_vars
    from rolecall.pipeline.transfer import import_vars as import_vars
    from rolecall.pipeline.vars import Pruning as Pruning
    from rolecall.pipeline.vars import Unwanted as Unwanted
    from rolecall.pipeline.vars import check_vars as check_vars
    from rolecall.pipeline.vars import discard as discard
    from rolecall.pipeline.vars import fix_vars as fix_vars
    from rolecall.pipeline.vars import generate as generate
    from rolecall.pipeline.vars import matching as matching
    from rolecall.pipeline.vars import prune as prune
    from rolecall.pipeline.vars import pruning as pruning
    from rolecall.pipeline.vars import set_var as set_var
    from rolecall.pipeline.vars import unwanted as unwanted
    from rolecall.pipeline.views import as_json as as_json
    from rolecall.pipeline.views import clan_note as clan_note
    from rolecall.pipeline.views import explain as explain
    from rolecall.pipeline.views import subjects as subjects
    from rolecall.pipeline.without import Without as Without
    from rolecall.pipeline.workspace import Workspace as Workspace
    from rolecall.pipeline.workspace import open as open  # noqa: A004 - called as `pipeline.open`
    from rolecall.pipeline.writing import qr_code as qr_code
    from rolecall.pipeline.writing import write_files as write_files
    from rolecall.project import unanswered as unanswered
    from rolecall.service.registry import Found as Found

# The same names by module, for what runs.
_NAMES: Final = {
    "rolecall.deploy.backups": "Archive",
    "rolecall.deploy.commands": "CommandAnswer",
    "rolecall.evaluate.explain": "Explanation LayerValue PeerAddress Reason",
    "rolecall.inventory.edit": "Edited",
    "rolecall.model.vars": "STEPS",
    "rolecall.pipeline.access": (
        "Admin Audience Removal add_admin admins audiences create_admin known_to lost_to_user removal remove_admin"
    ),
    "rolecall.pipeline.answers": "read_answers",
    "rolecall.pipeline.beginning": "Created create",
    "rolecall.pipeline.catalog": "service service_document service_text services",
    "rolecall.pipeline.editing": "Entry convert edit get set_value unset_value",
    "rolecall.pipeline.evaluation": "Evaluation Members",
    "rolecall.pipeline.machines": "RemovedMachine add_machine forget_machine remove_machine rename_machine",
    "rolecall.pipeline.choosing": "Choice chosen",
    "rolecall.pipeline.commands": "CommandReport run_command",
    "rolecall.pipeline.connecting": "planning",
    "rolecall.pipeline.plans": "Planned purge_machine",
    "rolecall.pipeline.pinning": "HostKeys host_keys pin unpinned",
    "rolecall.pipeline.reaching": (
        "MachineBackups RecoveredMachine ask_ways backups login recover_machine target_of targets"
    ),
    "rolecall.pipeline.retiring": "Retiring planning_retirement retire_machine",
    "rolecall.pipeline.rotation": "Rotated left_behind rotatable rotate rotate_with_updates",
    "rolecall.pipeline.installing": "NewMachine new_machine with_peers",
    "rolecall.pipeline.runs": "history",
    "rolecall.pipeline.instances": "rename_instance",
    "rolecall.pipeline.inventory_schema": "schema write_schema",
    "rolecall.pipeline.rollback": "PlannedRollback Rollback planning_rollback",
    "rolecall.pipeline.saving": "planning_saved",
    "rolecall.pipeline.surveying": "status",
    "rolecall.pipeline.stored": "StoredValue find_value read_value stored_values",
    "rolecall.pipeline.transfer": "Imported export_vars import_vars",
    "rolecall.pipeline.vars": (
        "Pruning Unwanted check_vars discard fix_vars generate matching prune pruning set_var unwanted"
    ),
    "rolecall.pipeline.views": "as_json clan_note explain subjects",
    "rolecall.pipeline.answering": "Answer",
    "rolecall.pipeline.without": "Without",
    "rolecall.pipeline.workspace": "Workspace open",
    "rolecall.pipeline.writing": "qr_code write_files",
    "rolecall.project": "unanswered",
    "rolecall.service.registry": "Found",
}
_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_MODULES[name]), name)
    return found
