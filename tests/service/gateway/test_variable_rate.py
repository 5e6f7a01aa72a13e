"""A clip of variable rate on the page: frames keep their own times, live, replayed, frozen and in films of jobs."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from itertools import pairwise

import av
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from service.decoding.image import decode_image
from service.settings import Limits
from tests.service.decoding.conftest import Image, encode, number_of, numbered
from tests.service.gateway.running import PATIENCE, Running

__all__ = ["encode", "number_of", "numbered"]
pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

# Milliseconds: one frame for 0.8 s, then 12 at 20 per second, over and over: every window holds such a rest, whenever
# it is taken and however many of the frames the page had time to send.
_TIMES = [0, *range(800, 1400, 50)]
_LENGTH = 1.39  # the last frame lasts 40 ms, as the file says
_DROP = """(encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "clip.mp4", { type: "video/mp4" }));
  document.getElementById("stage").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
}"""
# When each frame is shown, on a clock that is put forward by 10 ms when nothing is left to do.
_REPLAYED = """async (windows) => {
  const { Replay } = await import("/static/js/replay.js");
  const blob = await new OffscreenCanvas(2, 2).getContext("2d", { alpha: false }).canvas.convertToBlob();
  const own = performance.now;
  let now = 1000;
  performance.now = () => now;
  const replay = new Replay(), begins = {};
  try {
    for (const { frames, until } of windows) {
      replay.show(frames.used.map(() => ({ blob })), frames, null);
      for (; now < 1000 + until; now += 10) {
        replay.current();
        while (replay.loading) await new Promise((resolve) => setTimeout(resolve));
        begins[replay.shown.sequence] ??= now - 1000;
      }
    }
  } finally {
    performance.now = own;
  }
  return begins;
}"""


def own_steps(numbers: list[int]) -> list[float]:
    """Seconds from each frame to the next, which may be the same one, or of the next time around."""
    times = [_TIMES[number] / 1000 for number in numbers]
    return [later - earlier + _LENGTH * (later < earlier) for earlier, later in pairwise(times)]


def test_replay_shows_frames_at_their_own_times(page: Page, running: Running) -> None:
    page.goto(running.address)
    times = [0.0, 0.1, 0.2, 0.7, 0.8, 1.4, 1.5, 2.4]

    def frames(first: int, last: int, after: float = 7.0) -> dict[str, object]:
        used = list(range(first, last))
        return {"used": used, "timestamps": [after + times[frame] for frame in used], "effective_fps": 5}

    windows = [{"frames": frames(0, 5), "until": 950}, {"frames": frames(2, 8), "until": 2600}]
    begins = page.evaluate(_REPLAYED, windows)
    assert [begins[str(frame)] / 1000 for frame in range(8)] == pytest.approx(times, abs=0.011)
    # Without times, the mean rate; a frame that is used twice is shown for its time once.
    plain = {"used": [0, 1, 2], "timestamps": [], "effective_fps": 4}
    assert page.evaluate(_REPLAYED, [{"frames": plain, "until": 700}]) == {"0": 0, "1": 250, "2": 500}
    twice = {"used": [0, 0, 1, 2], "timestamps": [3, 3, 3.4, 3.5], "effective_fps": 8}
    assert page.evaluate(_REPLAYED, [{"frames": twice, "until": 600}]) == {"0": 0, "1": 400, "2": 500}


def test_a_file_keeps_its_times_through_the_page(
    page: Page,
    running: Running,
    encode: Callable[..., bytes],
    numbered: Callable[..., list[Image]],
    number_of: Callable[[Image], int],
) -> None:
    film = encode(numbered(len(_TIMES), 160, 96), times=_TIMES, options={"bf": "0", "g": "15"})
    page.goto(f"{running.address}#methods=grad-cam")
    page.locator("#methods input").first.wait_for()
    page.evaluate(_DROP, base64.b64encode(film).decode())
    expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)
    page.wait_for_function("() => window.page.last?.answer.frames.timestamps.length")
    page.keyboard.press("f")
    moment = page.locator(".moment")
    moment.locator(".job-method").select_option("integrated-gradients")
    moment.get_by_role("button", name="Run").click()
    done = moment.locator(".results button[value=integrated-gradients]")
    expect(done).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
    expect(moment.get_by_role("button", name="Run")).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as waiting:
        moment.get_by_role("button", name="Export").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("frames/"))
        numbers = [number_of(decode_image(archive.read(name), Limits(), name)) for name in names]
        document = json.loads(archive.read("answer.json"))
        drawn = archive.read("integrated-gradients.mp4")
    steps = own_steps(numbers)
    assert max(steps) > 1.5 * np.mean(steps)
    np.testing.assert_allclose(np.diff(document["answer"]["frames"]["timestamps"]), steps, atol=0.002)
    # Where the window has a frame more than once, these share its time.
    with av.open(io.BytesIO(drawn)) as container:
        shown = [float(frame.time or 0) for frame in container.decode(video=0)]
    begins = [0, *np.cumsum(steps)]
    first = [index for index, step in enumerate([1.0, *steps]) if step > 0]
    np.testing.assert_allclose([shown[index] for index in first], [begins[index] for index in first], atol=0.002)
