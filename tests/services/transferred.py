"""Vars of every form that another project can import: secret, public, shared, made from another, and binary."""

from collections.abc import Mapping

from rolecall.service import Context, Function, Passphrase, Service, SSHKeyPair, VarFile


def shorten(context: Context) -> Mapping[str, bytes]:
    return {"text": context.inputs["word"]["passphrase"][:4]}


service = Service("web", description="For tests.")
host = service.role("host", description="All.")
pair = host.var("pair", SSHKeyPair())
word = host.var("word", Passphrase(), scope="shared")
made = host.var("made", Function(shorten, (VarFile("text", secret=False),)), needs=[word])
raw = host.var("raw", Function(lambda _: {"raw": bytes(range(256))}, (VarFile("raw"),)))
