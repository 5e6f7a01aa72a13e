"""The live page in a real browser, its webcam fed with a real clip."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.running import PATIENCE, Running

pytestmark = pytest.mark.timeout(300)

WATCHED = "#source=camera&methods=grad-cam"

# The mean strength of the heat where an explained frame differs most from the one before, over that elsewhere; and the
# same with every frame's heat mirrored, which lies where the motion is not.
_HEAT_ON_MOTION = """() => {
  const { stage, last } = window.page;
  const { width, height } = last.pictures[0].thumb;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  const pixels = () => context.getImageData(0, 0, width, height).data;
  const greys = last.pictures.map(({ thumb }) => {
    context.drawImage(thumb, 0, 0);
    const data = pixels();
    return Float32Array.from({ length: width * height }, (_, i) => data[4 * i] + data[4 * i + 1] + data[4 * i + 2]);
  });
  const sums = { on: 0, off: 0, mirrored: 0, rest: 0, places: 0, others: 0 };
  for (let k = 1; k < greys.length; k++) {
    const moved = greys[k].map((grey, i) => Math.abs(grey - greys[k - 1][i]));
    const most = [...moved].sort((a, b) => a - b)[Math.floor(0.95 * moved.length)];
    context.clearRect(0, 0, width, height);
    stage.heat.draw(context, width, height, k, {});
    const data = pixels();
    moved.forEach((value, i) => {
      const on = value > most;
      const mirror = i - (i % width) + width - 1 - (i % width);
      sums[on ? 'on' : 'off'] += data[4 * i + 3];
      sums[on ? 'mirrored' : 'rest'] += data[4 * mirror + 3];
      sums[on ? 'places' : 'others'] += 1;
    });
  }
  const share = sums.others / sums.places;
  return [share * sums.on / sums.off, share * sums.mirrored / sums.rest];
}"""


def watch(page: Page, running: Running, link: str = WATCHED) -> None:
    """Open the page and wait for the first answer."""
    page.goto(running.address + link)
    expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)


def test_the_webcam_is_named_and_the_heat_lies_on_what_moves(page: Page, running: Running) -> None:
    watch(page, running, "#source=camera&methods=dtd")
    expect(page.locator("#top li").first).to_contain_text("move left", timeout=PATIENCE)
    expect(page.locator("#readout")).to_contain_text(re.compile(r"“move left” \d+ %: frames \d+–\d+ carry \d+ %"))
    heat, mirrored = page.evaluate(_HEAT_ON_MOTION)
    assert heat > 1.5 * mirrored, (heat, mirrored)
    assert heat > 1.5, (heat, mirrored)  # 1 is chance


def test_what_is_asked_changes_while_it_runs(page: Page, running: Running) -> None:
    watch(page, running)
    page.fill("#target", "approach")
    page.keyboard.press("Enter")
    expect(page.locator("#readout")).to_contain_text("“approach” is explained", timeout=PATIENCE)
    page.get_by_label("selective-relevance", exact=True).check()
    expect(page.locator("#dial")).to_have_attribute("aria-label", re.compile(r"\d+ %"), timeout=PATIENCE)
    assert "target=approach" in page.url
    assert "selective-relevance" in page.url


def test_the_budget_changes_what_is_explained_and_says_why(page: Page, running: Running) -> None:
    watch(page, running, f"{WATCHED}&budget=0")
    expect(page.locator("#budget-value")).to_have_text("predictions only")
    expect(page.locator("#level")).to_have_text("prediction only", timeout=PATIENCE)
    expect(page.locator("#level-reason")).to_have_text("grad-cam left out: explaining may take 0 % of predicting")
    page.locator("#budget").press("End")
    expect(page.locator("#level")).to_have_text("Grad-CAM", timeout=PATIENCE)
    expect(page.locator("#level-reason")).to_have_text("")
    page.locator("#within").press("Home")
    expect(page.locator("#within-value")).to_have_text("within 50 ms")
    assert "within=0" in page.url


def test_an_unknown_class_is_named_at_its_field(page: Page, running: Running) -> None:
    page.goto(running.address)
    page.locator("#methods input").first.wait_for()
    page.fill("#target", "fly")
    page.locator("#contrast").focus()
    assert 'has no class "fly"' in page.locator("#target").evaluate("field => field.validationMessage")


def test_a_job_runs_from_a_frozen_moment(page: Page, running: Running) -> None:
    watch(page, running)
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.locator(".scrub").fill("5")
    expect(moment.locator("output")).to_have_text("6 / 16")
    moment.locator(".job-method").select_option("occlusion")
    moment.get_by_role("button", name="Run").click()
    expect(moment.locator(".results button", has_text="occlusion")).to_have_attribute(
        "aria-pressed", "true", timeout=PATIENCE
    )
    expect(moment.get_by_role("button", name="Run")).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as waiting:
        moment.get_by_role("button", name="Export").click()
    assert waiting.value.suggested_filename.startswith("move-left")


def test_the_page_survives_a_restart_of_the_service(page: Page, running: Running) -> None:
    watch(page, running)
    running.stop()
    expect(page.locator("#status")).to_have_text("reconnecting", timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_contain_text("Trying again by itself")
    running.start()
    expect(page.locator("#status")).to_have_text("live", timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_nothing_is_loaded_from_elsewhere_and_the_policy_holds(browser: Browser, running: Running) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    addresses: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(running.address + "#source=sample&methods=grad-cam")
    expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)
    page.close()
    assert not complaints
    assert all(address.startswith((running.address, "blob:")) for address in addresses), addresses
