"""Certificates of the service's ports, read again when their files change."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from typing import Any

import grpc

from service.errors import Unavailable
from service.identity.watched_files import Stamp, stamp
from service.settings import TlsSettings
from service.telemetry.log import get_logger


class ServerTls:
    """The certificate that new connections get. Threads may share it: gRPC asks on threads of its own."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        """Raises Unavailable for files that cannot be read or do not fit together."""
        self._paths = (cert, key) if client_ca is None else (cert, key, client_ca)
        self._lock = threading.Lock()
        self._seen: Stamp = stamp(*self._paths)
        self._context, self._pems = self._read()

    @classmethod
    def of(cls, settings: TlsSettings) -> ServerTls | None:
        """What the settings name; None: no TLS. Raises Unavailable."""
        if settings.cert is None or settings.key is None:
            return None
        return cls(settings.cert, settings.key, settings.client_ca)

    @property
    def context(self) -> ssl.SSLContext:
        """The certificate as it is now, for one connection. What cannot be read leaves the one before in place."""
        with self._lock:
            now = stamp(*self._paths)
            if now != self._seen:
                self._seen = now
                try:
                    self._context, self._pems = self._read()
                    get_logger().info("the TLS certificate was read again", file=str(self._paths[0]))
                except Unavailable as error:
                    get_logger().error("the TLS certificate stays as it was", error=error.message)
            return self._context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Credentials of a gRPC port, which asks for the certificate at every connection."""
        served = self._context

        def fetch() -> Any:
            nonlocal served
            now = self.context
            if now is served:
                return None
            served = now
            return self._configuration()

        wanted = len(self._paths) > 2
        return grpc.dynamic_ssl_server_credentials(self._configuration(), fetch, require_client_authentication=wanted)

    def http_context(self) -> ssl.SSLContext:
        """A context for an asyncio server, which makes every connection by the certificate of its time."""
        return _Following(self)

    def _configuration(self) -> Any:
        cert, key, client_ca = self._pems
        return grpc.ssl_server_certificate_configuration([(key, cert)], client_ca)

    def _read(self) -> tuple[ssl.SSLContext, tuple[bytes, bytes, bytes | None]]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._paths[0], self._paths[1], password=_no_password)
            if len(self._paths) > 2:
                context.load_verify_locations(self._paths[2])
                context.verify_mode = ssl.CERT_REQUIRED
            pems = [path.read_bytes() for path in self._paths]
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            names = ", ".join(str(path) for path in self._paths)
            raise Unavailable(
                f"TLS: {names}: {error}; ACTIONLENS_TLS__CERT, __KEY and __CLIENT_CA name PEM files that fit together",
                reason="TLS_UNREADABLE",
            ) from None
        return context, (pems[0], pems[1], pems[2] if len(pems) > 2 else None)


class _Following(ssl.SSLContext):
    """Makes each connection from another context: asyncio takes one context for good."""

    _tls: ServerTls

    def __new__(cls, tls: ServerTls) -> _Following:
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made._tls = tls
        return made

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """As SSLContext."""
        return self._tls.context.wrap_bio(*arguments, **options)


def _no_password() -> str:
    """Without this, OpenSSL would ask on the terminal."""
    raise ValueError("the key has a password; remove it (openssl pkey) and protect the file instead")
