"""The live page in a real browser, its webcam fed with a real clip."""

from __future__ import annotations

import json
import re
import threading
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from actionlens.v1 import method_pb2, model_pb2
from handlers.explainers import methods
from service.decoding.image import decode_image
from service.decoding.video import read_video
from service.errors import InvalidArgument
from service.settings import Limits
from service.validation.request import resolve_target
from tests.service.gateway.heat import heat_on_motion
from tests.service.gateway.running import PATIENCE, Running, answers, watch
from tests.waiting import wait_until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

WATCHED = "#source=camera&methods=grad-cam"
# Frames that the page has captured; what became of those that are known; what all causes of drops come to.
_ACCOUNTED = """() => {
  const text = document.getElementById("frames").textContent;
  const sum = (found) => (found.match(/\\d+/g) ?? []).map(Number).reduce((all, number) => all + number, 0);
  const causes = text.match(/\\((.*)\\)/)?.[1] ?? "";
  const dropped = Number(text.match(/(\\d+) dropped/)[1]);
  return [window.page.live.sequence, sum(text.replace(`(${causes})`, "")), sum(causes), dropped];
}"""
# How much the newest heat is: all of it, what moves, what does not.
_PARTS = """() => ["all", "motion", "scene"].map((part) => {
  const { heat } = window.page.stage;
  let sum = 0;
  for (const spot of heat.positions) sum += heat.at(spot, part).reduce((all, value) => all + Math.abs(value), 0);
  return sum;
})"""


def test_the_webcam_is_named_and_the_heat_lies_on_what_moves(page: Page, running: Running) -> None:
    watch(page, running, "#source=camera&methods=dtd")
    expect(page.locator("#top li").first).to_contain_text("move left", timeout=PATIENCE)
    expect(page.locator("#readout")).to_contain_text(
        re.compile(r"“move left” \d+ %: frames \d+–\d+ carry \d+ %"), timeout=PATIENCE
    )
    heat, mirrored = heat_on_motion(page)
    assert heat > 1.5 * mirrored, (heat, mirrored)
    assert heat > 1.5, (heat, mirrored)  # 1 is chance
    # A weak window is not blown up to the full scale.
    page.wait_for_function("() => window.page.stage.heat.peak < 0.98 * window.page.stage.scale")
    expect(page.locator("#rate-frames")).to_have_text(re.compile(r"[1-9]\d*\.\d/s"))
    expect(page.locator("#rate-lag")).to_have_text(re.compile(r"\d m?s"))
    captured, known, causes, dropped = page.evaluate(_ACCOUNTED)
    assert 0 < known <= captured
    assert causes == dropped


def test_what_is_asked_changes_while_it_runs(page: Page, running: Running) -> None:
    watch(page, running, WATCHED)
    page.fill("#target", "approach")
    page.keyboard.press("Enter")
    expect(page.locator("#readout")).to_contain_text("“approach” is explained", timeout=PATIENCE)
    page.get_by_label("selective-relevance", exact=True).check()
    expect(page.locator("#dial + *")).to_contain_text("Nothing speaks for the class here", timeout=PATIENCE)
    assert "target=approach" in page.url
    assert "selective-relevance" in page.url
    page.fill("#target", "move left")
    page.keyboard.press("Enter")
    expect(page.locator("#dial")).to_have_attribute("aria-label", re.compile(r"\d+ %"), timeout=PATIENCE)
    page.locator("#layer").select_option("selective-relevance")
    page.get_by_role("button", name="What moves").click(timeout=PATIENCE)
    whole, motion, scene = page.evaluate(_PARTS)
    assert whole == pytest.approx(motion + scene, rel=1e-4)
    assert 0 < motion < whole
    page.fill("#contrast", "recede")
    page.keyboard.press("Enter")
    expect(page.locator("#readout")).to_contain_text("why “move left” rather than “recede”", timeout=PATIENCE)
    expect(page.locator("#scale-unit")).to_contain_text("rather than “recede”")
    # Another person sees the same by the address.
    page.reload()
    expect(page.locator("#readout")).to_contain_text("rather than “recede”", timeout=PATIENCE)
    expect(page.get_by_role("button", name="What moves")).to_have_attribute("aria-pressed", "true")


