// A saliency volume made ready for drawing: one scale, any frame of the window.

import { between, toArray } from "./tensor.js";
import { colours, level } from "./colours.js";

// Maps of more cells than this are peaky (input resolution): a few extreme cells must not set the scale.
const FINE = 20_000;
const FINE_QUANTILE = 0.999;

export class Heat {
  /** explanation: with a saliency volume; frames: of the window; placement: the source picture in the model's frame. */
  constructor(explanation, frames, placement) {
    const { saliency } = explanation;
    const { shape, data } = toArray(saliency.values);
    [this.steps, this.rows, this.columns] = shape;
    this.data = data;
    this.mask = saliency.mask ? toArray(saliency.mask).data : null;
    this.signed = saliency.signed && data.some((value) => value < 0);
    const known = saliency.frame_positions.length === this.steps;
    this.positions = known
      ? saliency.frame_positions
      : Array.from({ length: this.steps }, (_, k) => ((k + 0.5) * frames) / this.steps - 0.5);
    this.peak = peakOf(data, this.signed);
    this.placement = placement?.width ? placement : null;
    this.grid = new OffscreenCanvas(this.columns, this.rows);
  }

  /** Native values at a model frame, one number per cell; frame null: the strongest of all frames. part: "all", "motion" or "scene". */
  at(frame, part = "all") {
    const size = this.rows * this.columns;
    if (frame === null) return this.#strongest(size, part);
    const { before, after, share } = between(this.positions, frame);
    const plane = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      plane[i] = this.#part(before * size + i, part) * (1 - share) + this.#part(after * size + i, part) * share;
    }
    return plane;
  }

  #strongest(size, part) {
    const plane = new Float32Array(size);
    for (let i = 0; i < this.steps * size; i++) {
      const value = this.#part(i, part);
      if (Math.abs(value) > Math.abs(plane[i % size])) plane[i % size] = value;
    }
    return plane;
  }

  #part(index, part) {
    const value = this.data[index];
    if (!Number.isFinite(value)) return 0;
    if (part === "all" || !this.mask) return value;
    return this.mask[index] > 0 === (part === "motion") ? value : 0;
  }

  /** Draws the heat at a frame over a source picture of width x height. scale: the value drawn at full strength. */
  draw(context, width, height, frame, { part = "all", opacity = 1, scale = this.peak } = {}) {
    if (!(scale > 0) || opacity <= 0) return;
    const plane = this.at(frame, part);
    const image = new ImageData(this.columns, this.rows);
    const lookup = colours(this.signed);
    for (let i = 0; i < plane.length; i++) {
      const at = 4 * level(plane[i] / scale, this.signed);
      for (let c = 0; c < 4; c++) image.data[4 * i + c] = lookup[at + c];
    }
    this.grid.getContext("2d").putImageData(image, 0, 0);
    const { left, top, wide, high } = this.#source();
    context.save();
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.grid, left, top, wide, high, 0, 0, width, height);
    context.restore();
  }

  /** The source picture's rectangle in cells of the grid. */
  #source() {
    const place = this.placement;
    if (!place) return { left: 0, top: 0, wide: this.columns, high: this.rows };
    const x = this.columns / place.frame_width;
    const y = this.rows / place.frame_height;
    return { left: place.left * x, top: place.top * y, wide: place.width * x, high: place.height * y };
  }
}

function peakOf(data, signed) {
  const strength = data.map((value) => (Number.isFinite(value) ? (signed ? Math.abs(value) : Math.max(0, value)) : 0));
  if (strength.length <= FINE) return strength.reduce((most, value) => Math.max(most, value), 0);
  const present = strength.filter((value) => value > 0).sort();
  return present.length ? present[Math.floor(FINE_QUANTILE * (present.length - 1))] : 0;
}
