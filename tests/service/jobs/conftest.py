"""An engine over SQLite or PostgreSQL, and workers that end with the test."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from service.jobs.store.job_engine import DatabaseJobEngine
from service.settings import Settings
from tests.service.backends.requests import store as make_store
from tests.service.jobs.postgres import Postgres
from tests.service.jobs.workers import Worker, job_settings


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def settings(tmp_path: Path, store: Path) -> Settings:
    """Over SQLite."""
    return job_settings(tmp_path, store)


@pytest.fixture(scope="session")
def _server() -> Iterator[Postgres]:
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        yield server
        server.stop()


@pytest.fixture
def postgres(_server: Postgres) -> Postgres:
    """A running server with an empty database."""
    _server.empty()
    return _server


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path, store: Path) -> Settings:
    """Over SQLite, and again over PostgreSQL."""
    if request.param == "sqlite":
        return job_settings(tmp_path, store)
    server: Postgres = request.getfixturevalue("postgres")
    return job_settings(tmp_path, store, server.url)


@pytest.fixture
async def open_engine() -> AsyncIterator[Callable[[Settings], DatabaseJobEngine]]:
    """Starts engines that end with the test."""
    opened: list[DatabaseJobEngine] = []

    async def start(settings: Settings) -> DatabaseJobEngine:
        engine = DatabaseJobEngine(settings)
        opened.append(engine)
        await engine.start()
        return engine

    yield start
    for engine in opened:
        await engine.stop()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers that end with the test."""
    workers: list[Worker] = []

    def start(settings: Settings, version: str = "1") -> Worker:
        worker = Worker(settings, tmp_path / f"worker-{len(workers)}.log", version)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode().strip()
        pytest.skip(f"a small disk cannot be mounted: run as root with the capability SYS_ADMIN ({said})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
