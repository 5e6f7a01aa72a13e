"""Principals of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.conftest import backend, serve, server
from tests.service.identity.people import People
from tests.service.jobs.conftest import _server, postgres

__all__ = ["_server", "backend", "people", "postgres", "serve", "server"]


@pytest.fixture
def people(tmp_path: Path) -> People:
    """Nobody yet."""
    return People(tmp_path / "principals.yaml", {})
