"""Prompts: shown once, together, before anything is made; answered from a file without a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import services
from rolecall import vars as v
from rolecall.errors import Faults
from rolecall.model.generators import Prompt
from rolecall.model.recipes import Recipe
from rolecall.model.vars import VarFile, VarKey
from rolecall.service import Function, Passphrase, Prompted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rolecall.model.generators import Question
    from rolecall.project import Project

SMTP = Prompted("password", "The password of the mail account")
TOKEN = Function(
    lambda context: {"token": b"<" + context.prompts["seed"] + b">"},
    (VarFile("token"),),
    (Prompt("seed", "Anything", "line"),),
)
JON, SARA = VarKey("jon", "mail.smtp"), VarKey("sara", "mail.token")
RECIPES = [
    Recipe(JON, SMTP, "mail.relay"),
    Recipe(SARA, TOKEN, "mail.relay"),
    Recipe(VarKey("", "word"), Passphrase(), "mail.relay"),
]


class Person:
    """Answers, and records the questions."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    def __call__(self, questions: Sequence[Question]) -> Mapping[Question, bytes]:
        self.asked.append([str(question) for question in questions])
        return {question: self.answers.pop(0).encode() for question in questions}


def test_all_prompts_are_shown_together_and_stored_if_a_file_has_their_name(project: Project) -> None:
    person = Person("s3cret", "seed")
    project = replace(project, asker=person)
    v.make(project, RECIPES)
    assert person.asked == [["jon/mail.smtp/password", "sara/mail.token/seed"]]
    assert v.decrypt(project, [(JON, "password"), (SARA, "token")]) == {
        (JON, "password"): b"s3cret",
        (SARA, "token"): b"<seed>",
    }
    v.make(project, RECIPES)
    assert len(person.asked) == 1
    texts = b"".join(path.read_bytes() for path in project.root.rglob("*") if path.is_file())
    assert b"seed" not in texts
    assert b"s3cret" not in texts


def test_without_answers_nothing_is_made_and_every_prompt_is_named(project: Project) -> None:
    with pytest.raises(Faults) as caught:
        v.make(project, RECIPES)
    assert [fault.message for fault in caught.value.faults] == [
        "cannot prompt for jon/mail.smtp/password (The password of the mail account): not a terminal",
        "cannot prompt for sara/mail.token/seed (Anything): not a terminal",
    ]
    assert v.pending(project) == {}


INVENTORY = """
[machines.jon]
deploy.targetHost = "dir:targets/jon"
[instances.mail]
module.input = "self"
roles.relay.machines.jon = {}
"""
ANSWERS = {"jon/mail.smtp/password": "s3cret", "jon/mail.mark/name": "abc"}


@pytest.fixture
def mail(project: Project) -> Project:
    services.install(project.root, "prompts", module="mail")
    (project.root / "inventory.toml").write_text(INVENTORY)
    return project


def rolecall(project: Project, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "rolecall", "--no-sandbox", "-C", str(project.root), *words]
    return subprocess.run(
        argv, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_without_a_terminal_answers_come_from_a_file_or_the_environment(mail: Project, tmp_path: Path) -> None:
    done = rolecall(mail, "vars", "generate")
    assert done.returncode == 1
    assert "cannot prompt for jon/mail.smtp/password (The password of the mail account): not a terminal" in done.stderr
    assert "cannot prompt for jon/mail.mark/name (Its name): not a terminal" in done.stderr
    (tmp_path / "answers.json").write_text('{"jon/mail.smtp/password": 5}')
    done = rolecall(mail, "--answers", str(tmp_path / "answers.json"), "plan")
    assert "the answers must be an object of strings in JSON" in done.stderr
    done = rolecall(mail, "plan", ROLECALL_ANSWERS=json.dumps({"jon/mail.smtp/password": "s3cret"}))
    assert (done.returncode, done.stderr.count("cannot prompt for")) == (1, 1)
    (tmp_path / "answers.json").write_text(json.dumps(ANSWERS))
    done = rolecall(mail, "--answers", str(tmp_path / "answers.json"), "plan")
    assert done.returncode == 0, done.stderr
    done = rolecall(mail, "update", "--yes")
    assert done.returncode == 0, done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    root = mail.root / "targets/jon"
    assert (root / "run/rolecall/secrets/mail.smtp/password").read_text() == "s3cret"
    assert next(root.glob("etc/rolecall/mail/mark")).read_text() == "ABC"


@pytest.mark.slow
def test_prompts_are_shown_at_a_terminal(mail: Project) -> None:
    argv = [sys.executable, "-m", "rolecall", "--no-sandbox", "-C", str(mail.root), "vars", "generate"]
    person, terminal = pty.openpty()
    with subprocess.Popen(argv, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as process:
        os.close(terminal)
        output = b""
        for waited, typed in ((b"account: ", b"s3cret"), (b"confirmation: ", b"s3cret"), (b"Its name: ", b"abc")):
            while waited not in output:
                output += os.read(person, 1000)
            os.write(person, typed + b"\n")
            output = output.replace(waited, b"")
        while True:
            try:
                output += os.read(person, 1000)
            except OSError:  # as Linux tells of the other end's close
                break
    assert process.returncode == 0, output
    assert b"2 prompts to answer:" in output
    assert b"s3cret" not in output
    assert v.decrypt(mail, [(VarKey("jon", "mail.smtp"), "password")]) == {
        (VarKey("jon", "mail.smtp"), "password"): b"s3cret"
    }
