"""Ready-made generators: keys, passwords, certificates. Any frozen dataclass of the shape of `Generator` is another."""

from rolecall.service.generators.certificates import (
    Certificate,
    CertificateAuthority,
    SSHCertificate,
    SSHHostCertificate,
    TLSCertificate,
)
from rolecall.service.generators.keys import AgeKeyPair, KeyPair, SSHKeyPair, WireGuardKeyPair
from rolecall.service.generators.passwords import Passphrase, Password, PasswordWithHash, RandomBytes, SecretText
from rolecall.service.generators.programs import Function, Script
from rolecall.service.generators.prompts import Prompted

__all__ = [
    "AgeKeyPair",
    "Certificate",
    "CertificateAuthority",
    "Function",
    "KeyPair",
    "Passphrase",
    "Password",
    "PasswordWithHash",
    "Prompted",
    "RandomBytes",
    "SSHCertificate",
    "SSHHostCertificate",
    "SSHKeyPair",
    "Script",
    "SecretText",
    "TLSCertificate",
    "WireGuardKeyPair",
]
