"""Everything a service author needs, and the whole of it. `docs/how-to/write-a-service.md` teaches it.

A module is a Python package or file with a `Service`; shipped services use nothing but these names.
"""

from rolecall.model.addresses import HostAddress
from rolecall.model.exports import Exported, Interface
from rolecall.model.generators import Context, Generator, Prompt
from rolecall.model.recipes import Delivery
from rolecall.model.vars import VarFile
from rolecall.service.contract import NoSettings, Role, Service
from rolecall.service.declarations import ContractError
from rolecall.service.generators import (
    AgeKeyPair,
    Certificate,
    CertificateAuthority,
    Function,
    KeyPair,
    Passphrase,
    Password,
    PasswordWithHash,
    Prompted,
    RandomBytes,
    Script,
    SecretText,
    SSHCertificate,
    SSHHostCertificate,
    SSHKeyPair,
    TLSCertificate,
    WireGuardKeyPair,
)
from rolecall.service.handles import Var
from rolecall.service.hosts import host_and_port, known_hosts
from rolecall.service.interfaces import Backups, Health, Network, OpenPort, State
from rolecall.service.machine_parts import apt_repository, hosts, locale, mount_unit, nftables_table, time_zone
from rolecall.service.member import Member
from rolecall.service.settings import (
    AbsolutePath,
    CalendarEvent,
    FreeForm,
    SecretRef,
    Settings,
    join,
    lines,
    replace,
    unique,
)
from rolecall.service.units import service_unit, timer_unit
from rolecall_agent.configuration import Check
from rolecall_agent.content import Secret, parts
from rolecall_agent.resources import (
    Action,
    AuthorizedKey,
    Block,
    Directory,
    File,
    Group,
    Hostname,
    KernelModule,
    NftablesTable,
    Package,
    Reboot,
    Resource,
    Symlink,
    Sysctl,
    Unit,
    User,
)
from rolecall_agent.resources.file import secret_file
from rolecall_agent.resources.unit import exec_line, unit_text

__all__ = [
    "AbsolutePath",
    "Action",
    "AgeKeyPair",
    "AuthorizedKey",
    "Backups",
    "Block",
    "CalendarEvent",
    "Certificate",
    "CertificateAuthority",
    "Check",
    "Context",
    "ContractError",
    "Delivery",
    "Directory",
    "Exported",
    "File",
    "FreeForm",
    "Function",
    "Generator",
    "Group",
    "Health",
    "HostAddress",
    "Hostname",
    "Interface",
    "KernelModule",
    "KeyPair",
    "Member",
    "Network",
    "NftablesTable",
    "NoSettings",
    "OpenPort",
    "Package",
    "Passphrase",
    "Password",
    "PasswordWithHash",
    "Prompt",
    "Prompted",
    "RandomBytes",
    "Reboot",
    "Resource",
    "Role",
    "SSHCertificate",
    "SSHHostCertificate",
    "SSHKeyPair",
    "Script",
    "Secret",
    "SecretRef",
    "SecretText",
    "Service",
    "Settings",
    "State",
    "Symlink",
    "Sysctl",
    "TLSCertificate",
    "Unit",
    "User",
    "Var",
    "VarFile",
    "WireGuardKeyPair",
    "apt_repository",
    "exec_line",
    "host_and_port",
    "hosts",
    "join",
    "known_hosts",
    "lines",
    "locale",
    "mount_unit",
    "nftables_table",
    "parts",
    "replace",
    "secret_file",
    "service_unit",
    "time_zone",
    "timer_unit",
    "unique",
    "unit_text",
]
