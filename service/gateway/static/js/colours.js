// Colours of relevance: one for each method, so that a glow says whose it is, and one for what speaks against the class.

// Red, green and blue. Each has a channel near 255 and one near 0: whatever the picture shows, one of them stands out.
const METHODS = {
  "grad-cam": [255, 160, 0],
  "selective-relevance": [0, 225, 255],
  "atr": [205, 255, 0],
  "dtd": [255, 0, 140],
  "clrp": [255, 70, 0],
  "guided-backprop": [0, 255, 110],
  "guided-grad-cam": [200, 0, 255],
  "attention-rollout": [255, 225, 0],
};
const OTHER = [255, 160, 0];
const AGAINST = [0, 95, 255];
const MOST_OPACITY = 0.74;
const GROWTH = 1.8;
// How far the strongest relevance is mixed with white.
const WHITE = 0.35;
const LINE_WHITE = 0.55;
// On white, bright colours are not seen: so much of them is left.
const ON_WHITE = 0.62;

/** [red, green, blue] of what speaks for the class by a method, or against it. */
export const colourOf = (method, against = false) => (against ? AGAINST : (METHODS[method] ?? OTHER));

export const css = ([red, green, blue], alpha = 1) => `rgb(${red} ${green} ${blue} / ${alpha})`;

/** CSS colour of a method's lines and bars beside the picture, in the page's theme. */
export function ink(method, against = false) {
  const dim = document.documentElement.dataset.theme === "light" ? ON_WHITE : 1;
  return css(colourOf(method, against).map((channel) => Math.round(dim * channel)));
}

/** Colour of a method's lines over a picture. */
export const line = (method, against = false) => css(colourOf(method, against).map((channel) => Math.round(channel + LINE_WHITE * (255 - channel))));

/** Writes the glow's RGBA into data at a place. value: relevance divided by the scale's peak; most, half: 0 .. 1, whether the
 * cell belongs to the smallest area that holds most, or half, of the relevance. The picture below always shows through. */
export function glow(data, at, colour, value, most, half) {
  const strength = Math.min(1, Math.max(0, value));
  const white = WHITE * strength ** 2;
  for (let c = 0; c < 3; c++) data[at + c] = colour[c] * (1 - white) + 255 * white;
  data[at + 3] = 255 * Math.min(MOST_OPACITY, 0.08 * most + 0.2 * half + 0.08 * strength + 0.34 * strength ** GROWTH * most);
}

/** Paints a method's scale, from nothing (signed: from all against) to full strength, onto a canvas. */
export function paintScale(canvas, method, signed) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.fillStyle = "#464646";
  context.fillRect(0, 0, width, height);
  const pixel = [0, 0, 0, 0];
  for (let x = 0; x < width; x++) {
    const value = signed ? (2 * x) / (width - 1) - 1 : x / (width - 1);
    glow(pixel, 0, colourOf(method, value < 0), Math.abs(value), Math.min(1, 10 * Math.abs(value)), Math.min(1, 3 * Math.abs(value)));
    context.fillStyle = css(pixel, pixel[3] / 255);
    context.fillRect(x, 0, 1, height);
  }
}
