"""Pictures of the page's states, to be looked at: python -m tests.page.screenshots FOLDER.

Starts a service over the bundled model and a Chromium whose webcam shows the sample clip.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.settings import BackendName, Settings
from tests.page.camera import write_camera
from tests.page.running import PATIENCE, Running, arguments, sample_frames

DESKTOP = {"width": 1400, "height": 1000}
PHONE = {"width": 390, "height": 844}
_METHODS = "methods=grad-cam,selective-relevance,atr"


def empty(page: Page) -> None:
    """Before a source is chosen."""
    page.locator("#methods input").first.wait_for()


def live(page: Page) -> None:
    """A webcam with everything on."""
    expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)
    page.wait_for_timeout(8000)


def hover(page: Page) -> None:
    """One frame of the filmstrip seen large."""
    live(page)
    page.locator("#strip").hover(position={"x": 500, "y": 20})
    page.wait_for_timeout(500)


def wrong(page: Page) -> None:
    """A class that the model does not have, and a refused stream."""
    live(page)
    page.fill("#target", "fly")
    page.locator("#contrast").focus()


def job(page: Page) -> None:
    """A moment with a finished job."""
    live(page)
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.locator(".job-method").select_option("occlusion")
    moment.get_by_role("button", name="Run").click()
    tab = moment.locator(".results button", has_text="occlusion")
    expect(tab).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    expect(moment.get_by_role("button", name="Run")).to_be_enabled(timeout=PATIENCE)
    moment.locator(".scrub").fill("8")
    page.wait_for_timeout(500)


STATES: dict[str, tuple[Callable[[Page], None], str, dict[str, int], str]] = {
    "empty": (empty, "", DESKTOP, "dark"),
    "live-dark": (live, f"source=camera&{_METHODS}", DESKTOP, "dark"),
    "live-light": (live, f"source=sample&{_METHODS}&layer=selective-relevance", DESKTOP, "light"),
    "hover": (hover, f"source=sample&{_METHODS}", DESKTOP, "dark"),
    "contrast": (live, "source=sample&methods=dtd&target=move left&contrast=move right", DESKTOP, "dark"),
    "budget": (live, f"source=camera&{_METHODS}&budget=3&within=2", DESKTOP, "dark"),
    "wrong": (wrong, "source=sample&methods=grad-cam", DESKTOP, "dark"),
    "job": (job, "source=camera&methods=grad-cam", DESKTOP, "dark"),
    "phone": (live, f"source=camera&{_METHODS}", PHONE, "dark"),
}


def main() -> None:
    """Write one PNG per state; names after the folder choose some of them."""
    folder, *chosen = sys.argv[1:] or ["out/page"]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        settings = Settings(
            port=0, metrics_port=0, page_port=0, backend=BackendName.IN_PROCESS, threads=1, data=Path(temporary, "data")
        )
        running = Running(settings)
        running.start()
        camera = write_camera(Path(temporary, "sample.y4m"), sample_frames(), 25)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments(camera))
        try:
            for name in chosen or STATES:
                take(browser, running.address, name, Path(folder, f"{name}.png"))
                print(Path(folder, f"{name}.png"), flush=True)
        finally:
            browser.close()
            running.close()


def take(browser: Browser, address: str, name: str, path: Path) -> None:
    """Bring a fresh page into a state and write its picture."""
    reach, link, size, theme = STATES[name]
    page = browser.new_page(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}#{link}")
    reach(page)
    page.screenshot(path=path, full_page=True)
    page.close()


if __name__ == "__main__":
    main()
