"""Screenshots of the page's states, to be looked at: python -m tests.service.gateway.screenshots [FOLDER [STATE ...]].

Starts a service over the bundled model and a Chromium whose webcam shows the sample clip.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as TookTooLong

from service.settings import BackendName, Settings
from tests.service.gateway.camera import write_camera
from tests.service.gateway.running import PATIENCE, ROOT, Running, arguments, sample_frames
from tests.service.gateway.states import STATES, State

_TRIES = 3
_SHOT_MILLISECONDS = 30_000


def main() -> None:
    """Write one PNG per state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("out/page"), help="where they go (out/page)")
    parser.add_argument("states", nargs="*", metavar="STATE", help=f"all, or some of: {', '.join(STATES)}")
    options = parser.parse_args()
    if unknown := set(options.states) - set(STATES):
        parser.error(f"no state is called {', '.join(sorted(unknown))}; there are {', '.join(STATES)}")
    chosen = options.states or list(STATES)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        # A copy: a state may take a file away.
        store = Path(temporary, "store")
        shutil.copytree(ROOT / "model_store", store, ignore=shutil.ignore_patterns("archives"))
        settings = Settings(
            model_store=store,
            port=0,
            metrics_port=0,
            page_port=0,
            backend=BackendName.IN_PROCESS,
            threads=1,
            data=Path(temporary, "data"),
            jobs={"poll_seconds": 0.1, "threads": 1, "yield_seconds": 0.5},
        )
        running = Running(settings)
        running.start()
        camera = write_camera(Path(temporary, "sample.y4m"), sample_frames(), 25)
        program = shutil.which("chromium")
        browsers = {
            refused: playwright.chromium.launch(executable_path=program, args=arguments(camera, refused=refused))
            for refused in {STATES[name].refused for name in chosen}
        }
        try:
            for name in chosen:
                path = options.folder / f"{name}.png"
                take(browsers[STATES[name].refused], running, STATES[name], path)
                print(path, flush=True)
        finally:
            for browser in browsers.values():
                browser.close()
            running.close()


def take(browser: Browser, running: Running, state: State, path: Path) -> None:
    """Bring a fresh page into a state and write its screenshot."""
    address = running.address
    if state.before is not None:
        state.before(running)
    width, height = state.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=state.theme,
        bypass_csp=True,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}#{state.fragment}")
    state.reach(page, running)
    shoot(page, path)
    context.close()
    if state.after is not None:
        state.after(running)


def shoot(page: Page, path: Path) -> None:
    """Take a screenshot of the whole page. Chromium may find no moment for one beside other work; then once more."""
    for left in reversed(range(_TRIES)):
        try:
            page.screenshot(path=path, full_page=True, timeout=_SHOT_MILLISECONDS)
            return
        except TookTooLong:
            if not left:
                raise


if __name__ == "__main__":
    main()
