"""Says by which names the service may be called, so that no foreign name is made to mean it (DNS rebinding)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit


class AllowedHosts:
    """Names that may stand in a Host header: those of loopback, the address that is listened on, what is configured.

    A number is no name that a foreign site could have, so where the service listens on more than loopback every number
    may stand there but the unspecified one.
    """

    def __init__(self, listening: str, names: Iterable[str]) -> None:
        """listening: address or name that the ports are opened on. names: "explain.example", "*.example", or "*"."""
        self._names = {name.lower().rstrip(".") for name in names}
        self._loopback_only = _is_loopback(listening)
        if not _is_number(listening):
            self._names.add(listening.lower())

    def allows(self, header: str) -> bool:
        """Say whether a Host header ("localhost:8472", "[::1]") names this service."""
        if "*" in self._names:
            return True
        try:
            host = urlsplit(f"//{header}").hostname
        except ValueError:
            return False
        host = (host or "").rstrip(".")
        if not host:
            return False
        if _is_number(host):
            return _is_loopback(host) or host in self._names or not (self._loopback_only or _is_unspecified(host))
        return host == "localhost" or host in self._names or any(f"*{host[dot:]}" in self._names for dot in _dots(host))


def _dots(host: str) -> Iterable[int]:
    return (place for place, letter in enumerate(host) if letter == ".")


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_number(host) and ip_address(host).is_loopback)


def _is_unspecified(host: str) -> bool:
    return ip_address(host).is_unspecified
