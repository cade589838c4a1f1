"""A TLS certificate and an SSH certificate that expire after DAYS."""

from rolecall.service import CertificateAuthority, Service, SSHHostCertificate, SSHKeyPair, TLSCertificate

DAYS = 60

service = Service("web", description="For tests.")
host = service.role("host", description="All.")
ca = host.var("ca", CertificateAuthority(), scope="shared")
tls = host.var("tls", TLSCertificate("ca", days=DAYS), needs=[ca])
pair = host.var("pair", SSHKeyPair())
signer = host.var("signer", SSHKeyPair(), scope="shared")
cert = host.var("cert", SSHHostCertificate("signer", "pair", days=DAYS), needs=[signer, pair])
