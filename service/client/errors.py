"""Makes the service's domain errors of failed calls."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from service.errors import BY_CODE, ActionLensError

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
_WEB = "Trying to connect an http1.x server"
_CLOSED = ("Socket closed", "Connection reset by peer", "Broken pipe")


def from_rpc(error: grpc.RpcError, address: str) -> ActionLensError:
    """The error of a call as the domain error of its status code.

    code, message, reason, field and retry_after (seconds) come from the google.rpc details where the service sent
    them; a code without a class of its own is an ActionLensError that carries it. address: for the advice when
    nobody answers there.
    """
    code = error.code() or grpc.StatusCode.UNKNOWN
    message = error.details() or code.name
    reason, field, retry_after, rich = code.name, "", None, False
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason, rich = info.reason, True
            field = field or info.metadata.get("field", "")
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            field = bad.field_violations[0].field if bad.field_violations else field
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    if not rich:
        message, reason, field = _plain(code, message, address, reason)
    domain = BY_CODE.get(code, ActionLensError)(message, field=field, reason=reason, retry_after=retry_after)
    domain.code = code
    return domain


def _plain(code: grpc.StatusCode, message: str, address: str, reason: str) -> tuple[str, str, str]:
    """Message, reason and field of an error that gRPC itself made, with what to do about it."""
    if code is grpc.StatusCode.UNAVAILABLE and (trouble := _tls_trouble(message, address)):
        return f"{trouble} ({message})", "TLS_FAILED", ""
    if code is grpc.StatusCode.UNAVAILABLE and _WEB in message:
        return (
            f"{address} answers in HTTP/1: it is a port for browsers or Prometheus (8472 and 8471, if nothing else was "
            f"chosen); clients call the gRPC port, 8470 or ACTIONLENS_PORT ({message})",
            reason,
            "",
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"no ActionLens service answers at {address}: {message}; start one with `actionlens serve`", reason, ""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        advice = "send video files or JPEG frames instead of raw pixels, smaller frames, or fewer clips per job"
        return f"clip: the message is too large ({message}); {advice}", "MESSAGE_TOO_LARGE", "clip"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return (
            f"no answer from {address} in time; is it up (`actionlens health`)? else allow more with a longer timeout",
            reason,
            "",
        )
    return message, reason, ""


def _details(error: Any) -> list[Any]:
    try:
        status = rpc_status.from_call(error)
    except (ValueError, AttributeError):
        # Details that contradict the status, or an error that never was a call.
        return []
    return [] if status is None else list(status.details)


def _tls_trouble(message: str, address: str) -> str:
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
