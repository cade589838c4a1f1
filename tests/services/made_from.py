"""A var that is generated from another var and a setting, and regenerated when either changes."""

from collections.abc import Mapping

from rolecall.service import Context, Function, Passphrase, Service, Settings, VarFile

FILES = ["value"]


class HostSettings(Settings):
    name: str = "one"


def make(context: Context) -> Mapping[str, bytes]:
    value = context.settings.name.encode() + b"-" + context.inputs["source"]["passphrase"]
    return dict.fromkeys(FILES, value)


service = Service("disk", description="For tests.")
host = service.role("host", HostSettings, description="Has vars.")
source = host.var("source", Passphrase())
made = host.var(
    "made",
    Function(make, tuple(VarFile(file) for file in FILES)),
    needs=[source],
    validation=lambda settings: settings.name,
    accepted=True,
)