def test_a_cell_of_the_matrix_says_what_its_step_rests_on(page: Page, running: Running) -> None:
    watch(page, running, "#source=camera&methods=atr")
    expect(page.locator("#atr")).to_have_text(re.compile(r"rests on \d+\.\d of 16 frames on average, \d+ at most\.$"))
    page.get_by_role("button", name="More: every step of the model").click()
    expect(page.locator("#atr")).to_have_text(re.compile(r"avg-ATR \d+\.\d, max-ATR \d+"))
    grid = page.evaluate("() => window.page.time.grid")
    page.locator("#strip").hover(position={"x": 500, "y": grid["top"] + 2.5 * grid["row"]})
    expect(page.locator("#large p")).to_have_text(re.compile(r"step 2 (takes \d+ %|has no)"))
    expect(page.locator("#large")).to_be_visible()


def test_the_budget_changes_what_is_explained_and_says_why(page: Page, running: Running) -> None:
    watch(page, running, f"{WATCHED}&budget=0")
    expect(page.locator("#budget-value")).to_have_text("predictions only")
    expect(page.locator("#level")).to_have_text("prediction only", timeout=PATIENCE)
    expect(page.locator("#level-reason")).to_have_text("grad-cam left out: explaining may take 0 % of predicting")
    page.locator("#budget").press("End")
    expect(page.locator("#level")).to_have_text("Where", timeout=PATIENCE)
    expect(page.locator("#level-reason")).to_have_text("")
    assert page.locator("#ladder li").all_inner_texts() == ["prediction", "Where"]
    expect(page.locator("#ladder [aria-current]")).to_have_text("Where")
    page.locator("#within").press("Home")
    expect(page.locator("#within-value")).to_have_text("within 50 ms")
    assert "within=50" in page.url
    page.reload()
    expect(page.locator("#within-value")).to_have_text("within 50 ms")


def test_the_quality_of_explanations_is_shown_and_the_gap_behind_a_switch(page: Page, running: Running) -> None:
    watch(page, running, f"{WATCHED},dtd")
    lines = page.locator("#quality li")
    expect(lines).to_have_text([re.compile(r"The explanations .*agree.* on when \(-?\d\.\d\d of")], timeout=PATIENCE)
    page.get_by_label("dtd", exact=True).uncheck()
    expect(lines).to_have_count(0, timeout=PATIENCE)
    page.get_by_label("insertion-deletion gap").check()
    expect(lines).to_have_text(
        [re.compile(r"Where: what it shows .*\(insertion-deletion gap [+−]\d\.\d\d\)")], timeout=PATIENCE
    )
    assert "gap=1" in page.url
    page.get_by_label("insertion-deletion gap").uncheck()
    expect(lines).to_have_count(0, timeout=PATIENCE)
    assert "gap" not in page.url


def test_an_unknown_class_is_named_at_its_field(page: Page, running: Running) -> None:
    page.goto(running.address)
    page.locator("#methods input").first.wait_for()
    page.fill("#target", "fly")
    page.locator("#contrast").focus()
    expect(page.get_by_role("alert")).to_contain_text("motion-primitives has no class “fly”")
    for known in ("approach", "9", "0"):
        page.fill("#target", known)
        page.locator("#contrast").focus()
        expect(page.get_by_role("alert")).to_have_count(0)
    page.fill("#target", "10")
    page.locator("#contrast").focus()
    expect(page.get_by_role("alert")).to_contain_text("motion-primitives has no class “10”")


@pytest.mark.parametrize(
    ("text", "labels", "known"),
    [
        ("right", ["left", "right"], True),
        ("1", ["left", "right"], True),
        ("2", ["left", "right"], False),
        ("-1", ["left", "right"], False),
        ("1", ["1", "2"], True),
        ("0", ["1", "2"], False),
        ("left", ["1", "2"], False),
        ("0", ["1", "left"], False),
    ],
)
def test_the_page_knows_the_classes_that_the_service_knows(
    page: Page, running: Running, text: str, labels: list[str], known: bool
) -> None:
    page.goto(running.address)
    asked = "async (given) => (await import('/static/js/methods.js')).isClass(...given)"
    assert page.evaluate(asked, [text, labels]) is known
    target = method_pb2.Target(explained={"label": text})
    with nullcontext() if known else pytest.raises(InvalidArgument):
        resolve_target(target, model_pb2.Model(name="m", labels=labels), "target")


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
    page.get_by_role("button", name="Whole").click()
    page.keyboard.press("f")
    expect(moments).to_have_count(1)


