from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.recipes import Recipe
from rolecall.model.vars import VarFile, VarKey
from rolecall.project import Project
from rolecall.service.generators import Passphrase, SSHKeyPair

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rolecall.model.generators import Context

A, B, C = (VarKey("jon", f"backup.{name}") for name in "abc")


@dataclass(frozen=True)
class Gives:
    """Returns the given values, whatever files it declares."""

    values: tuple[tuple[str, bytes], ...] = (("text", b"x"),)
    files: tuple[VarFile, ...] = (VarFile("text", secret=False),)

    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002
        return dict(self.values)

    def view(self, files: Mapping[str, object]) -> Mapping[str, object]:
        return files


@dataclass(frozen=True)
class Joins(Gives):
    """Joins all its inputs to one text."""

    def generate(self, context: Context) -> Mapping[str, bytes]:
        return {"text": b"+".join(data for files in context.inputs.values() for data in files.values())}


@dataclass(frozen=True)
class Breaks(Gives):
    def generate(self, context: Context) -> Mapping[str, bytes]:  # noqa: ARG002
        raise ValueError("MARKER-IN-AN-EXCEPTION")


def recipe(key: VarKey, generator: object, *inputs: VarKey, origin: str = "backup.client") -> Recipe:
    return Recipe(key, generator, origin, inputs=tuple((need.name, need) for need in inputs))  # type: ignore[arg-type]


def faults_of(project: Project, *recipes: Recipe) -> str:
    with pytest.raises(Faults) as caught:
        v.make(project, recipes)
    assert v.pending(project) == {}
    return str(caught.value)


def test_a_var_is_made_once(project: Project) -> None:
    recipes = [recipe(A, SSHKeyPair()), recipe(B, Passphrase())]
    assert v.missing(project, recipes) == [A, B]
    made = v.make(project, recipes)
    assert made[A]["public"].public.startswith("ssh-ed25519 ")
    assert made[A]["private"].secret
    assert made[A]["private"].public == ""
    assert len(made[A]["private"].version) == 22
    assert v.missing(project, recipes) == []
    assert v.make(project, recipes) == made == v.pending(project) == v.stored(project, [A, B, C])
    v.promote(project, made)
    assert v.make(project, recipes) == made == v.stored_all(project)
    assert v.pending(project) == {}


def test_inputs_come_first_in_whatever_order_they_are_asked_for(project: Project) -> None:
    recipes = [recipe(C, Joins(), A, B), recipe(B, Joins(), A), recipe(A, Gives())]
    assert v.missing(project, recipes) == [A, B, C]
    assert v.make(project, recipes)[C]["text"].public == "x+x"


def test_secret_inputs_from_earlier_runs_are_decrypted(project: Project) -> None:
    secret = Gives((("text", b"s3cret"),), (VarFile("text"),))
    v.promote(project, v.make(project, [recipe(A, secret)]))
    v.make(project, [recipe(B, secret)])
    hashed = Gives.__new__(Joins)
    object.__setattr__(hashed, "files", (VarFile("text"),))
    made = v.make(project, [recipe(C, hashed, A, B)])
    assert v.decrypt(project, [(C, "text")]) == {(C, "text"): b"s3cret+s3cret"}
    assert made[C]["text"].secret


def test_an_equal_definition_is_shared(project: Project) -> None:
    assert list(v.make(project, [recipe(A, Passphrase(4)), recipe(A, Passphrase(4), origin="x.y")])) == [A]


