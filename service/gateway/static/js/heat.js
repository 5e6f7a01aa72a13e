// Relevance made ready for drawing over the frames of its window.

import { frameTimes } from "./clock.js";
import { colourOf, css, glow, line } from "./colours.js";
import { contour } from "./contour.js";
import { perFrame, positionsOf } from "./reading.js";
import { between, toArray } from "./tensor.js";

// Cells across the picture, and the blur's standard deviation as a share of its width: single pixels are not seen.
const COLUMNS = 72;
const BLUR = 0.025;
// Cells of coarse maps flow into each other.
const LEAST_BLUR = 0.6;
// Lines go around the smallest area that holds these shares of the window's relevance.
const [MOST, HALF] = [0.8, 0.5];
const BINS = 1024;
// Seconds for which the outline of what moved is still seen.
const TRAIL = 1;
// Of the picture's shorter side: the glowing edge of a frame that counts.
const EDGE = 0.07;

/** What to lay over a window's frames for an explanation; frames: its FrameReport. Null where nothing can be laid over. */
export function overlayOf(entry, frames) {
  if (entry.saliency) return new Heat(entry, frames);
  const values = perFrame(entry, frames.used.length);
  return values && new FrameGlow(entry.method, values);
}

/** Draws a picture so that colours laid over it stand out. */
export function pale(context, picture, width, height) {
  context.filter = "saturate(.6)";
  context.drawImage(picture, 0, 0, width, height);
  context.filter = "none";
}

/** A saliency volume: a glow where the relevance is, and lines around the smallest area that holds most of it. */
export class Heat {
  constructor({ method, saliency }, frames) {
    const { shape, data } = toArray(saliency.values);
    this.method = method;
    [this.steps] = shape;
    this.data = data;
    this.mask = saliency.mask ? toArray(saliency.mask).data : null;
    this.signed = saliency.signed && data.some((value) => value < 0);
    this.positions = positionsOf(saliency, this.steps, frames.used.length);
    this.times = frameTimes(frames);
    this.#place(shape, frames.placement);
    this.made = new Map();
    this.peak = this.#volume("all").reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.grid = new OffscreenCanvas(this.columns, this.rows);
  }

  /** What the lines are. */
  get lines() {
    return this.mask ? "Outlines: what moves, and where it was in the last second" : "Lines: the smallest area that holds 50 % and 80 % of it";
  }

  /** Relevance at a model frame, blurred, row by row over the picture; frame null: the strongest of all frames. part: "all",
   * "motion" or "scene". */
  at(frame, part = "all") {
    const volume = this.#volume(part);
    const size = this.rows * this.columns;
    const plane = new Float32Array(size);
    if (frame === null) {
      volume.forEach((value, i) => {
        if (Math.abs(value) > Math.abs(plane[i % size])) plane[i % size] = value;
      });
      return plane;
    }
    const { before, after, share } = between(this.positions, frame);
    for (let i = 0; i < size; i++) plane[i] = volume[before * size + i] * (1 - share) + volume[after * size + i] * share;
    return plane;
  }

  /** Lays the relevance at a frame over a picture of width x height. scale: the value drawn at full strength. */
  draw(context, width, height, frame, { part = "all", opacity = 1, scale = this.peak } = {}) {
    const { most, half } = this.#levels(part);
    if (!(scale > 0) || !(most > 0) || opacity <= 0) return;
    const plane = this.at(frame, part);
    const image = new ImageData(this.columns, this.rows);
    const [speaking, against] = [colourOf(this.method), colourOf(this.method, true)];
    plane.forEach((value, i) => {
      const strength = Math.abs(value);
      glow(image.data, 4 * i, value < 0 ? against : speaking, strength / scale, rise(strength / most), rise(strength / half));
    });
    this.grid.getContext("2d").putImageData(image, 0, 0);
    context.save();
    context.globalAlpha = opacity;
    context.drawImage(this.grid, 0, 0, width, height);
    if (this.mask && part !== "scene") this.#trail(context, width, height, frame, opacity);
    else {
      if (!this.signed) this.#line(context, width, height, plane, most, 1);
      this.#line(context, width, height, plane, half, 2);
    }
    context.restore();
  }

