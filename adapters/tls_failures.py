"""Tell mistakes in the settings of TLS from a server that does not answer.

Libraries wrap the error of a failed handshake in errors of their own, or report its text alone. A
handshake that is cut short may succeed later; one that fails for the reasons here does not, until
the certificates, the address or the server are changed.
"""

from __future__ import annotations

import ssl

_REASONS = {
    "CERTIFICATE_VERIFY_FAILED": "the certificate of the server is not trusted",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS on this port",
    "UNSUPPORTED_PROTOCOL": "the server offers no version of TLS that is allowed here",
    "NO_PROTOCOLS_AVAILABLE": "the server offers no version of TLS that is allowed here",
    "UNKNOWN_CA": "the server does not trust the certificate of this client",
    "CERTIFICATE_REQUIRED": "the server asks for a certificate of this client",
}
"""What OpenSSL's names of permanent failures mean."""


def tls_mistake(error: BaseException | None) -> str | None:
    """What is wrong with TLS, from an error or one of its causes; ``None`` if it is not that."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error)
        for name, meaning in _REASONS.items():
            if name in text:
                return meaning
        if isinstance(error, ssl.SSLCertVerificationError) or "certificate verify failed" in text:
            return _REASONS["CERTIFICATE_VERIFY_FAILED"]
        error = error.__cause__ or error.__context__
    return None
