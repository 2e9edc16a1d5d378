"""Whom TLS trusts: the system's authorities, and whose certificate $SSL_CERT_FILE names."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_HASHED: Final = re.compile(r"[0-9a-f]{8}\.\d+")
_MENDS: Final = {
    10: "renew it there",  # expired
    62: "use the name that it is for",
    64: "use the address that it is for",
}
"""by OpenSSL's X509_V_ERR_..."""


def reason(error: Exception) -> str:
    """Why a server can't be reached, without its address."""
    error = getattr(error, "certificate_error", getattr(error, "os_error", error))  # aiohttp's own
    if isinstance(error, ssl.SSLCertVerificationError):
        mend = _MENDS.get(error.verify_code, "SSL_CERT_FILE=FILE trusts it, or who signed it")
        return f"its certificate isn't trusted: {error.verify_message}; {mend}"
    if isinstance(error, ssl.SSLError):
        return "it doesn't speak TLS"
    number = getattr(error, "errno", None) or 0
    words = os.strerror(number) if number > 0 else getattr(error, "strerror", None)
    return str(words or "it can't be reached").lower()


def untrusted(host: str, port: int, within_s: float) -> str:
    """Why TLS with a server doesn't come about, or "" where it does, or where nobody is there."""
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), within_s) as line,
            context.wrap_socket(line, server_hostname=host),
        ):
            return ""
    except ssl.SSLError as error:
        return reason(error)
    except OSError:
        return ""


@contextmanager
def authorities() -> Iterator[str]:
    """A file of all that Python's own TLS trusts, for who takes one file (PEM); gone at the end."""
    paths = ssl.get_default_verify_paths()
    files = [Path(paths.cafile)] if paths.cafile else []
    if paths.capath:
        files += [file for file in Path(paths.capath).iterdir() if _HASHED.fullmatch(file.name)]
    parts = []
    for file in files:
        with contextlib.suppress(OSError):  # a link to nothing: Python leaves it out, too
            parts.append(file.read_bytes())
    for one in ssl.create_default_context().get_ca_certs(binary_form=True):  # no files there
        parts.append(ssl.DER_cert_to_PEM_cert(one).encode())
    with TemporaryDirectory(prefix="mien-trust") as folder:
        file = Path(folder) / "authorities.pem"
        file.write_bytes(b"\n".join(dict.fromkeys(parts)))
        yield str(file)
