"""By which names the service may be called."""

from __future__ import annotations

import pytest

from service.ingress.hosts import AllowedHosts

LOOPBACK = ("localhost", "localhost:8472", "LOCALHOST", "127.0.0.1:8472", "[::1]:8472", "127.0.0.2", "localhost.")
FOREIGN = ("rebound.example", "127.0.0.1.rebound.example", "localhost.rebound.example", "", "[::1", "0.0.0.0", "[::]")


@pytest.mark.parametrize("listening", ["127.0.0.1", "localhost", "::1", "127.0.0.2", "0.0.0.0", "::", "192.0.2.1"])
def test_wherever_it_listens_foreign_names_are_refused(listening: str) -> None:
    hosts = AllowedHosts(listening, ())
    assert [name for name in LOOPBACK if not hosts.allows(name)] == []
    assert [name for name in FOREIGN if hosts.allows(name)] == []
    local = listening in ("127.0.0.1", "localhost", "::1", "127.0.0.2")
    assert hosts.allows("192.0.2.1:8472") is not local


def test_what_is_configured_is_allowed() -> None:
    hosts = AllowedHosts("0.0.0.0", ("Explain.example", "*.cluster.local"))
    assert hosts.allows("explain.example:8472")
    assert hosts.allows("a.b.cluster.local")
    assert not hosts.allows("cluster.local")
    assert not hosts.allows("evilcluster.local")
    assert not hosts.allows("other.explain.example")
    assert AllowedHosts("explain.example", ()).allows("explain.example")
    assert AllowedHosts("127.0.0.1", ("*",)).allows("rebound.example")
