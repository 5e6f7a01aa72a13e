"""Says who calls: until somebody proves a name, the address of the other end."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Caller:
    """principal: to whom quotas belong. connection: one of the principal's connections."""

    principal: str
    connection: str


HERE = Caller("", "")
"""The service itself, which no quota binds."""

current: ContextVar[Caller] = ContextVar("caller", default=HERE)
"""Who is being answered in this task."""


def grpc_caller(peer: str) -> Caller:
    """Make the caller of a gRPC peer: "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711", "unix:"."""
    family, _, address = unquote(peer).partition(":")
    host = address.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else family
    return Caller(principal_of(host), peer)


def http_caller(client: tuple[str, int] | None) -> Caller:
    """Make the caller of an ASGI scope's `client`."""
    host, port = client or ("unix", 0)
    return Caller(principal_of(host), f"{host}:{port}")


def principal_of(host: str) -> str:
    """Return whose an address is: of an IPv6 network of 64 bits every host, since one customer has them all."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)
