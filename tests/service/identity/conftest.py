"""Principals of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.conftest import backend, serve, server
from tests.service.identity.people import People

__all__ = ["backend", "people", "serve", "server"]


@pytest.fixture
def people(tmp_path: Path) -> People:
    """Nobody yet."""
    return People(tmp_path / "principals.yaml", {})
