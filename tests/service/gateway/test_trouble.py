"""The page when a source or the service fails it, and when nothing is explained."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from av.stream import Disposition
from playwright.sync_api import Page, expect

from service.settings import BackendName, Settings
from tests.service.decoding.test_video_stream import file_of
from tests.service.gateway.running import PATIENCE, Running, watch

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

PLAIN = "methods=none"
_CONTROLS = {"button", "slider", "checkbox", "combobox", "textbox", "image", "img", "PopUpButton", "link"}
# Drops what an address has onto the image, as a file.
_DROP = """async (address) => {
  const carried = new DataTransfer();
  carried.items.add(new File([await (await fetch(address)).blob()], "clip.mp4", { type: "video/mp4" }));
  document.getElementById("stage").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
}"""
# What the stage shows, small.
_SHOWN = """() => {
  const context = new OffscreenCanvas(32, 24).getContext('2d');
  context.drawImage(window.page.stage.canvas, 0, 0, 32, 24);
  return context.getImageData(0, 0, 32, 24).data.join();
}"""


@pytest.fixture(scope="module")
def running(store: Path) -> Iterator[Running]:
    ports = {"port": 0, "metrics_port": 0, "page_port": 0}
    service = Running(
        Settings(
            model_store=store,
            backend=BackendName.IN_PROCESS,
            threads=1,
            drain_seconds=2,
            stream={"idle_seconds": 2},
            **ports,
        ),
        jobs=False,
    )
    service.start()
    yield service
    service.close()


def test_the_image_moves_on_when_nothing_is_explained(page: Page, running: Running) -> None:
    watch(page, running, "#source=sample&methods=grad-cam")
    page.wait_for_function("() => window.page.stage.replay.shown !== null")
    page.get_by_label("grad-cam", exact=True).uncheck()
    expect(page.locator("#level")).to_have_text("prediction only", timeout=PATIENCE)
    expect(page.locator("#scale-unit")).to_have_text("")
    # More often than a window has frames: these are not the last that were explained.
    for _ in range(20):
        before = page.evaluate(_SHOWN)
        page.wait_for_function(f"before => ({_SHOWN})() !== before", arg=before)


def test_what_was_chosen_last_is_shown(page: Page, running: Running) -> None:
    page.goto(f"{running.address}#{PLAIN}")
    page.locator("#methods input").first.wait_for()
    # A person who takes a while to allow the camera.
    page.evaluate("""() => {
      const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        await new Promise((resolve) => (window.allow = resolve));
        return (window.camera = await original(wanted));
      };
    }""")
    page.get_by_role("button", name="Webcam").click()
    page.get_by_role("button", name="Sample").click()
    expect(page.get_by_role("button", name="Sample")).to_have_attribute("aria-pressed", "true")
    page.evaluate("() => window.allow()")
    page.wait_for_function("() => window.camera?.getTracks().every((track) => track.readyState === 'ended')")
    expect(page.get_by_role("button", name="Sample")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("() => window.page.source.kind") == "sample"


def test_a_camera_that_is_gone_is_said(page: Page, running: Running) -> None:
    watch(page, running, f"#source=camera&{PLAIN}")
    page.evaluate("() => window.page.source.video.srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.get_by_role("alert")).to_contain_text("Choose a source again")
    expect(page.locator("#status")).to_have_text("ready")
    expect(page.get_by_role("button", name="Webcam")).to_have_attribute("aria-pressed", "false")


def test_a_dropped_file_plays_and_one_that_is_no_video_is_reported(page: Page, running: Running) -> None:
    page.goto(f"{running.address}#{PLAIN}")
    page.locator("#methods input").first.wait_for()
    page.evaluate(_DROP, "static/style.css")
    expect(page.get_by_role("alert")).to_contain_text("cannot play that file. Convert it to MP4")
    page.evaluate(_DROP, "samples/motion-primitives")
    expect(page.locator("#readout")).to_contain_text("%", timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("button", name="File")).to_have_attribute("aria-pressed", "true")


def test_a_file_with_several_video_streams_says_so(page: Page, running: Running) -> None:
    page.goto(f"{running.address}#{PLAIN}")
    page.locator("#methods input").first.wait_for()
    told = "of 2 video streams, the one that the browser plays is taken"
    for container in ("mp4", "matroska"):
        two = file_of([(40, 64, 48, 60, Disposition.default), (200, 64, 48, 60, Disposition(0))], container)
        page.evaluate(_DROP, f"data:video/mp4;base64,{base64.b64encode(two).decode()}")
        expect(page.locator("#frame-notes")).to_contain_text(told, timeout=PATIENCE)
        page.get_by_role("button", name="Sample").click()
        expect(page.locator("#frame-notes")).not_to_contain_text(told, timeout=PATIENCE)


def test_the_screen_is_a_source_and_is_let_go(page: Page, running: Running) -> None:
    page.goto(f"{running.address}#{PLAIN}")
    page.get_by_role("button", name="Screen").click()
    expect(page.locator("#readout")).to_contain_text("%", timeout=PATIENCE)
    page.evaluate("() => (window.shared = window.page.source.video.srcObject)")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("ready")
    expect(page.get_by_text("Point a camera at a model")).to_be_visible()
    assert page.evaluate("() => window.shared.getTracks().every((track) => track.readyState === 'ended')")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_a_phone_has_all_of_it_and_every_control_a_name(page: Page, running: Running) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    watch(page, running, "#source=sample&methods=grad-cam")
    page.keyboard.press("f")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if not node["ignored"] and node["role"]["value"] in _CONTROLS]
    assert len(controls) > 25
    assert [node["role"]["value"] for node in controls if not node.get("name", {}).get("value")] == []
    page.get_by_role("button", name="Switch between dark and light").click()
    chosen = page.evaluate("() => document.documentElement.dataset.theme")
    page.reload()
    assert page.evaluate("() => document.documentElement.dataset.theme") == chosen


def test_a_pause_ends_the_stream_without_alarm_and_going_on_opens_it(page: Page, running: Running) -> None:
    watch(page, running, f"#source=sample&{PLAIN}")
    page.keyboard.press(" ")
    expect(page.locator("#status")).to_have_text("ready", timeout=PATIENCE)
    page.wait_for_function("() => window.page.live.socket === null")
    expect(page.locator("#status")).to_have_text("ready")
    expect(page.get_by_role("alert")).to_be_hidden()
    page.keyboard.press(" ")
    expect(page.locator("#status")).to_have_text("live", timeout=PATIENCE)


def test_a_service_that_hangs_is_left_and_found_again(page: Page, running: Running) -> None:
    watch(page, running, f"#source=sample&{PLAIN}")
    going_on = threading.Event()
    running.loop.call_soon_threadsafe(going_on.wait, 60)
    try:
        page.wait_for_function("() => window.page.live.credit === 0")
        page.evaluate("() => (window.page.live.heard -= 10_000)")
        expect(page.locator("#status")).to_have_text("reconnecting")
        expect(page.get_by_role("alert")).to_contain_text("does not answer. Trying again by itself")
    finally:
        going_on.set()
    expect(page.locator("#status")).to_have_text("live", timeout=PATIENCE)


def test_the_frames_are_described_to_who_cannot_see_them(page: Page, running: Running) -> None:
    watch(page, running, "#source=sample&methods=grad-cam")
    strip = page.get_by_role("slider", name="Frames of the window")
    expect(strip).to_be_visible(timeout=PATIENCE)
    strip.focus()
    strip.press("End")
    assert (strip.get_attribute("aria-valuetext") or "").startswith("frame 15")
    expect(page.locator("#large")).to_be_visible()
    strip.press("Escape")
    expect(page.locator("#large")).to_be_hidden()
