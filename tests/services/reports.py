"""A file, a check, and a report. The check fails without READY, or with the text `unready`; it sleeps as READY says."""

from collections.abc import Iterator

from rolecall.service import Check, File, Health, Member, Service, Settings

READY = "/run/ready"


class NodeSettings(Settings):
    text: str = "one"


service = Service("app", description="For tests.")
node = service.role("node", NodeSettings, description="For tests.")


@node.configure
def configure(me: Member[NodeSettings]) -> Iterator[File]:
    yield File("/etc/app.conf", me.settings.text)


@node.check
def check(_: Member[NodeSettings]) -> Iterator[Check]:
    ready = f"test -e {READY} && ! grep -q unready /etc/app.conf"
    script = f"{ready} || {{ echo not ready; exit 1; }}; test -s {READY} || exit 0; sleep $(cat {READY}) & wait"
    yield Check("is ready", ("sh", "-c", script), timeout=3)


@node.exports(Health)
def report(_: Member[NodeSettings]) -> Iterator[Health]:
    script = """printf '{"level": "ok", "text": "%s", "at": %s}' $(id -un) $(date +%s)"""
    yield Health(name="who", command=["sh", "-c", script], user="nobody", max_age=60)
