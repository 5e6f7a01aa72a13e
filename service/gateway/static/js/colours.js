// Colour scales for relevance: fixed, perceptually even, safe for colour-blind eyes. The same as the service's files.

const INFERNO = [
  [87, 16, 110], [120, 28, 109], [154, 41, 99], [188, 55, 84], [215, 75, 63],
  [235, 103, 40], [248, 138, 11], [251, 176, 26], [244, 218, 72], [247, 248, 140],
];
const DIVERGING = [[120, 210, 255], [40, 120, 255], [30, 70, 220], [214, 60, 10], [255, 120, 20], [255, 214, 110]];
const DIVERGING_AT = [0, 0.25, 0.4999, 0.5001, 0.75, 1];
const OPACITY = 0.85;
const GROWTH = 0.7;

/** RGBA of 256 levels: 0 .. 1 for sequential, -1 .. 1 for signed scales. Opacity is 0 at 0 and grows with strength. */
function table(signed) {
  const levels = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i++) {
    const value = i / 255;
    const colour = signed
      ? mix(DIVERGING, DIVERGING_AT, value)
      : mix(INFERNO, INFERNO.map((_, k) => k / (INFERNO.length - 1)), value);
    const strength = signed ? Math.abs(i - 128) / 127 : value;
    levels.set([...colour, 255 * OPACITY * Math.min(1, strength) ** GROWTH], 4 * i);
  }
  return levels;
}

function mix(stops, places, value) {
  let k = places.findIndex((place) => place >= value);
  if (k <= 0) return stops[0];
  const share = (value - places[k - 1]) / (places[k] - places[k - 1]);
  return stops[k].map((channel, c) => stops[k - 1][c] * (1 - share) + channel * share);
}

const TABLES = { false: table(false), true: table(true) };

/** Index into the RGBA table of a value that has been divided by the scale's peak. */
export function level(value, signed) {
  const place = signed ? 128 + 127 * Math.max(-1, Math.min(1, value)) : 255 * Math.max(0, Math.min(1, value));
  return Math.round(place);
}

export function colours(signed) {
  return TABLES[signed];
}

/** Paints the scale itself onto a canvas. */
export function paintScale(canvas, signed) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.fillStyle = "#464646";
  context.fillRect(0, 0, width, height);
  for (let x = 0; x < width; x++) {
    const i = 4 * Math.round((255 * x) / (width - 1));
    const [r, g, b, a] = TABLES[signed].slice(i, i + 4);
    context.fillStyle = `rgba(${r},${g},${b},${a / 255})`;
    context.fillRect(x, 0, 1, height);
  }
}

/** CSS colour of a value 0 .. 1 (or -1 .. 1) as an opaque cell of a matrix. */
export function cell(value, signed) {
  const i = 4 * level(value, signed);
  const [r, g, b, a] = TABLES[signed].slice(i, i + 4);
  return `rgba(${r},${g},${b},${a / 255 / OPACITY})`;
}
