"""DTLS with peers of either kind of certificate: aiortc offers cipher suites for ECDSA alone."""

from __future__ import annotations

from functools import cache
from typing import Any

from nodes.web.private import get_private

# Forward-secret AEAD suites first; the two of RFC 8827 (6.5) with SHA-1 MACs for old peers last.
SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
)


def accept_rsa(connection: Any) -> None:
    """Let ``connection`` speak to peers whose certificate is RSA, as GStreamer's is.

    The answerer is the DTLS client, and the server's certificate decides which suites are left.
    """
    for certificate in get_private(connection, "certificates"):
        certificate.__class__ = _certificate()


@cache
def _certificate() -> type:
    from aiortc import RTCCertificate

    class Certificate(RTCCertificate):
        def _create_ssl_context(self, srtp_profiles: Any) -> Any:
            context = super()._create_ssl_context(srtp_profiles)
            context.set_cipher_list(SUITES.encode())
            return context

    return Certificate
