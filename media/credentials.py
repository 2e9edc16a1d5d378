"""Content Credentials (C2PA): a signed note in a file that says that it was made, and of what.

The key is this machine's own, made at first use: whoever reads the note sees that nothing was
changed since, not who signed it; a name that others trust needs a certificate that is bought.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError
from engine.files import begin, complete, make_folder, user_data
from engine.program import extra

FORMATS: Final = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".avif": "image/avif",
    ".tif": "image/tiff", ".tiff": "image/tiff",
}  # fmt: skip
"""what can carry the note, by suffix"""
EDIT: Final = "made with Mien: a face that was given another expression"
_KIND: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_KEY: Final = "credentials.pem"
_VALID: Final = datetime.timedelta(days=3650)


def check(path: Path) -> None:
    """Raises MienError where the note can't be made, or not in a file of this kind; before the long
    work, so that none is lost for it."""
    if importlib.util.find_spec("c2pa") is None:
        raise MienError(f"Content Credentials need c2pa-python; install it with {extra('c2pa')}")
    if path.suffix.lower() not in FORMATS:
        known = " ".join(FORMATS)
        kind = path.suffix or "a file without an ending"
        raise MienError(f"{kind} can't carry Content Credentials; name it {known}")
    _identity()


def sign(part: Path, path: Path, said: str, source: Path | None = None) -> None:
    """Put the note into the finished ``part`` of the file ``path``: ``said``, in plain words (""
    for an edited face), and, where its kind can be told, the file ``source`` that it was made of.
    Raises MienError."""
    check(path)
    import c2pa

    chain, key = _identity()
    signed = begin(path)
    parent = source if source is not None and source.suffix.lower() in FORMATS else None
    try:
        builder = c2pa.Builder.from_json(json.dumps(_manifest(path.name, said or EDIT, parent)))
        if parent is not None:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)  # it begins with what was opened
            ingredient = {"title": parent.name, "relationship": "parentOf", "instance_id": "source"}
            with parent.open("rb") as file:
                kind = FORMATS[parent.suffix.lower()]
                builder.add_ingredient(json.dumps(ingredient), kind, file)
        with part.open("rb") as taken, signed.open("w+b") as made:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
            builder.sign(signer, FORMATS[path.suffix.lower()], taken, made)
    except (c2pa.C2paError, OSError) as error:
        signed.unlink(missing_ok=True)
        raise MienError(f"{path} can't carry Content Credentials: {error}") from None
    except BaseException:
        signed.unlink(missing_ok=True)
        raise
    complete(signed, part)


def _manifest(title: str, said: str, parent: Path | None) -> dict[str, Any]:
    action = {
        "action": "c2pa.created" if parent is None else "c2pa.edited",
        "digitalSourceType": _KIND,
        "description": said,
        "softwareAgent": {"name": "Mien"},
    }
    return {
        "claim_generator_info": [{"name": "Mien"}],
        "title": title,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


def _identity() -> tuple[bytes, bytes]:
    """This machine's certificates and its key, as PEM; made at first use. Raises MienError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    path = user_data() / _KEY
    try:
        if not path.exists():
            make_folder(path.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_new_identity())
        text = path.read_bytes()
        chain = x509.load_pem_x509_certificates(text)
        key = serialization.load_pem_private_key(text, None)
        if chain[0].not_valid_after_utc < datetime.datetime.now(datetime.UTC):
            raise ValueError("it has expired")
    except (OSError, ValueError) as error:
        raise MienError(
            f"{path}: no usable key ({error}); remove the file to make a new one"
        ) from None
    pem = serialization.Encoding.PEM
    shape, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return b"".join(one.public_bytes(pem) for one in chain), key.private_bytes(pem, shape, plain)


def _new_identity() -> bytes:
    """A certificate, that of its issuer, and its key: C2PA takes none that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Mien"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        for name in ("Mien on somebody's machine", "somebody who uses Mien")
    )

    def certificate(name: Any, public: Any, authority: bool) -> Any:
        use = dict.fromkeys(
            (
                "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                "encipher_only", "decipher_only",
            ),
            False,
        )  # fmt: skip
        purpose = x509.KeyUsage(
            digital_signature=True, key_cert_sign=authority, crl_sign=authority, **use
        )
        made = (
            x509.CertificateBuilder(issuer, name, public, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(authority, 0 if authority else None), True)
            .add_extension(purpose, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
            )
        )
        if not authority:
            mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(mail, False)
        return made.sign(issuer_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    chain = [
        certificate(subject, key.public_key(), authority=False),
        certificate(issuer, issuer_key.public_key(), authority=True),
    ]
    shape, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret = key.private_bytes(pem, shape, plain)
    return b"".join([*(one.public_bytes(pem) for one in chain), secret])
