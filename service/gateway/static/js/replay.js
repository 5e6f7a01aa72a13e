// The frames of explained windows, played in their own time: where windows overlap, the film goes on without a jump.

import { frameTimes } from "./clock.js";

export class Replay {
  constructor() {
    this.clear();
  }

  /** A new window: goes on after the last frame shown, or from its beginning. */
  show(pictures, frames, heat) {
    const next = this.sequence === null ? 0 : frames.used.findIndex((sequence) => sequence > this.sequence);
    if (!pictures.length || !pictures.every(Boolean)) {
      // The last picture must not stand still over the live one.
      this.clear();
      return;
    }
    const times = frameTimes(frames);
    // The next window begins its new frames no sooner than the last frames came: until then the last one stays.
    const last = pictures.length - 1;
    if (last > 0) times[last + 1] = Math.max(times[last + 1], 2 * times[last] - times[last - 1]);
    this.window = { pictures, used: frames.used, heat, times };
    this.frame = Math.max(0, next);
    // How long the frame that is shown stays is known only now, where it was the last one.
    const shown = this.sequence === null ? -1 : frames.used.indexOf(this.sequence);
    if (shown >= 0 && next > shown) this.due = this.since + 1000 * (this.window.times[next] - this.window.times[shown]);
  }

  clear() {
    this.shown?.image.close();
    Object.assign(this, { window: null, shown: null, sequence: null, frame: 0, since: 0, due: null, loading: false });
  }

  /** What to show now: {image, frame, heat, sequence, taken}; null while there is nothing. */
  current() {
    const now = performance.now();
    if (this.window && !this.loading && now >= this.due) {
      const { times, pictures } = this.window;
      const lasts = 1000 * (times[this.frame + 1] - times[this.frame]);
      // What a frame comes late by, the next one makes up for.
      this.since = this.due === null ? now : Math.max(this.due, now - lasts);
      this.due = this.since + lasts;
      this.#load(this.window, this.frame);
      this.frame = (this.frame + 1) % pictures.length;
    }
    return this.shown;
  }

  async #load(window, frame) {
    this.loading = true;
    try {
      const image = await createImageBitmap(window.pictures[frame].blob);
      if (this.window === null) {
        image.close();
        return;
      }
      this.shown?.image.close();
      this.sequence = window.used[frame];
      this.shown = { image, frame, heat: window.heat, sequence: this.sequence, taken: window.pictures[frame].taken };
    } finally {
      this.loading = false;
    }
  }
}
