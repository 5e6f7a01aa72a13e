// The live picture with the heat over it.

import { paintScale } from "./colours.js";
import { $, short } from "./dom.js";
import { Heat } from "./heat.js";
import { drawable, meaning } from "./reading.js";
import { Replay } from "./replay.js";

// Seconds after which an explanation begins to fade, unless windows come more slowly, and that the fading takes.
const FRESH = 0.7;
const FADING = 2.3;
// However slowly windows come.
const LONGEST_FRESH = 8;

export class Stage {
  /** view: {layer, part, opacity, exact}, changed by the controls. onFrame(sequence): which explained frame is shown
   * now, null for the live picture. */
  constructor(video, view, onFrame) {
    Object.assign(this, { video, view, onFrame });
    // Counts the video's pictures: one that is drawn already is not drawn again.
    this.moved = 0;
    const next = () => {
      this.moved++;
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    this.canvas = $("picture");
    this.scales = new Map();
    this.heat = null;
    this.fresh = FRESH;
    this.replay = new Replay();
    requestAnimationFrame(() => this.#draw());
  }

  /** A window was answered; pictures: of its frames, undefined where one is no longer kept. */
  show(answer, pictures) {
    const now = performance.now();
    this.fresh = Math.min(LONGEST_FRESH, Math.max(FRESH, this.answer ? (1.5 * (now - this.at)) / 1000 : 0));
    this.answer = answer;
    this.at = now;
    const entries = drawable(answer);
    const entry = entries.find(({ method }) => method === this.view.layer) ?? entries[0];
    this.entry = entry;
    this.heat = entry ? new Heat(entry, answer.frames.used.length, answer.frames.placement) : null;
    if (this.heat) {
      this.key = `${answer.model} ${entry.method}`;
      this.scales.set(this.key, Math.max(this.scales.get(this.key) ?? 0, this.heat.peak));
      this.#legend(entry.method);
    } else this.#noLegend();
    this.replay.show(this.view.exact ? pictures : [], answer.frames, this.heat);
  }

  clear() {
    this.heat = this.answer = null;
    this.#noLegend();
    this.replay.clear();
  }

  rescale() {
    this.scales.delete(this.key);
  }

  /** The value of the heat that is drawn at full strength. */
  get scale() {
    return this.scales.get(this.key) || this.heat?.peak;
  }

  #legend(method) {
    const scale = this.scales.get(this.key);
    const low = this.heat.signed ? short(-scale) : "0";
    if ($("scale-low").textContent !== low || this.painted !== this.heat.signed) {
      paintScale($("scale"), this.heat.signed);
      this.painted = this.heat.signed;
    }
    $("scale").parentElement.style.visibility = "visible";
    $("scale-low").textContent = low;
    $("scale-high").textContent = short(scale);
    $("scale-unit").textContent = `${meaning(this.entry, this.heat.signed)} (${method})`;
  }

  /** Nothing lies over the picture. */
  #noLegend() {
    $("scale-unit").textContent = "";
    // Its room is kept: budgets take heat away and give it back.
    $("scale").parentElement.style.visibility = "hidden";
  }

  #draw() {
    requestAnimationFrame(() => this.#draw());
    const live = this.video.videoWidth > 0 && (this.video.src || this.video.srcObject);
    $("empty").hidden = Boolean(live);
    const age = this.answer ? (performance.now() - this.at) / 1000 : 0;
    const fade = Math.max(0, Math.min(1, 1 - (age - this.fresh) / FADING));
    // Explained frames that nothing new follows give way to the picture as it is now.
    const replayed = this.view.exact && fade > 0 ? this.replay.current() : null;
    const picture = replayed?.image ?? this.video;
    this.onFrame(replayed?.sequence ?? null);
    $("age").hidden = !live || !this.answer || age < this.fresh;
    $("age").textContent = `explained ${age.toFixed(1)} s ago`;
    const width = live ? (picture.videoWidth ?? picture.width) : 4;
    const height = live ? (picture.videoHeight ?? picture.height) : 3;
    if (!live) {
      this.drawn = null;
      this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
      return;
    }
    // Enlarged, so that the heat stays smooth; bounded, so that a screen's pixels need no time.
    const factor = Math.min(960 / width, 720 / height);
    const [w, h] = [Math.round(width * factor), Math.round(height * factor)];
    const heat = replayed ? replayed.heat : this.heat;
    const opacity = Math.round(100 * fade * this.view.opacity) / 100;
    const looks = [replayed ?? this.moved, w, h, heat, this.view.part, opacity, this.scale];
    if (this.drawn && looks.every((value, i) => value === this.drawn[i])) return;
    this.drawn = looks;
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    const context = this.canvas.getContext("2d");
    context.filter = heat && fade > 0 ? "saturate(.65)" : "none";
    context.drawImage(picture, 0, 0, w, h);
    context.filter = "none";
    // Over the moving picture, all of the window's heat at once; over a replayed frame, the frame's own.
    heat?.draw(context, w, h, replayed?.frame ?? null, { part: this.view.part, opacity, scale: this.scale });
  }
}
