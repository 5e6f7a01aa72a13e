// The live picture with the heat over it.

import { Heat } from "./heat.js";
import { paintScale } from "./colours.js";
import { $, short } from "./dom.js";
import { drawable } from "./reading.js";

// Seconds after which an explanation begins to fade, and is gone.
const FRESH = 0.7;
const GONE = 3;

export class Stage {
  /** view: {layer, part, opacity, exact}, changed by the controls. */
  constructor(video, view) {
    this.video = video;
    this.view = view;
    this.canvas = $("picture");
    this.scales = new Map();
    this.heat = null;
    this.frame = null;
    requestAnimationFrame(() => this.#draw());
  }

  /** A window was answered; frames: the sent frames by sequence. */
  async show(answer, frames) {
    this.answer = answer;
    this.at = performance.now();
    const entries = drawable(answer);
    const entry = entries.find(({ method }) => method === this.view.layer) ?? entries[0];
    this.heat = entry ? new Heat(entry, answer.frames.used.length, answer.frames.placement) : null;
    if (this.heat) {
      this.key = `${answer.model} ${entry.method}`;
      this.scales.set(this.key, Math.max(this.scales.get(this.key) ?? 0, this.heat.peak));
      this.#legend(entry.method);
    }
    const last = frames.get(answer.frames.used.at(-1));
    if (!this.view.exact || !last) return;
    const picture = await createImageBitmap(last.blob);
    this.frame?.close();
    this.frame = picture;
  }

  clear() {
    this.heat = this.answer = null;
    this.frame?.close();
    this.frame = null;
  }

  rescale() {
    this.scales.delete(this.key);
  }

  #legend(method) {
    const scale = this.scales.get(this.key);
    const low = this.heat.signed ? short(-scale) : "0";
    if ($("scale-low").textContent !== low || this.painted !== this.heat.signed) {
      paintScale($("scale"), this.heat.signed);
      this.painted = this.heat.signed;
    }
    $("scale-low").textContent = low;
    $("scale-high").textContent = short(scale);
    $("scale-unit").textContent = `${method}, the same scale for all windows`;
  }

  #draw() {
    requestAnimationFrame(() => this.#draw());
    const live = this.video.videoWidth > 0 && (this.video.src || this.video.srcObject);
    $("empty").hidden = Boolean(live);
    const picture = this.view.exact && this.frame ? this.frame : this.video;
    const width = live ? (picture.videoWidth ?? picture.width) : 4;
    const height = live ? (picture.videoHeight ?? picture.height) : 3;
    if (!live) {
      $("age").hidden = true;
      this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
      return;
    }
    // Enlarged, so that the heat stays smooth; bounded, so that a screen's pixels need no time.
    const factor = Math.min(960 / width, 720 / height);
    const [w, h] = [Math.round(width * factor), Math.round(height * factor)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    const context = this.canvas.getContext("2d");
    context.filter = this.heat ? "saturate(.65)" : "none";
    context.drawImage(picture, 0, 0, w, h);
    context.filter = "none";
    if (this.heat) this.#overlay(context, w, h);
  }

  #overlay(context, width, height) {
    const age = (performance.now() - this.at) / 1000;
    const fade = this.view.exact ? 1 : Math.max(0, Math.min(1, (GONE - age) / (GONE - FRESH)));
    const frame = this.answer.frames.used.length - 1;
    const scale = this.scales.get(this.key) || this.heat.peak;
    this.heat.draw(context, width, height, frame, { part: this.view.part, opacity: fade * this.view.opacity, scale });
    $("age").hidden = age < FRESH;
    $("age").textContent = `explained ${age.toFixed(1)} s ago`;
  }
}
