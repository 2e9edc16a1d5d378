"""Certificates between a front and its workers: made for one run, known by their fingerprint."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.errors import MienError

_DAYS: Final = 30


@dataclass(frozen=True)
class Certificate:
    """Two PEM files, and the SHA-256 of the certificate in hexadecimal."""

    cert: str
    key: str
    fingerprint: str

    @classmethod
    def read(cls, cert: str, key: str) -> Certificate:
        """One that is there. Raises MienError."""
        try:
            first = x509.load_pem_x509_certificates(Path(cert).read_bytes())[0]
        except (OSError, ValueError, IndexError) as error:
            raise MienError(f"{cert} can't be read as a certificate: {error}") from None
        return cls(cert, key, _fingerprint(first))

    @classmethod
    def made(cls, folder: Path, address: str) -> Certificate:
        """A new one that nobody but the front has to trust."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mien worker")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=_DAYS))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
            )
            .sign(key, hashes.SHA256())
        )
        places = folder / "worker.crt", folder / "worker.key"
        places[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        places[1].touch(mode=0o600)
        places[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cls(str(places[0]), str(places[1]), _fingerprint(made))


def _fingerprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
