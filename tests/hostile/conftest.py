"""The real server of the tests of the service, for those who mean it no good."""

from __future__ import annotations

from tests.service.conftest import backend, serve, server, stub

__all__ = ["backend", "serve", "server", "stub"]
