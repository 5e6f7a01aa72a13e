// The live picture with the relevance laid over it.

import { paintScale } from "./colours.js";
import { $, short } from "./dom.js";
import { overlayOf, pale } from "./heat.js";
import { drawable, meaning } from "./reading.js";
import { Replay } from "./replay.js";

// Seconds after which an explanation begins to fade, unless windows come more slowly, and that the fading takes.
const FRESH = 0.7;
const FADING = 2.3;
// However slowly windows come.
const LONGEST_FRESH = 8;
// Seconds in which the scale falls to half of a peak that is over.
const HALF_LIFE = 3;

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
    this.heat = this.entry = null;
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
    this.taken = pictures.at(-1)?.taken ?? now;
    const entries = drawable(answer);
    this.entry = entries.find(({ method }) => method === this.view.layer) ?? entries[0] ?? null;
    this.heat = this.entry && overlayOf(this.entry, answer.frames);
    if (this.heat) {
      this.key = `${answer.model} ${this.entry.method}`;
      this.#follow(this.heat.peak, answer.frames.timestamps.at(-1) ?? now / 1000);
      this.#legend();
    } else this.#noLegend();
    this.replay.show(this.view.exact ? pictures : [], answer.frames, this.heat);
  }

  clear() {
    this.heat = this.entry = this.answer = null;
    this.scales.clear();
    this.#noLegend();
    this.replay.clear();
  }

  /** The value of the relevance that is drawn at full strength. */
  get scale() {
    return this.scales.get(this.key)?.value;
  }

  /** Draws a picture over the whole canvas of a context, and over it the relevance at a frame of the explained window; frame
   * null: the strongest of all its frames. */
  paint(context, picture, frame, { heat = this.heat, scale = this.scale, opacity = this.view.opacity } = {}) {
    const { width, height } = context.canvas;
    if (!heat || opacity <= 0) {
      context.drawImage(picture, 0, 0, width, height);
      return;
    }
    pale(context, picture, width, height);
    heat.draw(context, width, height, frame, { part: this.view.part, opacity, scale });
  }

  /** The scale follows the windows' peaks: up at once, down by half in HALF_LIFE. time: the window's end in seconds. */
  #follow(peak, time) {
    const before = this.scales.get(this.key);
    // A source that begins again goes back in time.
    const fallen = before ? before.value * 0.5 ** (Math.max(0, time - before.time) / HALF_LIFE) : 0;
    this.scales.set(this.key, { value: Math.max(peak, fallen), time });
  }

  #legend() {
    const { method } = this.entry;
    const { signed } = this.heat;
    const looks = `${method} ${signed}`;
    if (this.painted !== looks) paintScale($("scale"), method, signed);
    this.painted = looks;
    $("scale").parentElement.style.visibility = "visible";
    $("scale-low").textContent = signed ? short(-this.scale) : "0";
    $("scale-high").textContent = short(this.scale);
    const said = `${meaning(this.entry, signed)}. ${this.heat.lines}. Full strength is the latest peak, which halves every ${HALF_LIFE} s.`;
    if ($("scale-unit").textContent !== said) $("scale-unit").textContent = said;
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
    const since = this.answer ? (performance.now() - this.at) / 1000 : 0;
    const fade = Math.max(0, Math.min(1, 1 - (since - this.fresh) / FADING));
    // Explained frames that nothing new follows give way to the picture as it is now.
    const replayed = this.view.exact && fade > 0 ? this.replay.current() : null;
    const picture = replayed?.image ?? this.video;
    this.onFrame(replayed?.sequence ?? null);
    this.#age(live && this.answer, replayed, since > this.fresh);
    if (!live) {
      this.drawn = null;
      this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
      return;
    }
    const width = picture.videoWidth ?? picture.width;
    const height = picture.videoHeight ?? picture.height;
    // Enlarged, so that lines stay smooth; bounded, so that a screen's pixels need no time.
    const factor = Math.min(960 / width, 720 / height);
    const [w, h] = [Math.round(width * factor), Math.round(height * factor)];
    const heat = replayed ? replayed.heat : this.heat;
    const opacity = Math.round(100 * fade * this.view.opacity) / 100;
    const looks = [replayed ?? this.moved, w, h, heat, this.view.part, opacity, this.scale];
    if (this.drawn && looks.every((value, i) => value === this.drawn[i])) return;
    this.drawn = looks;
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    // Over the moving picture, all of the window's relevance at once; over a replayed frame, the frame's own.
    this.paint(this.canvas.getContext("2d"), picture, replayed?.frame ?? null, { heat, opacity });
  }

  /** How old what is shown is: the explained frame in the picture, else the explanation. */
  #age(known, replayed, stale) {
    $("age").hidden = !known;
    if (!known) return;
    const age = (performance.now() - (replayed?.taken ?? this.taken)) / 1000;
    const what = replayed && !stale ? `frame ${replayed.frame},` : "explained";
    const said = `${what} ${age.toFixed(1)} s ago`;
    if ($("age").textContent !== said) $("age").textContent = said;
    $("age").classList.toggle("stale", stale);
  }
}
