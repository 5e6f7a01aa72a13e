"""Opens channels to the service: message sizes, keep-alive, and retries of unary calls."""

from __future__ import annotations

import json
from pathlib import Path

import grpc

from service.errors import InvalidArgument

DEFAULT_ADDRESS = "127.0.0.1:8470"
DEFAULT_TIMEOUT = 30.0
"""Seconds that a unary call may take, retries included."""

# Calls that may be sent twice: the client gives every new job a request_id.
_UNARY = {
    "actionlens.v1.ExplanationService": ("ExplainClip", "ListModels", "GetModel"),
    "actionlens.v1.ExplanationJobService": ("CreateJob", "GetJob", "ListJobs", "ListJobClips", "CancelJob"),
}
# gRPC allows five attempts at most. With waits of about 0.3, 0.6, 1.2 and 2.4 s (jittered by gRPC) they outlast the
# restart of a worker. A stream is never repeated: its frames are gone.
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.3s",
    "maxBackoff": "5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_LARGEST = 64 * 2**20


def tls_credentials(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials for a service that speaks TLS.

    ca: authorities to trust, PEM; None: the well-known ones that gRPC brings. cert, key: who we are, PEM, where the
    service wants a certificate of its clients. Raises OSError, and InvalidArgument for one of the two alone.
    """
    if (cert is None) != (key is None):
        raise InvalidArgument("client_key: a client certificate and its key go together", field="client_key")
    pems = [path.read_bytes() if path is not None else None for path in (ca, key, cert)]
    return grpc.ssl_channel_credentials(*pems)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call that carry a token; none for ""."""
    return (("authorization", f"Bearer {token}"),) if token else ()


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """A channel for blocking calls, plain unless there are credentials. It connects with the first call."""
    if credentials is None:
        return grpc.insecure_channel(address, channel_options())
    return grpc.secure_channel(address, credentials, channel_options())


def channel_options() -> list[tuple[str, str | int]]:
    """gRPC channel options of every client."""
    names = [{"service": service, "method": method} for service, methods in _UNARY.items() for method in methods]
    config = {"methodConfig": [{"name": names, "retryPolicy": _RETRY}]}
    return [
        # The service says how much it takes; the client only bounds what it gets.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", _LARGEST),
        # A call is only repeated while all of its request is still held.
        ("grpc.per_rpc_retry_buffer_size", _LARGEST),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
