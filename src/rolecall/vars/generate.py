"""Running a generator, and checking what it returns. What fails is a fault at the line in the author's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rolecall.errors import Fault, Faults, Where, defined_at, fault, raised_at
from rolecall.model.generators import NotDeclaredError, prompts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecall.model.generators import Context
    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import Values

T = TypeVar("T")


class Declared(dict[str, T]):
    """The inputs of a var by name; a name that it does not declare raises `NotDeclaredError`."""

    def __missing__(self, name: str) -> T:
        raise NotDeclaredError(f"this step reads the var {name!r} and does not declare it in its needs=")


def generate(recipe: Recipe, context: Context) -> Values:
    """Run the generator of a var.

    Raises:
        Faults: When it fails, or does not return exactly the files that it declares.
    """
    what = f"{label(recipe)}, made by {type(recipe.generator).__name__},"
    own = _line(defined_at(getattr(recipe.generator, "function", recipe.generator.generate)))
    try:
        values: object = recipe.generator.generate(context)
    except Faults as error:
        raise Faults(
            Fault(f"{label(recipe)}: {each.message}", each.where, each.hint) for each in error.faults
        ) from None
    except NotDeclaredError as error:
        raise fault(f"{what} failed: {error}", where=_line(raised_at(error)) or own) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an author's code raises
        # Only the kind and the place of the error if its text may quote a secret.
        text = "" if _handles_secrets(recipe) else f": {error}"
        raise fault(f"{what} failed with {type(error).__name__}{text}", where=_line(raised_at(error)) or own) from None
    if not isinstance(values, Mapping):
        raise fault(f"{what} returns {type(values).__name__}, not bytes by file name", where=own)
    answered = {file.name for file in recipe.generator.files} & context.prompts.keys()
    return checked(recipe, {name: context.prompts[name] for name in answered} | dict(values), what, own)


def checked(recipe: Recipe, values: Values, what: str, where: Where | None = None) -> Values:
    """Return the values, if they are exactly the files that the generator declares.

    Args:
        recipe: The var's recipe.
        values: By file.
        what: Names the values in faults.
        where: The place for faults.

    Raises:
        Faults: When a file is missing, undeclared, not bytes, or public and not text.
    """
    wanted = {file.name for file in recipe.generator.files}
    if lacking := sorted(wanted - values.keys()):
        raise fault(f"{what} lacks {', '.join(lacking)}", where=where)
    if surplus := sorted(values.keys() - wanted):
        raise fault(f"{what} has undeclared files: {', '.join(surplus)}", where=where)
    for file in recipe.generator.files:
        if not isinstance(values[file.name], bytes):
            raise fault(f"{what} has no bytes in {file.name}", where=where)
        if not file.secret:
            try:
                values[file.name].decode()
            except UnicodeDecodeError:
                raise fault(f"{what} has a public {file.name} that is not UTF-8 text", where=where) from None
    return values


def mismatch(recipe: Recipe, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:
    """Return why the values of a var do not match one another or its inputs; "" if they do, or cannot be compared.

    Raises:
        Faults: When the generator's `verify` fails.
    """
    verify = getattr(recipe.generator, "verify", None)
    if verify is None:
        return ""
    try:
        return str(verify(values, inputs) or "")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as in `generate`, also what is left out
        what = f"{label(recipe)}: verify of {type(recipe.generator).__name__} failed with {type(error).__name__}"
        raise fault(what, where=_line(raised_at(error) or defined_at(verify))) from None


def label(recipe: Recipe) -> str:
    """Return the name of a var in faults: ``jon/web.tls (for web.server)``."""
    return f"{recipe.key} (for {recipe.origin})"


def _handles_secrets(recipe: Recipe) -> bool:
    """Return whether a generator reads or makes anything that may be secret."""
    secret = any(file.secret for file in recipe.generator.files)
    return bool(secret or recipe.inputs or recipe.peers or prompts_of(recipe.generator))


def _line(place: str) -> Where | None:
    """Return ``FILE:LINE`` as a place."""
    file, _, line = place.rpartition(":")
    return Where(Path(file), line=int(line)) if file else None
