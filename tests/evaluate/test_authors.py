"""Mistakes of service authors: each is told with the author's file and line, wherever their code runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolecall import pipeline
from rolecall.errors import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecall.project import Project

    MakeProject = Callable[..., Project]

HEAD = """
from dataclasses import dataclass
from functools import partial
from pydantic import Field, field_serializer, field_validator, model_validator
from rolecall.service import *
class A(Interface):
    text: str = ""
class S(Settings):
    word: str = "x"
service = Service("mine", description="For tests.")
one = service.role("one", S, description="One.")
@dataclass(frozen=True)
class Maker:
    files: tuple = (VarFile("text", secret=False),)
    def generate(self, context):
        return {"text": b"x"}
    def view(self, files):
        return files["text"]
"""
FIRST = HEAD.count("\n") + 1
INVENTORY = """
[machines]
a = {}
[instances.x]
module = { name = "mine", input = "self" }
roles.one.machines.a = { settings.word = "y" }
"""
RESOURCES = "resources such as File"
CONFIGURE = "mine, x.one on a: "

VIEW = """class V(Maker):
    def view(self, files):
        return files['none']
v = one.var('v', V())
@one.configure
def f(me):
    yield File('/x', me[v])"""

# What the module says below HEAD, the line of the mistake in that, and what is told.
AT_IMPORT = [
    ("@one.configure()\ndef f(me): yield", 1, "mine.one: configure: write `@role.configure` without parentheses"),
    ("@service.machine()\ndef f(us): yield", 1, "mine: machine: write `@service.machine` without parentheses"),
    ("@one.exports\ndef f(me): yield", 1, "mine.one: the export of f: write `@role.exports(INTERFACE)`, with the "),
    ("@one.exports(str)\ndef f(me): yield", 1, "mine.one: the export of str: str is not an interface"),
    ("@one.exports()\ndef f(me): yield", 1, "TypeError: Role.exports() missing 1 required positional argument"),
    ("@one.configure\nasync def f(me): return []", 1, "configure takes a plain function, but f is async"),
    ("@one.check(peers=True)\nasync def f(me): yield", 1, "check takes a plain function, but f is async"),
    ("@one.check()\ndef f(): yield", 1, "check takes a function of one argument, not f"),
    ("@one.check(5)\ndef f(me): yield", 1, "check takes a function of one argument, not 5"),
    ("\n@service.machine\ndef f(me, you): yield", 2, "machine takes a function of one argument, not f"),
    ("one.var('v', Maker(), validation=lambda: 1)", 1, "its validation takes a function of one argument"),
    ("one.var('v', Maker)", 1, "Maker is not a generator"),
    (
        "class Wrong(Maker):\n    def generate(self):\n        return {}\none.var('v', Wrong())",
        4,
        "the var 'v': generate of Wrong(files=(VarFile(name='text', secret=False),)) takes a function of one argument",
    ),
    ("one.var('v', Maker(), deliver={'key': Delivery()})", 1, "delivers an unknown file 'key'; its files are: text"),
    (
        "one.var('v', Maker(), deliver={'text': Delivery(mode=0o7777777)})",
        1,
        "delivers 'text': file /run/rolecall/secrets/x/text: mode ",
    ),
    ("one.var('v', Maker(), needs=['k'])", 1, "the var 'v' cannot need 'k': a step can read"),
    ("one.var('a b', Maker())", 1, "invalid name 'a b'"),
    (
        "one.var('v', Maker(), binds=True)",
        1,
        "the var 'v': binds must be a string about what would be lost, not True",
    ),
    ("service.role('one', description='')", 1, "mine declares the role 'one' twice"),
    ("class T(Settings):\n    n: int = 'x'\n    m: open", 1, "PydanticSchemaGenerationError: "),
    ("\n\nnothing", 3, "NameError: name 'nothing' is not defined"),
]
WHEN_RUN = [
    (
        "@one.configure\ndef f(me):\n    return None",
        1,
        f"{CONFIGURE}f returns None; it must yield {RESOURCES}, or return",
    ),
    (
        "@one.configure\ndef f(me):\n    return File('/x', '')",
        1,
        f"{CONFIGURE}f returns a File; it must yield {RESOURCES}",
    ),
    ("@one.configure\ndef f(me):\n    return 'text'", 1, f"{CONFIGURE}f returns a str; it must yield {RESOURCES}, or"),
    (
        "@one.configure\ndef f(me):\n    yield File('/x', '')\n    yield [File('/y', '')]",
        4,
        f"{CONFIGURE}f yields a list; it must yield {RESOURCES}; for a list write `yield from`",
    ),
    ("@one.configure\ndef f(me):\n    yield None", 3, f"{CONFIGURE}f yields None; it must yield {RESOURCES}"),
    ("@one.configure\ndef f(me):\n    yield 'x'", 3, f"{CONFIGURE}f yields a str; it must yield {RESOURCES}"),
    (
        "@one.configure\ndef f(me):\n    yield from [5]",
        3,
        f"{CONFIGURE}f yields an int; it must yield {RESOURCES}",
    ),
    (
        "@one.configure\ndef f(me):\n    return [5]",
        1,
        f"{CONFIGURE}f returns a list with an int; it must yield {RESOURCES}",
    ),
    ("one.configure(partial(lambda x, me: 5, 1))", 1, f"{CONFIGURE}partial returns an int; it must yield {RESOURCES}"),
    (
        "class Callable:\n    def __call__(self, me):\n        return 5\none.configure(Callable())",
        2,
        f"{CONFIGURE}Callable returns an int; it must yield {RESOURCES}",
    ),
    (
        "@one.check\ndef f(me):\n    yield ('true',)",
        3,
        f"{CONFIGURE}f yields a tuple; it must yield Check; for a list ",
    ),
    ("@one.check(peers=True)\ndef f(me):\n    yield 1 / 0", 3, f"{CONFIGURE}ZeroDivisionError: division by zero"),
    ("@one.check\ndef f(me):\n    yield Check('x\\ny', ())", 3, f"{CONFIGURE}check: 'x\\ny' "),
    (
        "@one.check\ndef f(me):\n    yield Check('x', ('true',), timeout=float('inf'))",
        3,
        f"{CONFIGURE}check x: timeout must be a whole number of seconds, at least 1",
    ),
    ("@one.check\ndef f(me):\n    yield Check('x', ())", 3, f"{CONFIGURE}check x: empty command"),
    ("import sys\n@one.configure\ndef f(me):\n    sys.exit(3)", 4, f"{CONFIGURE}SystemExit: 3"),
    ("@one.exports(A)\ndef f(me):\n    yield 5", 3, f"{CONFIGURE}f yields an int; it must yield A"),
    ("@one.exports(A)\ndef f(me):\n    return A()", 1, f"{CONFIGURE}f returns an A; it must yield A, or return a list"),
    ("@one.exports(A)\ndef f(me):\n    yield A(text=5)", 3, f"{CONFIGURE}A.text: Input should be a valid string"),
    ("@service.machine\ndef f(us):\n    yield us", 3, f"mine, mine on a: f yields a tuple; it must yield {RESOURCES}"),
    ("@service.machine\ndef f(us):\n    us.machine", 3, "mine, mine on a: AttributeError: 'tuple' object"),
    (
        "@one.configure\ndef f(me):\n    yield File('/x', me['v'])",
        3,
        f"{CONFIGURE}NotDeclaredError: 'v' is not a var: write `me[HANDLE]` with what `role.var(…)` returns",
    ),
    (
        VIEW,
        3,
        f"{CONFIGURE}KeyError: 'none'",
    ),
    (
        "def look(settings):\n    return {settings}\none.var('v', Maker(), validation=look)",
        1,
        "the validation of x.one: v: look returns a value that JSON cannot hold: Object of type set",
    ),
    (
        "def look(settings):\n    return float('inf')\none.var('v', Maker(), validation=look)",
        1,
        "the validation of x.one: v: look returns a value that JSON cannot hold: Out of range float values",
    ),
    (
        "def look(settings):\n    return settings.none\none.var('v', Maker(), validation=look)",
        2,
        "the validation of x.one: v: AttributeError: 'S' object has no attribute 'none'",
    ),
]
OF_GENERATORS = [
    ("        return None", 2, "made by Made, returns NoneType, not bytes by file name"),
    ("        yield b'x'", 2, "made by Made, returns generator, not bytes by file name"),
    ("        return {}", 2, "made by Made, lacks text"),
    ("        return {'text': b'', 'more': b''}", 2, "made by Made, has undeclared files: more"),
    ("        return {'text': 'x'}", 2, "made by Made, has no bytes in text"),
    ("        return {'text': b'\\xff'}", 2, "made by Made, has a public text that is not UTF-8 text"),
    ("        raise SystemExit", 3, "made by Made, failed with SystemExit"),
    ("        return {'text': context.none}", 3, "made by Made, failed with AttributeError"),
    ("        return {'text': context.inputs['k']}", 3, "made by Made, failed: this step reads the var 'k'"),
]
OF_SETTINGS = [
    (
        "    @field_validator('word')\n    @classmethod\n    def f(cls, word):\n        return {}[word]",
        5,
        "mine, the settings of x.roles.two: KeyError: 'y'",
    ),
    (
        "    @model_validator(mode='after')\n    def f(self):\n        return self.none",
        4,
        "mine, the settings of x.roles.two: AttributeError: 'T' object has no attribute 'none'",
    ),
    (
        "    @field_validator('word')\n    @classmethod\n    def f(cls, word):\n        raise SystemExit(word)",
        5,
        "mine, the settings of x.roles.two: SystemExit: y",
    ),
    ("    n: int = Field(default_factory=lambda: 1 / 0)", 2, "mine, the settings of x.roles.two: ZeroDivisionError: "),
    (
        "    @field_serializer('word')\n    def f(self, word):\n        return 1 / 0",
        1,
        "mine, the settings of x: T cannot be written as JSON: Error calling function `f`: ZeroDivisionError: ",
    ),
]


def told(project: Project) -> str:
    try:
        evaluation = pipeline.Workspace(project).evaluation()
        pipeline.as_json(evaluation.members)
    except Faults as error:
        return str(error).replace(f"{project.root}/", "")
    return ""


@pytest.mark.parametrize(("code", "line", "message"), AT_IMPORT)
def test_mistakes_at_import(make_project: MakeProject, code: str, line: int, message: str) -> None:
    said = told(make_project(INVENTORY, mine=HEAD + code + "\n"))
    assert f": modules/mine.py:{FIRST + line - 1}: " in said
    assert message in said
    assert "hint: this is a fault of the module, not of the inventory" in said


@pytest.mark.parametrize(("code", "line", "message"), WHEN_RUN)
def test_mistakes_while_functions_run(make_project: MakeProject, code: str, line: int, message: str) -> None:
    project = make_project(INVENTORY, mine=HEAD + code + "\n")
    said = told(project)
    assert message in said
    assert f"(modules/mine.py:{FIRST + line - 1})\n  at inventory.toml:4:12 instances.x\n" in said


@pytest.mark.parametrize(("body", "line", "message"), OF_GENERATORS)
def test_mistakes_of_generators(make_project: MakeProject, body: str, line: int, message: str) -> None:
    code = f"class Made(Maker):\n    def generate(self, context):\n{body}\none.var('v', Made())\n"
    said = told(make_project(INVENTORY, mine=HEAD + code))
    assert said.startswith(f"error: a/x.v (for x.one), {message}")
    assert f"  at modules/mine.py:{FIRST + line - 1}" in said


def test_a_function_that_makes_a_var_is_named_itself(make_project: MakeProject) -> None:
    code = "def make():\n    return {}\none.var('v', Function(make, (VarFile('text', secret=False),)))\n"
    said = told(make_project(INVENTORY, mine=HEAD + code))
    assert said.startswith(
        "error: a/x.v (for x.one), made by Function, failed with TypeError: make() takes 0 positional"
    )
    assert f"  at modules/mine.py:{FIRST}" in said


@pytest.mark.parametrize(("body", "line", "message"), OF_SETTINGS)
def test_mistakes_of_models(make_project: MakeProject, body: str, line: int, message: str) -> None:
    code = f"class T(S):\n{body}\nservice.role('two', T, description='')\n"
    said = told(make_project(INVENTORY.replace("roles.one", "roles.two"), mine=HEAD + code))
    assert said.startswith(f"error: {message}")
    assert f"(modules/mine.py:{FIRST + line - 1})\n  at inventory.toml:4:12 instances.x\n" in said


@pytest.mark.parametrize(
    ("decorator", "check", "peers"),
    [
        ("@one.check", "Check('x', ('true',))", False),
        ("@one.check()", "Check('x', ('true',))", False),
        ("@one.check", "Check('x', ('true',), peers=True)", True),
        ("@one.check(peers=True)", "Check('x', ('true',))", True),
        ("@one.check(peers=True)", "Check('x', ('true',), peers=True)", True),
        ("@one.check(peers=False)", "Check('x', ('true',), peers=True)", True),
    ],
)
def test_checks_that_need_peers(make_project: MakeProject, decorator: str, check: str, *, peers: bool) -> None:
    code = f"{decorator}\ndef f(me):\n    yield {check}\nassert f(None)\n"
    project = make_project(INVENTORY, mine=HEAD + code)
    [found] = pipeline.Workspace(project).evaluation().configured["a"].configuration.checks
    assert (found.name, found.peers) == ("x.one: x", peers)
