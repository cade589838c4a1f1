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

__all__ = [
    "AgeKeyPair",
    "Certificate",
    "CertificateAuthority",
    "KeyPair",
    "Passphrase",
    "Password",
    "PasswordWithHash",
    "RandomBytes",
    "SSHCertificate",
    "SSHHostCertificate",
    "SSHKeyPair",
    "SecretText",
    "TLSCertificate",
    "WireGuardKeyPair",
]
