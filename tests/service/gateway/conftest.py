"""A real service in this process's threads, and a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.settings import BackendName, Settings
from tests.conftest import absent
from tests.service.gateway.camera import write_camera
from tests.service.gateway.running import MODEL, PATIENCE, ROOT, Running, arguments, sample_frames

# As a person leaves it who uses it; about:blank has no storage.
_DRAWER_OPEN = (
    "location.protocol.startsWith('http') && !localStorage.getItem('drawer') && localStorage.setItem('drawer', 'open')"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model; modules may serve another."""
    store = tmp_path_factory.mktemp("store")
    shutil.copytree(ROOT / "model_store" / MODEL, store / MODEL)
    return store


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip that the webcam shows, over and over; modules may show something else."""
    return write_camera(tmp_path_factory.mktemp("camera") / "sample.y4m", sample_frames(), 25)


@pytest.fixture(scope="module")
def running(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service over the store, with jobs."""
    service = Running(
        Settings(
            port=0,
            metrics_port=0,
            page_port=0,
            model_store=store,
            backend=BackendName.IN_PROCESS,
            threads=1,
            data=tmp_path_factory.mktemp("data"),
            drain_seconds=2,
            jobs={"poll_seconds": 0.1, "threads": 1, "yield_seconds": 0.5},
        )
    )
    service.start()
    yield service
    service.close()


@pytest.fixture(scope="module")
def browser(camera: Path) -> Iterator[Browser]:
    """Chromium whose webcam shows a clip. Closed before other modules' tests: Playwright keeps an event loop
    running in this thread, beside which pytest-asyncio cannot start one."""
    program = shutil.which("chromium")
    if program is None:
        absent("chromium", "apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments(camera))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test on an uncaught error. Its content policy is off, for Playwright evaluates code."""
    context = browser.new_context(viewport={"width": 1400, "height": 1100}, bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(_DRAWER_OPEN)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors, errors
