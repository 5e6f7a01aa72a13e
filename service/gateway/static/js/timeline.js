// Time: the window's frames, the relevance of each under it, and the relevance matrix under that, all in one column grid.

import { ink } from "./colours.js";
import { $, colour, make, percent, sharp } from "./dom.js";
import { toArray } from "./tensor.js";

const CURVE = 56;
const GAP = 6;
const MOST_ROW = 14;
const LABEL = 66;
// Weak cells of the matrix are seen too.
const CELL_GROWTH = 0.7;
// Room for the numbers, and for the legend, below the matrix.
const NUMBERS = 16;
const LEGEND = 20;
// Pixels across a frame that is shown large.
const LARGE = 520;
// Milliseconds after which what grows old is written again.
const TICK = 100;
// Seconds that the lane of the last moments shows at least, and how many windows.
const LEAST_LANE = 2;
const WINDOWS_IN_LANE = 2.5;

const MORE = "More: every step of the model";

export class Timeline {
  constructor() {
    this.canvas = $("strip");
    this.promise = $("atr").textContent;
    this.open = false;
    $("more").onclick = () => this.#unfold(!this.open);
    this.lane = make("div", { className: "lane", hidden: true, ariaHidden: "true" }, make("i", { className: "extent" }), make("i", { className: "cursor" }), make("span"), make("span"), make("span", { textContent: "now" }));
    this.canvas.parentElement.after(this.lane);
    this.clear();
    this.canvas.addEventListener("pointermove", (event) => this.#hover(this.#frameAt(event.offsetX), this.#rowAt(event.offsetY)));
    this.canvas.addEventListener("pointerleave", () => this.#hover(null));
    this.canvas.addEventListener("blur", () => this.#hover(null));
    this.canvas.addEventListener("keydown", (event) => this.#step(event));
    new ResizeObserver(() => this.answer && this.#draw()).observe(this.canvas.parentElement);
  }

  clear() {
    Object.assign(this, { answer: null, hovered: null, row: null, grid: null });
    this.canvas.hidden = this.lane.hidden = $("playhead").hidden = $("large").hidden = true;
    $("time-note").textContent = "";
    $("atr").textContent = this.promise;
    $("more").hidden = true;
  }

  /** pictures: one {thumb, blob, taken} or undefined per model frame. curve: as frameCurve gives it. paint(context, picture,
   * frame): draws a frame with what is laid over it. */
  show(answer, pictures, curve, paint) {
    Object.assign(this, { answer, pictures, curve, paint });
    this.matrix = answer.explanations.find((entry) => entry.relevance_matrix && !entry.failure);
    // The frame under the pointer stands still while it is looked at.
    if (this.hovered === null) this.#draw();
    this.#describe();
  }

  /** Shows the relevance matrix under the strip, or the words alone. */
  #unfold(on) {
    this.open = on;
    $("more").setAttribute("aria-expanded", String(on));
    $("more").textContent = on ? "Less" : MORE;
    if (!this.answer) return;
    this.#draw();
    this.#describe();
  }

  #describe() {
    const { frames } = this.answer;
    const fps = frames.effective_fps ? `, seen at ${frames.effective_fps.toFixed(1)} frames/s` : "";
    $("time-note").textContent = `${frames.used.length} frames${fps}`;
    const found = this.matrix?.relevance_matrix;
    const rule = (this.matrix?.provenance?.parameters?.relevance ?? "").toUpperCase(); // LRP or CLRP
    $("atr").textContent = !found
      ? ""
      : found.average_length === undefined
        ? `temporal relevance: ${found.undefined}`
        : `Each moment's answer rests on ${found.average_length.toFixed(1)} of ${found.values.shape[1]} ${this.#unit} on average, ${found.maximum_length} at most.${this.open ? ` Below, the relevance matrix${rule && ` (${rule})`}: a row for each output step of the model, a column for each frame; avg-ATR ${found.average_length.toFixed(1)}, max-ATR ${found.maximum_length}.` : ""}`;
    $("more").hidden = !found;
    const values = this.curve?.values ?? [];
    const sum = values.reduce((total, value) => total + Math.max(0, value), 0);
    const most = values.indexOf(Math.max(...values));
    this.canvas.setAttribute("aria-label", sum
      ? `Frames of the window; frame ${most} carries the most relevance, ${percent(values[most] / sum)}`
      : "Frames of the window");
    this.canvas.ariaValueMax = frames.used.length - 1;
  }

  #draw() {
    this.canvas.hidden = false;
    const width = this.canvas.parentElement.clientWidth;
    const count = this.answer.frames.used.length;
    const column = (width - LABEL) / count;
    const thumb = this.pictures.find(Boolean)?.thumb;
    const tall = Math.min(72, Math.max(30, thumb ? (column * thumb.height) / thumb.width : column * 0.75));
    const rows = this.open ? (this.matrix?.relevance_matrix.values.shape[0] ?? 0) : 0;
    const row = rows ? Math.min(MOST_ROW, Math.max(3, 128 / rows)) : 0;
    const context = sharp(this.canvas, width, tall + GAP + CURVE + NUMBERS + (rows ? GAP + rows * row + NUMBERS + LEGEND : 0));
    this.high = tall + GAP + CURVE + (rows ? NUMBERS + GAP + rows * row : 0);
    context.font = "11px system-ui, sans-serif";
    this.#film(context, column, tall);
    this.#curve(context, column, tall + GAP);
    this.grid = { top: tall + CURVE + NUMBERS + 2 * GAP, row, rows };
    if (rows) this.#matrix(context, column);
  }

  #film(context, column, tall) {
    this.pictures.forEach((picture, i) => {
      const x = LABEL + i * column;
      context.fillStyle = colour("--raised");
      context.fillRect(x, 0, column - 1, tall);
      if (!picture?.thumb?.width) return;
      const { width, height } = picture.thumb;
      // The middle of the picture, as much as fits the column.
      const wide = Math.min(width, (height * (column - 1)) / tall);
      context.drawImage(picture.thumb, (width - wide) / 2, 0, wide, height, x, 0, column - 1, tall);
      if (i === this.hovered) {
        context.strokeStyle = colour("--accent");
        context.lineWidth = 2;
        context.strokeRect(x + 1, 1, column - 3, tall - 2);
      }
    });
  }

  #curve(context, column, top) {
    const values = this.curve?.values ?? [];
    const most = Math.max(...values.map(Math.abs), 0);
    const negative = values.some((value) => value < 0);
    const zero = negative ? top + CURVE / 2 : top + CURVE;
    const high = negative ? CURVE / 2 : CURVE;
    context.fillStyle = colour("--faint");
    const sum = values.reduce((total, value) => total + Math.max(0, value), 0);
    context.fillText(this.curve ? "relevance" : "", 0, top + 12);
    context.fillText(sum ? `top ${percent(Math.max(...values) / sum)}` : "", 0, top + 27);
    values.forEach((value, i) => {
      const size = most ? (Math.abs(value) / most) * (high - 2) : 0;
      context.fillStyle = ink(this.curve.method, value < 0);
      context.globalAlpha = this.hovered === null || this.hovered === i ? 1 : 0.55;
      context.fillRect(LABEL + i * column, value < 0 ? zero : zero - size, column - 1, size);
    });
    context.globalAlpha = 1;
    context.fillStyle = colour("--line");
    context.fillRect(LABEL, zero, column * this.pictures.length, 1);
    this.#numbers(context, column, top + CURVE + 13);
  }

