"""Something of everything that `rolecall services show` prints."""

from rolecall.service import Interface, Passphrase, Service, Settings, SSHKeyPair


class Name(Interface):
    """What one is called.

    And why.
    """

    text: str


class Greets(Settings):
    words: list[str] = []


service = Service("hello", description="Greets.", maximum_instances=1)
host = service.role("host", description="Is at home.", minimum=1, maximum=1)
guest = service.role("guest", Greets, description="Comes.", excludes=[host])
key = host.var("key", SSHKeyPair())
badge = guest.var("badge", Passphrase(), needs=[key, Name])
host.exports(Name, needs=[key])(lambda _: [])
