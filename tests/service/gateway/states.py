"""The states that the page can be in, each reached as a person or bad luck would reach it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.service.gateway.running import PATIENCE, Running, answers
from tests.waiting import wait_until

DESKTOP = (1400, 1000)
PHONE = (390, 844)
_METHODS = "methods=grad-cam,selective-relevance,atr"
_ALERT = "#alert"
_JOB = 4 * PATIENCE


@dataclass(frozen=True)
class State:
    """reach: brings an opened page into the state; fragment: the page's address after #. refused: the browser gives no
    camera. before: what happens to the service before the page is opened; after: once its screenshot is taken."""

    reach: Callable[[Page, Running], None]
    fragment: str = ""
    size: tuple[int, int] = DESKTOP
    theme: str = "dark"
    refused: bool = False
    before: Callable[[Running], None] | None = None
    after: Callable[[Running], None] | None = None


def _empty(page: Page, _: Running) -> None:
    page.locator("#methods input").first.wait_for(state="attached")


def _drawer(page: Page, running: Running) -> None:
    page.locator("#drawer summary").click()
    page.get_by_label("Help on the class").click()
    _live(page, running)


def _glossary(page: Page, running: Running) -> None:
    page.goto(f"{running.address}glossary")
    expect(page.locator("#methods dt").first).to_be_visible(timeout=PATIENCE)


def _live(page: Page, _: Running) -> None:
    expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)
    page.wait_for_timeout(8000)


def _hover(page: Page, running: Running) -> None:
    _live(page, running)
    page.locator("#strip").hover(position={"x": 500, "y": 20})
    page.wait_for_timeout(500)


def _matrix(page: Page, running: Running) -> None:
    _live(page, running)
    page.locator("#more").click(timeout=PATIENCE)
    expect(page.locator("#atr")).to_contain_text("avg-ATR", timeout=PATIENCE)
    grid = page.evaluate("() => window.page.time.grid")
    page.locator("#strip").hover(position={"x": 700, "y": grid["top"] + 2.5 * grid["row"]})
    page.wait_for_timeout(500)


def _unknown_class(page: Page, running: Running) -> None:
    _live(page, running)
    page.locator("#drawer summary").click()
    page.fill("#target", "fly")
    page.locator("#contrast").focus()


def _refused(page: Page, _: Running) -> None:
    expect(page.locator(_ALERT)).to_contain_text("Access was refused", timeout=PATIENCE)


def _not_ready(page: Page, _: Running) -> None:
    expect(page.locator(_ALERT)).to_contain_text("The models are being loaded", timeout=PATIENCE)


def _lost(page: Page, running: Running) -> None:
    _live(page, running)
    running.stop()
    expect(page.locator("#status")).to_have_text("reconnecting", timeout=PATIENCE)
    page.wait_for_timeout(6000)


def _stale(page: Page, running: Running) -> None:
    _live(page, running)
    running.stop()
    expect(page.locator("#age")).to_have_class(re.compile("stale"), timeout=PATIENCE)
    expect(page.locator("#age")).to_have_text(re.compile(r"explained \d+\.\d s ago"))


def _focus(page: Page, running: Running) -> None:
    _live(page, running)
    page.locator("#layer").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")


def _moment(page: Page, running: Running, method: str) -> Locator:
    """Freeze the moment and begin a job on it."""
    _live(page, running)
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.locator(".job-method").select_option(method)
    moment.get_by_role("button", name="Run").click()
    return moment


def _job_running(page: Page, running: Running) -> None:
    moment = _moment(page, running, "st-perturbation")
    expect(moment.locator(".results button[value=st-perturbation]")).to_be_visible(timeout=PATIENCE)
    expect(moment.locator(".progress span")).to_contain_text("of", timeout=PATIENCE)
    moment.scroll_into_view_if_needed()


def _job_done(page: Page, running: Running) -> None:
    moment = _moment(page, running, "integrated-gradients")
    tab = moment.locator(".results button[value=integrated-gradients]")
    expect(tab).to_have_attribute("aria-pressed", "true", timeout=_JOB)
    expect(moment.get_by_role("button", name="Run")).to_be_enabled(timeout=_JOB)
    moment.locator(".scrub").fill("8")
    page.wait_for_timeout(500)


def _job_failed(page: Page, running: Running) -> None:
    """The job's own process finds the model's weights gone."""
    moment = _moment(page, running, "occlusion")
    expect(moment.locator(".trouble")).to_contain_text("has no result", timeout=_JOB)
    moment.scroll_into_view_if_needed()


def _lose_weights(running: Running) -> None:
    for path in running.settings.model_store.glob("motion-trn/weights.*"):
        path.rename(path.with_name(f"gone-{path.name}"))


def _find_weights(running: Running) -> None:
    for path in running.settings.model_store.glob("motion-trn/gone-*"):
        path.rename(path.with_name(path.name.removeprefix("gone-")))


def _overhead(page: Page, running: Running) -> None:
    _live(page, running)
    page.goto(f"{running.address}overhead")
    page.get_by_role("button", name="Since the service started").click()
    expect(page.locator("#price tr").first).to_be_visible(timeout=PATIENCE)


def _start(running: Running) -> None:
    running.start()


def _restart(running: Running) -> None:
    """The port answers before the model is loaded."""
    running.stop()
    running.may_load.clear()
    threading.Thread(target=running.start, daemon=True).start()
    wait_until(lambda: answers(running.settings.page_port))


def _wait_until_ready(running: Running) -> None:
    running.may_load.set()
    wait_until(lambda: running.server is not None)


STATES = {
    "empty": State(_empty),
    **{
        f"first-{width}-{theme}": State(_live, f"source=camera&{_METHODS}", (width, height), theme)
        for width, height in ((2560, 1440), (1280, 720), (820, 1180), (390, 844), (320, 640))
        for theme in ("dark", "light")
    },
    "drawer": State(_drawer, "source=camera&methods=dtd,grad-cam"),
    "drawer-phone": State(_drawer, "source=camera&methods=dtd,grad-cam", PHONE, "light"),
    "glossary": State(_glossary),
    "glossary-phone": State(_glossary, size=PHONE, theme="light"),
    "live-dark": State(_live, f"source=camera&{_METHODS}"),
    "live-light": State(_live, f"source=sample&{_METHODS}&layer=selective-relevance", theme="light"),
    "hover": State(_hover, f"source=sample&{_METHODS}"),
    "atr-matrix": State(_matrix, f"source=sample&{_METHODS}"),
    "contrast": State(_live, "source=sample&methods=dtd&target=move left&contrast=move right"),
    "budget": State(_live, f"source=camera&{_METHODS}&budget=30&within=250"),
    "unknown-class": State(_unknown_class, "source=sample&methods=grad-cam"),
    "camera-refused": State(_refused, "source=camera&methods=grad-cam", refused=True),
    "not-ready": State(_not_ready, before=_restart, after=_wait_until_ready),
    "connection-lost": State(_lost, f"source=camera&{_METHODS}", after=_start),
    "stale": State(_stale, f"source=camera&{_METHODS}", after=_start),
    "keyboard-focus": State(_focus, "source=camera&methods=grad-cam"),
    "overhead": State(_overhead, f"source=sample&{_METHODS}"),
    "overhead-light": State(_overhead, f"source=sample&{_METHODS}", theme="light"),
    "overhead-phone": State(_overhead, f"source=sample&{_METHODS}", PHONE),
    "job-failed": State(
        _job_failed, "source=camera&model=motion-trn&methods=grad-cam", before=_lose_weights, after=_find_weights
    ),
    "job-done": State(_job_done, "source=camera&methods=grad-cam"),
    "job-light": State(_job_done, "source=camera&methods=grad-cam", theme="light"),
    "phone": State(_live, f"source=camera&{_METHODS}", PHONE),
    "phone-light": State(_job_done, f"source=camera&{_METHODS}", PHONE, "light"),
    # Last: its job goes on, and takes the time of others.
    "job-running": State(_job_running, "source=camera&methods=grad-cam"),
}