@pytest.mark.parametrize(
    ("recipes", "words"),
    [
        ([recipe(A, Passphrase(4)), recipe(A, Passphrase(5), origin="x.y")], ["jon/backup.a", "backup.client", "x.y"]),
        ([recipe(A, Gives()), recipe(A, Gives(), B, origin="x.y"), recipe(B, Gives())], ["jon/backup.a", "x.y"]),
        (
            [recipe(A, Gives(), B), recipe(B, Gives(), C), recipe(C, Gives(), A, origin="x.y")],
            ["dependency cycle: ", "backup.a", "backup.b", "backup.c (x.y)"],
        ),
        ([recipe(A, Gives(), A)], ["dependency cycle: jon/backup.a (backup.client) → jon/backup.a"]),
        ([recipe(A, Gives(), B)], ["jon/backup.a (for backup.client) needs jon/backup.b, which nothing generates"]),
        ([recipe(B, Gives()), recipe(A, Gives(()))], ["jon/backup.a (for backup.client)", "lacks text"]),
        (
            [recipe(A, Gives((("text", b""), ("more", b""))))],
            ["jon/backup.a (for backup.client)", "undeclared files"],
        ),
        ([recipe(A, Gives((("text", b"\xff"),)))], ["not UTF-8"]),
        ([recipe(A, Gives((("text", "text"),)))], ["no bytes in text"]),  # type: ignore[arg-type]
        (
            [recipe(B, Gives()), recipe(A, Breaks(files=(VarFile("text"),)))],
            ["jon/backup.a (for backup.client)", "ValueError", "test_make.py:"],
        ),
        ([recipe(A, Gives((("../x", b""),), (VarFile("../x"),)))], ["'../x' is not a valid file name"]),
        ([recipe(VarKey("..", "a"), Gives())], ["not a valid name of a var"]),
        ([recipe(VarKey("jon", "a/../b"), Gives())], ["not a valid name of a var"]),
        ([recipe(VarKey("jon\n", "a"), Gives())], ["not a valid name of a var"]),
        ([recipe(VarKey("jon", "a" * 300), Gives())], ["not a valid name of a var"]),
    ],
)
def test_a_fault_is_reported_and_nothing_is_stored(project: Project, recipes: list[Recipe], words: list[str]) -> None:
    message = faults_of(project, *recipes)
    assert [word for word in words if word not in message] == []
    assert "MARKER" not in message


def test_what_a_generator_says_is_shown_if_it_handles_no_secret(project: Project) -> None:
    assert "failed with ValueError: MARKER-IN-AN-EXCEPTION" in faults_of(project, recipe(A, Breaks()))
    assert "MARKER" not in faults_of(project, recipe(B, Gives()), recipe(A, Breaks(), B))


def test_without_an_admin_public_vars_are_made_and_secret_ones_refused(tmp_path: Path) -> None:
    project = Project(tmp_path)
    message = faults_of(project, recipe(A, Gives()), recipe(B, Passphrase()))
    assert "no admin key" in message
    assert "hint: create yours: `rolecall keys create`" in message
    assert A in v.make(project, [recipe(A, Gives())])


@pytest.mark.parametrize(
    ("lost", "what"),
    [
        ("private", "private is missing"),
        ("private/secret", "private has no value"),
        ("private/version", "private has no version"),
        ("public/value", "public has no value"),
    ],
)
def test_a_stored_var_that_lost_a_file_is_not_regenerated_silently(project: Project, lost: str, what: str) -> None:
    v.promote(project, v.make(project, [recipe(A, SSHKeyPair())]))
    folder = project.vars / "per-machine/jon/backup.a"
    victim = folder / lost
    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    message = faults_of(project, recipe(A, SSHKeyPair()))
    assert f"jon/backup.a/{what}\n  at {folder}/{lost.partition('/')[0]}\n" in message
    assert "or delete it, and `rolecall vars generate` makes a new value" in message


def test_a_pending_var_of_an_older_definition_is_regenerated_with_its_readers(project: Project) -> None:
    old = v.make(project, [recipe(A, Gives()), recipe(B, Joins(), A), recipe(C, Gives())])
    wider = Gives((("text", b"y"), ("more", b"z")), (VarFile("text", secret=False), VarFile("more", secret=False)))
    new = v.make(project, [recipe(A, wider), recipe(B, Joins(), A), recipe(C, Gives())])
    assert new[B]["text"].public == "y+z"
    assert new[C] == old[C]
    assert v.pending(project) == new