def test_a_job_runs_from_a_frozen_moment_and_is_shared(page: Page, running: Running) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    watch(page, running, WATCHED)
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.locator(".scrub").fill("5")
    expect(moment.locator("output")).to_have_text("frame 5")
    moment.locator(".job-method").select_option("integrated-gradients")
    moment.get_by_role("button", name="Run").click()
    expect(moment.locator(".results button[value=integrated-gradients]")).to_have_attribute(
        "aria-pressed", "true", timeout=PATIENCE
    )
    expect(moment.get_by_role("button", name="Run")).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as waiting:
        moment.get_by_role("button", name="Export").click()
    assert waiting.value.suggested_filename.startswith("move-left")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        images = [decode_image(archive.read(name), Limits(), name) for name in names if name.startswith("frames/")]
        # The job's own video, and the numbers of the live explanation beside those of the job.
        video = archive.read("integrated-gradients.mp4")
        document = json.loads(archive.read("answer.json"))
    assert len(images) == 16
    assert len(read_video(video, lambda count, _: tuple(range(count)), lambda p: p, Limits(), "video").frames) == 16
    assert document["answer"]["prediction"]["top"][0]["label"] == "move left"
    for method, entry in zip(("grad-cam", "integrated-gradients"), document["explanations"], strict=True):
        values = entry["saliency"]["values"]
        assert entry["method"] == method
        assert len(values["values"]) == np.prod(values["shape"]) > 0
    moment.get_by_role("button", name="Copy link").click()
    expect(page.locator("#share")).to_have_text("Copied")
    link = page.evaluate("() => navigator.clipboard.readText()")
    page.goto("about:blank")
    page.goto(link.replace("source=camera", ""))
    expect(moment.locator("h3")).to_have_text("move left, integrated-gradients")
    expect(moment.locator(".readout")).to_contain_text("of the relevance")
    page.wait_for_function("() => document.querySelector('.moment video').videoWidth > 0")


def test_a_job_shows_what_it_has_so_far_and_is_cancelled(page: Page, running: Running) -> None:
    watch(page, running, WATCHED)
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.locator(".job-method").select_option("st-perturbation")
    moment.get_by_role("button", name="Run").click()
    expect(moment.locator(".results button[value=st-perturbation]")).to_be_visible(timeout=PATIENCE)
    expect(moment.locator(".readout")).to_have_text(re.compile("^So far: "))
    expect(moment.locator(".progress span")).to_have_text(re.compile(r"\d+ of \d+"))
    # What the person waits for comes before what they watch, but for the predictions.
    expect(page.locator("#resting")).to_be_visible()
    expect(page.locator("#layer option")).to_have_text(["nothing"], timeout=PATIENCE)
    before = page.locator("#windows").inner_text()
    expect(page.locator("#windows")).not_to_have_text(before, timeout=PATIENCE)
    moment.get_by_role("button", name="Cancel").click()
    expect(moment.get_by_role("button", name="Run")).to_be_enabled(timeout=PATIENCE)
    expect(page.locator("#resting")).to_be_hidden()
    expect(page.locator("#layer option")).to_have_text(["Where (Grad-CAM)"], timeout=PATIENCE)


def test_a_job_that_is_refused_says_why_beside_the_moment(page: Page, running: Running) -> None:
    watch(page, running, f"{WATCHED}&contrast=move left")
    expect(page.locator("#readout")).to_contain_text("is the explained class itself", timeout=PATIENCE)
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.get_by_role("button", name="Run").click()
    expect(moment.get_by_role("alert")).to_contain_text("target.contrast: is the explained class itself")


