"""Certificates of TLS (RFC 5280) and SSH (OpenSSH's PROTOCOL.certkeys), signed by an authority that is a var too."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.errors import fault
from rolecall.model.vars import VarFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cryptography import x509

    from rolecall.model.generators import Context, Validity
    from rolecall.model.vars import Values
    from rolecall_agent.content import Secret

    Names = Callable[[Context], Iterable[str]]
    """The host names and addresses that a certificate is for."""

_SIGNED = (VarFile("key"), VarFile("certificate", secret=False))
_TOLERANCE = dt.timedelta(hours=1)  # a machine whose clock is late takes it too


def _of_the_machine(context: Context) -> Iterable[str]:
    return [context.key.machine]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as service code sees it: its key by reference, itself as text (PEM)."""

    key: Secret
    certificate: str


@dataclass(frozen=True, slots=True)
class SSHCertificate:
    """A certificate of an SSH key as service code sees it: one line of text."""

    certificate: str


def _view(files: Mapping[str, str | Secret]) -> Certificate:
    key = files["key"]
    assert not isinstance(key, str)  # noqa: S101 - `files` says so
    return Certificate(key, str(files["certificate"]))


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A key (P-256) and a certificate of its own that sign those of servers and clients.

    Attributes:
        days: How long it is valid.
    """

    days: int = 3650
    files: tuple[VarFile, ...] = _SIGNED

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Generate both; the var's name is the subject."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, str(context.key)[:64])])
        public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        usage = x509.KeyUsage(
            key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        builder = (
            _builder(subject, subject, key.public_key(), self.days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(public, critical=False)
        )
        return {"key": _pem(key), "certificate": _text(builder.sign(key, hashes.SHA256()))}

    def view(self, files: Mapping[str, str | Secret]) -> Certificate:
        """Return the key by reference, the certificate as text."""
        return _view(files)

    def validity(self, public: Mapping[str, str]) -> Validity:
        """Return the validity of the certificate."""
        return _validity(public)

    def verify(self, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:  # noqa: ARG002 - the contract's form
        """Check that the certificate is of its key."""
        return _misfit(values)


@dataclass(frozen=True, slots=True)
class TLSCertificate:
    """A key (P-256) and a certificate for servers and clients, signed by an authority.

    Attributes:
        authority: The name of a `CertificateAuthority` var that this var needs.
        names: The names and addresses that it is for; by default the machine's name.
        days: How long it is valid.
    """

    authority: str
    names: Names = _of_the_machine
    days: int = 365
    files: tuple[VarFile, ...] = _SIGNED

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Generate both.

        Raises:
            Faults: When it has no names, or there is not exactly one authority.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509.oid import ExtendedKeyUsageOID

        signer = _authority(context, self.authority)
        issuer = x509.load_pem_x509_certificate(signer["certificate"])
        issuer_key = load_pem_private_key(signer["key"], None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)  # noqa: S101 - `CertificateAuthority` makes these
        key = ec.generate_private_key(ec.SECP256R1())
        names = _names(context, self.names)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        known = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = (
            _builder(subject, issuer.subject, key.public_key(), self.days)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(known, critical=False)
        )
        return {"key": _pem(key), "certificate": _text(builder.sign(issuer_key, hashes.SHA256()))}

    def view(self, files: Mapping[str, str | Secret]) -> Certificate:
        """Return the key by reference, the certificate as text."""
        return _view(files)

    def validity(self, public: Mapping[str, str]) -> Validity:
        """Return the validity of the certificate."""
        return _validity(public)

    def verify(self, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:
        """Check that the certificate is of its key, and signed by its authority unless it names another issuer."""
        return _misfit(values, inputs.get(self.authority, ()))


@dataclass(frozen=True, slots=True)
class SSHHostCertificate:
    """A certificate with which SSH clients trust a host without knowing its key; see ssh-keygen(1), CERTIFICATES.

    Attributes:
        authority: The name of an `SSHKeyPair` var that this var needs, whose key signs.
        key: The name of an `SSHKeyPair` var that this var needs: the host's.
        names: The names and addresses that it is for; by default the machine's name.
        days: How long it is valid.
    """

    authority: str
    key: str
    names: Names = _of_the_machine
    days: int = 365
    files: tuple[VarFile, ...] = (VarFile("certificate", secret=False),)

    def generate(self, context: Context) -> Mapping[str, bytes]:
        """Generate the certificate.

        Raises:
            Faults: When it has no names, or there is not exactly one authority.
        """
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

        signer = form.load_ssh_private_key(_authority(context, self.authority)["private"], None)
        host = form.load_ssh_public_key(context.inputs[self.key]["public"])
        assert isinstance(signer, Ed25519PrivateKey)  # noqa: S101 - `SSHKeyPair` makes these
        assert isinstance(host, Ed25519PublicKey)  # noqa: S101 - as above
        names = _names(context, self.names)
        now = dt.datetime.now(dt.UTC)
        certificate = (
            form.SSHCertificateBuilder()
            .public_key(host)
            .type(form.SSHCertificateType.HOST)
            .serial(0)
            .key_id(str(context.key).encode())
            .valid_principals([name.encode() for name in names])
            .valid_after(int((now - _TOLERANCE).timestamp()))
            .valid_before(int((now + dt.timedelta(days=self.days)).timestamp()))
            .sign(signer)
        )
        return {"certificate": certificate.public_bytes() + b"\n"}

    def view(self, files: Mapping[str, str | Secret]) -> SSHCertificate:
        """Return the certificate as text."""
        return SSHCertificate(str(files["certificate"]).strip())

    def validity(self, public: Mapping[str, str]) -> Validity:
        """Return the validity of the certificate."""
        from cryptography.hazmat.primitives.serialization import SSHCertificate as Parsed
        from cryptography.hazmat.primitives.serialization import load_ssh_public_identity

        parsed = load_ssh_public_identity(public["certificate"].strip().encode())
        assert isinstance(parsed, Parsed)  # noqa: S101 - `generate` makes these
        return dt.datetime.fromtimestamp(parsed.valid_after, dt.UTC), dt.datetime.fromtimestamp(
            parsed.valid_before, dt.UTC
        )

    def verify(self, values: Values, inputs: Mapping[str, Sequence[Values]]) -> str:
        """Check that it certifies the host's key and is signed by the authority's key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import serialization as form

        try:
            parsed = form.load_ssh_public_identity(values["certificate"].strip())
            if not isinstance(parsed, form.SSHCertificate):
                return "its certificate is only a key"
            parsed.verify_cert_signature()
        except (ValueError, InvalidSignature):
            return "its certificate cannot be read"
        try:
            signers, hosts = (
                [form.load_ssh_public_key(each["public"].strip()) for each in inputs.get(name, ())]
                for name in (self.authority, self.key)
            )
        except ValueError:
            return f"the public key of {self.authority} or {self.key} cannot be read"
        if hosts and parsed.public_key() not in hosts:
            return f"its certificate belongs to another key than {self.key}"
        return (
            ""
            if not signers or parsed.signature_key() in signers
            else f"its certificate is not signed by {self.authority}"
        )