  #numbers(context, column, y) {
    context.fillStyle = colour("--faint");
    context.textAlign = "center";
    const every = Math.ceil(26 / column);
    for (let i = 0; i < this.pictures.length; i += every) context.fillText(i, LABEL + (i + 0.5) * column, y);
    context.textAlign = "left";
    context.fillText("frame", 0, y);
  }

  #matrix(context, frame) {
    const { top, row } = this.grid;
    const { shape, data } = toArray(this.matrix.relevance_matrix.values);
    const column = (frame * this.answer.frames.used.length) / shape[1]; // wider where columns are blocks of frames
    const peak = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const signed = data.some((value) => value < -1e-6 * peak);
    const { method } = this.matrix;
    const [most, against] = [ink(method), ink(method, true)];
    const [ground, faint] = [colour("--raised"), colour("--faint")];
    context.fillStyle = ground;
    context.fillRect(LABEL, top, column * shape[1], row * shape[0]);
    for (let i = 0; i < shape[0]; i++) {
      for (let j = 0; j < shape[1]; j++) {
        const value = peak ? data[i * shape[1] + j] / peak : 0;
        context.fillStyle = value < 0 ? against : most;
        context.globalAlpha = Math.abs(value) ** CELL_GROWTH;
        context.fillRect(LABEL + j * column, top + i * row, column - 1, row - (row > 4 ? 1 : 0));
      }
    }
    context.globalAlpha = 1;
    context.fillStyle = faint;
    context.textAlign = "right";
    const every = Math.ceil(11 / row);
    for (let i = 0; i < shape[0]; i += every) context.fillText(i, LABEL - 8, top + (i + 0.5) * row + 4);
    context.textAlign = "left";
    context.fillText("step", 0, top + 0.5 * row + 4);
    const bottom = top + row * shape[0];
    this.#numbers(context, frame, bottom + 12);
    this.#key(context, bottom + NUMBERS + 6, most, signed ? against : null);
    if (this.row === null) return;
    context.strokeStyle = colour("--ink");
    context.lineWidth = 1.5;
    context.strokeRect(LABEL, top + this.row * row - 1, column * shape[1], row + 1);
  }

  /** What the cells' colours mean. */
  #key(context, y, most, against) {
    const long = 90;
    const from = against ? -long / 2 : 0;
    for (let x = 0; x < long; x++) {
      const value = (from + x) / (long + from);
      context.fillStyle = value < 0 ? against : most;
      context.globalAlpha = Math.abs(value) ** CELL_GROWTH;
      context.fillRect(LABEL + x, y, 1, 9);
    }
    context.globalAlpha = 1;
    context.fillStyle = colour("--faint");
    context.fillText(against ? "against, nothing, most for the class" : "nothing to most: how much the frame counts for the step", LABEL + long + 8, y + 9);
  }

  /** Marks the frame that the picture shows now. sequence: of the stream; null for none. */
  point(sequence) {
    const now = performance.now();
    const moved = sequence !== this.pointed?.sequence || this.answer !== this.pointed.answer;
    if (!moved && now - this.pointed.at < TICK) return;
    this.pointed = { sequence, answer: this.answer, at: now };
    // The picture may be a little ahead of the strip, which is drawn less often.
    const place = sequence === null || !this.answer ? -1 : this.answer.frames.used.findLastIndex((used) => used <= sequence);
    this.#age(now, place);
    $("playhead").hidden = place < 0;
    if (place < 0) return;
    const column = (this.canvas.clientWidth - LABEL) / this.answer.frames.used.length;
    $("playhead").style.cssText = `left: ${LABEL + place * column}px; width: ${column - 1}px; height: ${this.high}px`;
  }

  /** Where the window and the frame shown lie among the last seconds. */
  #age(now, place) {
    const taken = this.pictures?.map((picture) => picture?.taken);
    this.lane.hidden = !this.answer || taken[0] === undefined || taken.at(-1) === undefined;
    if (this.lane.hidden) return;
    const [first, last] = [(now - taken[0]) / 1000, (now - taken.at(-1)) / 1000];
    // Longer by whole seconds, so that it does not crawl.
    const long = Math.max(LEAST_LANE, Math.ceil(WINDOWS_IN_LANE * (first - last)), Math.ceil(first + 0.3));
    const left = (seconds) => `${100 * (1 - seconds / long)}%`;
    const [extent, cursor, begins, said] = this.lane.children;
    Object.assign(extent.style, { left: left(first), width: `${(100 * (first - last)) / long}%` });
    const shown = taken[place];
    cursor.hidden = shown === undefined;
    if (shown !== undefined) cursor.style.left = left((now - shown) / 1000);
    begins.textContent = `${long} s ago`;
    said.textContent = `explained: ${first.toFixed(1)} to ${last.toFixed(1)} s ago`;
  }

  #frameAt(x) {
    if (!this.answer) return null;
    const count = this.answer.frames.used.length;
    const frame = Math.floor(((x - LABEL) / (this.canvas.clientWidth - LABEL)) * count);
    return frame >= 0 && frame < count ? frame : null;
  }

  #rowAt(y) {
    if (!this.grid?.rows) return null;
    const row = Math.floor((y - this.grid.top) / this.grid.row);
    return row >= 0 && row < this.grid.rows ? row : null;
  }

  #step(event) {
    if (!this.answer) return;
    const last = this.answer.frames.used.length - 1;
    const here = this.hovered;
    const next = {
      ArrowLeft: Math.max(0, (here ?? last + 1) - 1),
      ArrowRight: Math.min(last, (here ?? -1) + 1),
      Home: 0,
      End: last,
      Escape: null,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.#hover(next);
  }

  async #hover(frame, row = null) {
    if (frame === this.hovered && row === this.row) return;
    this.hovered = frame;
    this.row = frame === null ? null : row;
    const picture = frame === null ? null : this.pictures[frame];
    $("large").hidden = !picture;
    if (this.answer) this.#draw();
    if (!picture) return;
    const said = this.row === null ? this.#aboutFrame(frame) : this.#aboutCell(frame);
    $("large").lastElementChild.textContent = said;
    Object.assign(this.canvas, { ariaValueNow: frame, ariaValueText: said });
    const middle = LABEL + ((frame + 0.5) / this.pictures.length) * (this.canvas.clientWidth - LABEL);
    $("large").style.left = `${Math.max(8, Math.min(this.canvas.clientWidth - 280, middle - 130))}px`;
    const image = await createImageBitmap(picture.blob);
    if (frame !== this.hovered) {
      image.close();
      return;
    }
    const canvas = $("large").firstElementChild;
    Object.assign(canvas, { width: LARGE, height: (LARGE * image.height) / image.width });
    const context = canvas.getContext("2d");
    this.paint(context, image, frame);
    image.close();
  }

  #aboutFrame(frame) {
    const values = this.curve?.values ?? [];
    const sum = values.reduce((total, value) => total + Math.max(0, value), 0);
    return `frame ${frame}${sum ? `: ${percent(Math.max(0, values[frame]) / sum)} of the relevance` : ""}`;
  }

  /** What columns of the matrix and lengths count. */
  get #unit() {
    const { shape } = this.matrix.relevance_matrix.values;
    return shape[1] === this.answer.frames.used.length ? "frames" : "blocks of frames";
  }

  /** What one cell of the matrix says of its row. */
  #aboutCell(frame) {
    const { values, row_lengths: lengths } = this.matrix.relevance_matrix;
    const { shape, data } = toArray(values);
    const row = data.slice(this.row * shape[1], (this.row + 1) * shape[1]);
    const sum = row.reduce((total, value) => total + Math.max(0, value), 0);
    const column = Math.floor((frame * shape[1]) / this.answer.frames.used.length);
    const where = this.#unit === "frames" ? `frame ${frame}` : `the block of frame ${frame}`;
    const share = sum ? `takes ${percent(Math.max(0, row[column]) / sum)} of its relevance from ${where}` : `has no relevance for ${where}`;
    return `step ${this.row} ${share}${lengths[this.row] ? ` and rests on ${lengths[this.row]} ${this.#unit}` : ""}`;
  }
}