def test_the_page_survives_a_restart_of_the_service(page: Page, running: Running) -> None:
    watch(page, running, WATCHED)
    running.stop()
    expect(page.locator("#status")).to_have_text("reconnecting", timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_contain_text("Trying again by itself")
    # What was said before the connection was lost is old, and says so.
    expect(page.locator("#age")).to_have_class(re.compile("stale"), timeout=PATIENCE)
    running.start()
    expect(page.locator("#status")).to_have_text("live", timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#age")).not_to_have_class(re.compile("stale"), timeout=PATIENCE)


def test_a_page_that_comes_before_the_models_waits_for_them(page: Page, running: Running) -> None:
    running.stop()
    running.may_load.clear()
    starting = threading.Thread(target=running.start)
    starting.start()
    wait_until(lambda: answers(running.settings.page_port))
    page.goto(f"http://127.0.0.1:{running.settings.page_port}/")
    expect(page.get_by_role("alert")).to_contain_text("The models are being loaded")
    running.may_load.set()
    starting.join()
    page.get_by_role("button", name="Sample").click(timeout=PATIENCE)
    expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)


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


def test_what_is_unusual_about_the_frames_is_said(page: Page, running: Running) -> None:
    """The page's clock leaps, as that of a machine that slept."""
    watch(page, running, WATCHED)
    expect(page.locator("#level")).to_have_text("Where", timeout=PATIENCE)
    page.evaluate(
        """() => {
          const { live } = window.page, add = live.add;
          live.add = (frame) => add.call(live, { ...frame, time: frame.time + 100 });
        }"""
    )
    expect(page.locator("#frame-notes")).to_contain_text("windows begin anew after that", timeout=PATIENCE)


def test_the_first_screen_is_the_picture_a_sentence_the_frames_and_freeze(page: Page, running: Running) -> None:
    page.add_init_script("location.protocol.startsWith('http') && localStorage.setItem('drawer', 'closed')")
    watch(page, running, WATCHED)
    expect(page.locator("#strip")).to_be_visible(timeout=PATIENCE)
    for width, height in ((2560, 1440), (1280, 720), (820, 1180), (390, 844), (320, 640)):
        page.set_viewport_size({"width": width, "height": height})
        bottoms = page.evaluate(
            "() => ['stage', 'readout', 'freeze']"
            ".map((id) => document.getElementById(id).getBoundingClientRect().bottom)"
        )
        assert max(bottoms) <= height, (width, bottoms)
        tops = page.evaluate(
            "() => ['stage', 'strip'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
        )
        assert tops[0] <= 150, (width, tops)
        assert tops[1] <= height - 30, (width, tops)
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, width


def test_the_drawer_remembers_and_its_helps_open(page: Page, running: Running) -> None:
    page.goto(running.address)
    page.locator("main:not([inert])").wait_for()
    target = page.locator("#target")
    expect(target).to_be_visible()
    page.get_by_label("Help on the class").click()
    expect(page.get_by_text("The class that is explained; empty is")).to_be_visible()
    page.locator("#drawer summary").click()
    expect(target).to_be_hidden()
    page.reload()
    page.locator("main:not([inert])").wait_for()
    expect(target).to_be_hidden()
    page.locator("#drawer summary").press("Enter")
    expect(target).to_be_visible()


def test_a_link_to_what_is_not_here_says_so(page: Page, running: Running) -> None:
    page.goto(f"{running.address}#model=other&methods=grad-cam,nonsense")
    expect(page.locator("#strange")).to_have_text(
        "There is no model “other” here; motion-primitives is shown. "
        "motion-primitives has no live explanation “nonsense”."
    )
    page.goto("about:blank")
    page.goto(f"{running.address}#methods=grad-cam")
    expect(page.locator("#methods input").first).to_be_visible()
    expect(page.locator("#strange")).to_be_hidden()


def test_the_glossary_says_every_method_in_the_services_words(page: Page, running: Running) -> None:
    page.goto(f"{running.address}glossary")
    term = page.locator("#methods dt", has_text="When (ATR)")
    expect(term).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#methods dt")).to_have_count(len(methods()))
    summary = methods()["atr"].summary
    expect(page.locator("#methods dd", has_text=summary[1:])).to_have_count(1)
