"""The live page in a real browser, its webcam fed with a real clip."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from service.media.picture import decode_picture
from service.media.video import read_video
from service.settings import Limits
from tests.page.heat import heat_on_motion
from tests.page.running import PATIENCE, Running, watch

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

WATCHED = "#source=camera&methods=grad-cam"


def test_the_webcam_is_named_and_the_heat_lies_on_what_moves(page: Page, running: Running) -> None:
    watch(page, running, "#source=camera&methods=dtd")
    expect(page.locator("#top li").first).to_contain_text("move left", timeout=PATIENCE)
    expect(page.locator("#readout")).to_contain_text(
        re.compile(r"“move left” \d+ %: frames \d+–\d+ carry \d+ %"), timeout=PATIENCE
    )
    heat, mirrored = heat_on_motion(page)
    assert heat > 1.5 * mirrored, (heat, mirrored)
    assert heat > 1.5, (heat, mirrored)  # 1 is chance


def test_what_is_asked_changes_while_it_runs(page: Page, running: Running) -> None:
    watch(page, running, WATCHED)
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
    expect(page.locator("#level")).to_have_text("grad-cam", timeout=PATIENCE)
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


def test_single_keys_work_after_a_click_but_not_in_a_text_and_can_be_switched_off(page: Page, running: Running) -> None:
    watch(page, running, WATCHED)
    moments = page.locator(".moment")
    page.get_by_role("button", name="Keys").click()
    page.keyboard.press("f")
    page.get_by_role("button", name="Keys").click()
    page.locator("#target").press("f")
    expect(page.locator("#target")).to_have_value("f")
    expect(moments).to_have_count(0)
    page.locator("#target").fill("")
    page.get_by_role("button", name="All").click()
    page.keyboard.press("f")
    expect(moments).to_have_count(1)


def test_a_job_runs_from_a_frozen_moment(page: Page, running: Running) -> None:
    watch(page, running, WATCHED)
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.locator(".scrub").fill("5")
    expect(moment.locator("output")).to_have_text("6 / 16")
    moment.locator(".job-method").select_option("integrated-gradients")
    moment.get_by_role("button", name="Run").click()
    expect(moment.locator(".results button", has_text="integrated-gradients")).to_have_attribute(
        "aria-pressed", "true", timeout=PATIENCE
    )
    expect(moment.get_by_role("button", name="Run")).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as waiting:
        moment.get_by_role("button", name="Export").click()
    assert waiting.value.suggested_filename.startswith("move-left")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        pictures = [decode_picture(archive.read(name), Limits(), name) for name in names if name.startswith("frames/")]
        # The job's own film, and the numbers of the live explanation beside those of the job.
        film = archive.read("integrated-gradients.mp4")
        document = json.loads(archive.read("answer.json"))
    assert len(pictures) == 16
    assert len(read_video(film, lambda count: tuple(range(count)), lambda p: p, Limits(), "film").pictures) == 16
    assert document["answer"]["prediction"]["top"][0]["label"] == "move left"
    for method, entry in zip(("grad-cam", "integrated-gradients"), document["explanations"], strict=True):
        values = entry["saliency"]["values"]
        assert entry["method"] == method
        assert len(values["values"]) == np.prod(values["shape"]) > 0


def test_the_page_survives_a_restart_of_the_service(page: Page, running: Running) -> None:
    watch(page, running, WATCHED)
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
