// The frames of explained windows, played in their own time: where windows overlap, the film goes on without a jump.

const USUAL_FPS = 12;

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
    this.window = { pictures, used: frames.used, heat };
    this.frame = Math.max(0, next);
    this.period = 1000 / (frames.effective_fps || USUAL_FPS);
  }

  clear() {
    this.shown?.image.close();
    Object.assign(this, { window: null, shown: null, sequence: null, frame: 0, period: 100, due: 0, loading: false });
  }

  /** What to show now: {image, frame, heat, sequence}; null while there is nothing. */
  current() {
    const now = performance.now();
    if (this.window && !this.loading && now >= this.due) {
      this.due = now + this.period;
      this.#load(this.window, this.frame);
      this.frame = (this.frame + 1) % this.window.pictures.length;
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
      this.shown = { image, frame, heat: window.heat, sequence: this.sequence };
    } finally {
      this.loading = false;
    }
  }
}
