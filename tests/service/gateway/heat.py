"""Measures how the heat that the page draws lies over what moves."""

from __future__ import annotations

from playwright.sync_api import Page

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
  const sums = { on: 0, off: 0, mirrored: 0, rest: 0, moving: 0, others: 0 };
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
      sums[on ? 'moving' : 'others'] += 1;
    });
  }
  const share = sums.others / sums.moving;
  return [share * sums.on / sums.off, share * sums.mirrored / sums.rest];
}"""


def heat_on_motion(page: Page) -> tuple[float, float]:
    """Of the last answer: mean heat where the image moves over mean heat elsewhere (1 is chance), and the same with
    the heat mirrored."""
    heat, mirrored = page.evaluate(_HEAT_ON_MOTION)
    return heat, mirrored