def _validity(public: Mapping[str, str]) -> Validity:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(public["certificate"].encode())
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _misfit(values: Values, authorities: Sequence[Values] = ()) -> str:
    """Return why a key and its certificate do not match; "" if they do."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(values["certificate"])
    except ValueError:
        return "its certificate cannot be read"
    if "key" in values:
        try:
            key = load_pem_private_key(values["key"], None)
        except (ValueError, TypeError):
            return "its key cannot be read"
        if key.public_key() != certificate.public_key():
            return "its certificate belongs to another key"
    try:
        signers = [x509.load_pem_x509_certificate(each["certificate"]) for each in authorities]
    except ValueError:
        return "the certificate of its authority cannot be read"
    for signer in [each for each in signers if each.subject == certificate.issuer]:
        try:
            certificate.verify_directly_issued_by(signer)
        except (InvalidSignature, ValueError, TypeError):
            return "its certificate is not signed by the authority that is stored now"
    return ""


def _authority(context: Context, name: str) -> Values:
    """Return the values of the authority: a var of the member itself, or of the one member of another role."""
    if name in context.inputs:
        return context.inputs[name]
    found = context.peers[name]
    if len(found) != 1:
        machines = ", ".join(sorted(found)) or "no machine"
        raise fault(
            f"exactly one machine must have {name} to sign, not: {machines}", hint="give its role to one machine"
        )
    return next(iter(found.values()))


def _names(context: Context, names: Names) -> list[str]:
    found = list(dict.fromkeys(names(context)))
    if not found:
        raise fault("the certificate has no names")
    return found


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(subject: x509.Name, issuer: x509.Name, public: object, days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)  # type: ignore[arg-type]  # one of the library's key types
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _TOLERANCE)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _pem(key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())  # type: ignore[attr-defined, no-any-return]


def _text(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)
