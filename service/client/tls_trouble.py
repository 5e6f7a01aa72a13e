"""Says in plain words why a secured connection failed, and what to do about it."""

from __future__ import annotations

import socket
import ssl

_PROBE_SECONDS = 1.0
# What gRPC says of a failed handshake (BoringSSL's words), and what that means. The first that fits.
_MEANINGS = (
    ("WRONG_VERSION_NUMBER", "{address} does not speak TLS: leave --tls, --ca and --client-cert out"),
    ("certificate has expired", "the certificate of {address} has expired: its operator must renew it"),
    ("certificate is not yet valid", "the certificate of {address} is not valid yet: compare the clocks"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "the certificate of {address} is of an authority that is not trusted here: name the authority's file with --ca",
    ),
    (
        "Hostname Verification Check failed",
        "the certificate of {address} is for another name: call the service by the name that it is for, or have that "
        "name added to it",
    ),
)
_CLOSED = ("Socket closed", "Connection reset by peer", "Broken pipe")


def tls_trouble(message: str, address: str) -> str:
    """What a failed call has to do with TLS; "" for nothing. message: gRPC's own."""
    for sign, meaning in _MEANINGS:
        if sign in message:
            return meaning.format(address=address)
    # A port that speaks TLS closes a plain connection without a word, and one without the certificate that it wants.
    if any(sign in message for sign in _CLOSED) and _speaks_tls(address):
        return (
            f"{address} speaks TLS and has closed the connection: give --tls, or --ca with the authority's file; if "
            "that was given, it wants a certificate of its clients (--client-cert, --client-key)"
        )
    return ""


def _speaks_tls(address: str) -> bool:
    """Ask the port itself. Nothing is sent but a greeting, so the certificate need not be one to trust."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except (OSError, ValueError):
        return False