  /** Outlines of what moves at a frame and of what moved shortly before it, which fade. */
  #trail(context, width, height, frame, opacity) {
    const { most } = this.#levels("motion");
    if (frame === null) {
      this.#line(context, width, height, this.at(null, "motion"), most, 2);
      return;
    }
    for (let earlier = 0; earlier <= frame; earlier++) {
      const age = this.times[frame] - this.times[earlier];
      if (age >= TRAIL) continue;
      context.globalAlpha = opacity * (earlier === frame ? 1 : 0.75 * (1 - age / TRAIL));
      this.#line(context, width, height, this.at(earlier, "motion"), most, earlier === frame ? 3 : 1.5);
    }
  }

  #line(context, width, height, plane, level, weight) {
    if (!(level > 0)) return;
    const path = contour(plane, this.rows, this.columns, level, width, height);
    const unit = Math.max(width, height) / 640;
    // Dark below, so that the line is seen on bright pictures too.
    context.strokeStyle = "rgb(0 0 0 / .45)";
    context.lineWidth = (weight + 2) * unit;
    context.stroke(path);
    context.strokeStyle = line(this.method);
    context.lineWidth = weight * unit;
    context.stroke(path);
  }

  /** The grid over the source picture, and how its cells are made of the map's. */
  #place([, rows, columns], placement) {
    const whole = { left: 0, top: 0, width: columns, height: rows, frame_width: columns, frame_height: rows };
    const { left, top, width, height, frame_width: wide, frame_height: high } = placement?.width ? placement : whole;
    const [x, y] = [columns / wide, rows / high];
    this.columns = COLUMNS;
    this.rows = Math.max(8, Math.round((COLUMNS * height) / width));
    this.across = kernel(this.columns, left * x, width * x, columns, BLUR * width * x);
    this.down = kernel(this.rows, top * y, height * y, rows, BLUR * width * y);
    this.source = { rows, columns };
  }

  /** [steps, rows, columns]: the values of a part, blurred. */
  #volume(part) {
    if (!this.made.has(part)) this.made.set(part, this.#blurred(part));
    return this.made.get(part);
  }

  #blurred(part) {
    const { rows, columns } = this.source;
    const kept = new Float32Array(rows * columns);
    const narrow = new Float32Array(rows * this.columns);
    const volume = new Float32Array(this.steps * this.rows * this.columns);
    for (let step = 0; step < this.steps; step++) {
      const from = step * rows * columns;
      for (let i = 0; i < kept.length; i++) {
        const value = this.data[from + i];
        const counts = part === "all" || !this.mask || this.mask[from + i] > 0 === (part === "motion");
        kept[i] = counts && Number.isFinite(value) && (this.signed || value > 0) ? value : 0;
      }
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < this.columns; column++) {
          const { first, weights } = this.across[column];
          let sum = 0;
          for (let k = 0; k < weights.length; k++) sum += weights[k] * kept[row * columns + first + k];
          narrow[row * this.columns + column] = sum;
        }
      }
      this.down.forEach(({ first, weights }, row) => {
        const at = (step * this.rows + row) * this.columns;
        for (let k = 0; k < weights.length; k++) {
          const line = (first + k) * this.columns;
          for (let column = 0; column < this.columns; column++) volume[at + column] += weights[k] * narrow[line + column];
        }
      });
    }
    return volume;
  }

  /** {most, half} of all frames' cells. */
  #levels(part) {
    const key = `levels ${part}`;
    if (!this.made.has(key)) this.made.set(key, levelsOf(this.#volume(part)));
    return this.made.get(key);
  }
}

/** A method that says when and not where: the edge of the frames that count glows. */
class FrameGlow {
  /** values: relevance of each model frame. */
  constructor(method, values) {
    this.method = method;
    this.values = values;
    this.signed = values.some((value) => value < 0);
    this.peak = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.most = levelsOf(values).most;
    this.mask = null;
  }

  get lines() {
    return "The edge of the frames that hold 80 % of it glows";
  }

  /** As Heat draws; over the picture as it is now, the newest frame's. */
  draw(context, width, height, frame, { opacity = 1, scale = this.peak } = {}) {
    const value = this.values[frame ?? this.values.length - 1];
    if (!(scale > 0) || opacity <= 0 || !(Math.abs(value) >= this.most) || value === 0) return;
    const pixel = [0, 0, 0, 0];
    glow(pixel, 0, colourOf(this.method, value < 0), Math.abs(value) / scale, 1, 1);
    const edge = EDGE * Math.min(width, height);
    context.save();
    context.globalAlpha = opacity;
    const sides = [[0, 0, edge, 0], [width, 0, width - edge, 0], [0, 0, 0, edge], [0, height, 0, height - edge]];
    for (const side of sides) {
      const shade = context.createLinearGradient(...side);
      shade.addColorStop(0, css(pixel, pixel[3] / 255));
      shade.addColorStop(1, css(pixel, 0));
      context.fillStyle = shade;
      context.fillRect(0, 0, width, height);
    }
    context.restore();
  }
}

/** How strongly a cell belongs to those above a level: 0 well below it, 1 well above; value is divided by the level. */
function rise(value) {
  const share = Math.min(1, Math.max(0, (value - 0.6) / 0.6));
  return share * share * (3 - 2 * share);
}

/** {most, half}: the magnitudes above which the strongest values hold these shares of the sum of all magnitudes. */
export function levelsOf(values) {
  const top = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const masses = new Float64Array(BINS);
  let whole = 0;
  if (top > 0) {
    for (const value of values) {
      masses[Math.min(BINS - 1, Math.floor((BINS * Math.abs(value)) / top))] += Math.abs(value);
      whole += Math.abs(value);
    }
  }
  const above = (share) => {
    let bin = BINS;
    for (let held = 0; bin > 0 && held < share * whole; ) held += masses[--bin];
    return (Math.max(bin, 0.5) * top) / BINS;
  };
  return { most: above(MOST), half: above(HALF) };
}

/** How each of count cells, laid over a stretch of a map's line, is made of its values: [{first, weights}], a bell around
 * the cell's middle. start, extent, spread: in values of the line. Cells beyond the line have no weights. */
function kernel(count, start, extent, length, spread) {
  const deviation = Math.max(LEAST_BLUR, spread);
  const reach = Math.ceil(2.5 * deviation);
  return Array.from({ length: count }, (_, cell) => {
    const middle = start + ((cell + 0.5) * extent) / count - 0.5;
    const first = Math.max(0, Math.ceil(middle - reach));
    const last = Math.min(length - 1, Math.floor(middle + reach));
    if (middle < -0.5 || middle > length - 0.5) return { first: 0, weights: [] };
    const bell = Array.from({ length: last - first + 1 }, (_, k) => Math.exp(-0.5 * ((first + k - middle) / deviation) ** 2));
    const sum = bell.reduce((total, weight) => total + weight, 0);
    return { first, weights: bell.map((weight) => weight / sum) };
  });
}
