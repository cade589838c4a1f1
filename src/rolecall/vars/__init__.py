"""Generated values (keys, passwords, certificates), and the store that keeps them.

`decide` says what a run does with each var, `maker` does it, and `rolecall.vars.make` writes the result. `layout` says
where vars are on disk, `soundness` reads them and finds what a merge has mixed up, and `effective` chooses between a
pending and a stored value. `store` moves vars, `in_place` changes single files of them, and `upgrade` adds what earlier
versions did not note. `secret_stores` encrypt secrets; `keys` and `recipients` manage who can read them.
"""

from rolecall.vars.bound import Bound, bound_in, bound_to
from rolecall.vars.effective import (
    decrypt,
    given,
    pending,
    pending_and_stored,
    place,
    replaces,
    stored,
    stored_all,
    verb,
)
from rolecall.vars.keys import add_admin, admin_of, admins, create_identity, own_key, remove_admin
from rolecall.vars.layout import invalid_names
from rolecall.vars.make import drafts, make, making, missing, store_drafts
from rolecall.vars.packing import pack, unpacked
from rolecall.vars.recipients import (
    Sealed,
    fix,
    former_holders,
    known_to,
    lacking,
    note_machines,
    readable_by,
    sealed,
    with_wrong_recipients,
)
from rolecall.vars.secret_stores.age import decrypt_file, encrypt_to
from rolecall.vars.soundness import unmarked, unsettled, unsound
from rolecall.vars.store import (
    discard,
    knows,
    of_instance,
    promote,
    prune,
    remove,
    rename,
    rename_instance,
)
from rolecall.vars.upgrade import mark, note_recipes
from rolecall.vars.verify import misfits, refuse_mixed

__all__ = [
    "Bound",
    "Sealed",
    "add_admin",
    "admin_of",
    "admins",
    "bound_in",
    "bound_to",
    "create_identity",
    "decrypt",
    "decrypt_file",
    "discard",
    "drafts",
    "encrypt_to",
    "fix",
    "former_holders",
    "given",
    "invalid_names",
    "known_to",
    "knows",
    "lacking",
    "make",
    "making",
    "mark",
    "misfits",
    "missing",
    "note_machines",
    "note_recipes",
    "of_instance",
    "own_key",
    "pack",
    "pending",
    "pending_and_stored",
    "place",
    "promote",
    "prune",
    "readable_by",
    "refuse_mixed",
    "remove",
    "remove_admin",
    "rename",
    "rename_instance",
    "replaces",
    "sealed",
    "store_drafts",
    "stored",
    "stored_all",
    "unmarked",
    "unpacked",
    "unsettled",
    "unsound",
    "verb",
    "with_wrong_recipients",
]
