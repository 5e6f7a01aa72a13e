"""What is laid over the page's picture: it is seen where the page says that it is, on a scale that falls."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.service.gateway.running import Running, sample_frames
from tests.service.gateway.visibility import METHODS, SEEN, films, opened, shares

pytestmark = pytest.mark.timeout(300)

# Whether points lie on the line that goes, at half of the height of a single cell in the middle of 3 x 3, around it.
_CONTOUR = """async (points) => {
  const { contour } = await import("/static/js/contour.js");
  const path = contour(Float32Array.from([0, 0, 0, 0, 1, 0, 0, 0, 0]), 3, 3, 0.5, 300, 300);
  const context = new OffscreenCanvas(300, 300).getContext("2d");
  context.lineWidth = 2;
  return points.map(([x, y]) => context.isPointInStroke(path, x, y));
}"""
_LEVELS = "async (values) => (await import('/static/js/heat.js')).levelsOf(Float32Array.from(values))"
# The last answer again, some seconds later, all its relevance so many times as strong: the scale's part of the first.
_LATER = """([seconds, times]) => {
  const { last, stage } = window.page;
  const less = (values) => ({ ...values, offset: times * values.offset, scale: times * values.scale });
  const weaker = ({ saliency, ...rest }) => ({
    ...rest,
    saliency: saliency && { ...saliency, values: less(saliency.values) },
  });
  const { frames } = last.answer;
  const answer = {
    ...last.answer,
    explanations: last.answer.explanations.map(weaker),
    frames: { ...frames, timestamps: frames.timestamps.map((time) => time + seconds) },
  };
  window.first ??= { answer: last.answer };
  window.give(answer);
  window.first.peak ??= stage.heat.peak;
  window.page.last.answer = { ...window.first.answer, frames: answer.frames };
  return stage.scale / window.first.peak;
}"""


@pytest.mark.parametrize("name", ["sample", "cuts", "gesture"])
def test_frames_that_the_sentence_names_are_seen_to_be_explained(
    page: Page, running: Running, name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue("assets") if name == "gesture" else None
    found = shares(opened(page, running), films(folder)[name], windows=3)
    assert set(found) == set(METHODS)
    readings = {method: (sum(value >= SEEN for value in values), len(values)) for method, values in found.items()}
    assert sum(named for _, named in readings.values()) >= 2 * len(METHODS)
    assert all(seen >= 0.95 * named for seen, named in readings.values()), (readings, found)


def test_lines_and_levels_are_where_they_are_by_hand(page: Page, running: Running) -> None:
    opened(page, running)
    # The middle cell's centre is (150, 150), its neighbours' 100 away: half-way down, the line is 50 away.
    on = [(100, 150), (200, 150), (150, 100), (150, 200), (125, 125), (175, 175)]
    off = [(150, 150), (100, 100), (200, 200), (50, 150)]
    assert page.evaluate(_CONTOUR, on + off) == [True] * len(on) + [False] * len(off)
    # Of 10 in all, 4 and 3 hold half, and 2 as well makes 8 of 10; what speaks against counts as what speaks for.
    levels = page.evaluate(_LEVELS, [1, -3, 2, 4, 0])
    assert levels["half"] == pytest.approx(3, abs=4 / 1024)
    assert levels["most"] == pytest.approx(2, abs=4 / 1024)


def test_the_scale_falls_by_half_in_three_seconds_and_says_so(page: Page, running: Running) -> None:
    shares(opened(page, running), sample_frames(), windows=1)
    expect(page.locator("#scale-unit")).to_contain_text("halves every 3 s")
    page.evaluate("() => { window.page.stage.clear(); window.page.stage.view.layer = 'dtd'; }")

    def later(seconds: float, times: float) -> float:
        scale: float = page.evaluate(_LATER, [seconds, times])
        return scale

    assert later(0, 1) == pytest.approx(1)
    assert later(3, 0.1) == pytest.approx(0.5)
    assert later(3, 0.1) == pytest.approx(0.25)
    assert later(30, 0.1) == pytest.approx(0.1)
    assert later(0.1, 1) == pytest.approx(1)


def test_what_moves_is_told_by_a_method_that_knows_it_and_others_say_why_not(page: Page, running: Running) -> None:
    shares(opened(page, running), sample_frames(), windows=1)
    show = "(name) => { window.page.view.layer = name; document.querySelector('[data-part=motion]').click(); }"
    why = page.locator("#part-why")
    page.evaluate(show, "selective-relevance")
    expect(why).to_have_text("")
    page.evaluate(show, "dtd")
    expect(why).to_have_text(re.compile("^“Pixels that count” does not tell what moves"))
    page.evaluate(show.replace("motion", "all"), "dtd")
    expect(why).to_have_text("")
