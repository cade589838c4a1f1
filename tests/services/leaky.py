"""A secret that passes through everything that could leak it: a function, a script, a setting and files."""

from collections.abc import Iterator, Mapping

from rolecall.service import (
    Context,
    File,
    Function,
    Member,
    Prompted,
    Script,
    Secret,
    SecretRef,
    Service,
    Settings,
    VarFile,
    parts,
    secret_file,
)

SCRIPT = """
set -x
echo $(cat $in/smtp/password) >&2
if [ -e /nothing ]; then :; fi
cat $in/smtp/password >$out/y
sleep 0.2
"""


class RelaySettings(Settings):
    password: SecretRef
    fail: bool = False


def broken(context: Context) -> Mapping[str, bytes]:
    if context.settings.fail:
        raise ValueError(context.inputs["smtp"]["password"].decode())
    return {"x": context.inputs["smtp"]["password"] * 2}


service = Service("mail", description="Sends mail.")
relay = service.role("relay", RelaySettings, description="Relays.")
smtp = relay.var("smtp", Prompted("password", "The password of the mail account"), accepted=True)
double = relay.var("double", Function(broken, (VarFile("x"),)), needs=[smtp])
shell = relay.var("shell", Script(SCRIPT, (VarFile("y"),)), needs=[smtp])


@relay.configure
def configure(me: Member[RelaySettings]) -> Iterator[File]:
    password, twice = me[smtp]["password"], me[double]["x"]
    assert isinstance(password, Secret)
    assert isinstance(twice, Secret)
    yield secret_file(password)
    yield secret_file(twice)
    yield File(me.path("conf"), parts("password = ", me.secret(me.settings.password), "\n", me[shell]["y"]))
