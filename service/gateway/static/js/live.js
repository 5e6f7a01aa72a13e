// The live stream: frames out while there is credit, windows in, and opened again whenever it breaks.

import { ServiceError } from "./service.js";

const DROP_OLDEST = 2;
const NEWEST = 2;
const UINT8 = 3;
const LONGEST_PAUSE = 5000;
const PASSING = new Set(["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL"]);
// Bytes that may wait in the socket before frames are left out.
const MOST_WAITING = 1 << 20;
// The service returns credit whatever its workers do: one that has taken all and says nothing is gone or hangs.
const SILENCE = 10_000;
// Pictures kept for answers that are on their way, beyond one window: half a minute's, for a service under load.
const SPARE_FRAMES = 750;

export class Live {
  /** on: {window(answer), state(name, error or null)} with names "live", "waiting", "broken", "idle". */
  constructor(service, on) {
    this.service = service;
    this.on = on;
    this.frames = new Map();
    this.request = null;
    this.socket = null;
    this.pause = 250;
    this.size = null;
    this.explains = true;
  }

  /** Begins a stream, or begins it anew with another request (StreamOpen without policies, and whether the gap is measured). */
  open(request) {
    this.request = request;
    this.#connect();
  }

  /** Asks something else of the following windows (StreamUpdate). */
  update(change) {
    Object.assign(this.request, change.clear_methods ? { methods: [] } : {}, without(change, "clear_methods"));
    const told = this.explains ? change : without(without(change, "clear_methods"), "methods");
    if (this.opened && Object.keys(told).length) this.socket.send({ update: told });
  }

  /** Whether the following windows are explained as asked, or predicted alone. */
  explain(on) {
    this.explains = on;
    if (!this.opened) return;
    const { methods } = this.request;
    this.socket.send({ update: on && methods.length ? { methods } : { clear_methods: true } });
  }

  close() {
    this.#leave();
    this.request = null;
    this.#forget();
    this.on.state("idle", null);
  }

  get wants() {
    return this.opened && this.credit > 0 && this.socket.waiting() < MOST_WAITING;
  }

  /** Sends a captured frame; one without a picture is a number left out, which the service counts as missing. */
  async add(frame) {
    if (this.asleep) this.#connect();
    const sequence = this.sequence++;
    if (this.socket && (!this.opened || this.credit <= 0) && performance.now() - this.heard > SILENCE) this.#give();
    const size = `${frame.width}x${frame.height}`;
    const fits = !this.size || this.size === size;
    if (!fits) this.#connect();
    if (!fits || !frame.blob || !this.opened || this.credit <= 0) {
      frame.thumb?.close();
      return;
    }
    this.size = size;
    this.credit--;
    frame.taken = performance.now();
    this.frames.set(sequence, frame);
    this.#trim();
    const { socket } = this;
    const image = new Uint8Array(await frame.blob.arrayBuffer());
    if (socket === this.socket) socket.send({ frame: { sequence, timestamp: frame.time, image, note: frame.note } });
  }

  #connect() {
    this.#leave();
    this.#forget();
    Object.assign(this, { sequence: 0, credit: 0, opened: null, size: null, asleep: false, heard: performance.now() });
    const socket = this.service.stream("ExplainStream", {
      open: () => socket.send({ open: this.#opening() }),
      message: (message) => this.#receive(message),
      end: (error) => this.#end(error),
    });
    this.socket = socket;
  }

  #opening() {
    const { insertion_deletion_gap, ...question } = this.request;
    return { ...question, methods: this.explains ? question.methods : [], output: { encoding: UINT8, insertion_deletion_gap }, fill: DROP_OLDEST, consume: NEWEST };
  }

  #receive({ opened, window, credit }) {
    this.heard = performance.now();
    if (opened) {
      this.opened = opened;
      this.credit = opened.credit;
      this.on.state("live", null);
    } else if (credit) this.credit += credit.frames;
    else if (window) {
      // Not before: a stream may open and break at once, over and over.
      this.pause = 250;
      this.on.window(window);
    }
  }

  /** Leaves a service that does not answer. */
  #give() {
    this.#leave();
    this.#end(new ServiceError({ code: "UNAVAILABLE", message: "The service does not answer." }));
  }

  #end(error) {
    this.opened = null;
    this.socket = null;
    if (error?.reason === "STREAM_IDLE") {
      // Paused, or in a tab that nobody sees: the next frame opens a stream again.
      this.asleep = true;
      this.on.state("idle", null);
      return;
    }
    const passing = !error || PASSING.has(error.code);
    this.on.state(passing ? "waiting" : "broken", error ?? new ServiceError({ code: "UNAVAILABLE", message: "The service ended the stream." }));
    if (!passing) return;
    const pause = Math.max(this.pause, 1000 * (error?.retryAfter ?? 0));
    this.timer = setTimeout(() => this.#connect(), pause);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE);
  }

  #leave() {
    clearTimeout(this.timer);
    this.asleep = false;
    this.socket?.close();
    this.socket = null;
    this.opened = null;
  }

  #trim() {
    const { stride } = this.opened.window;
    const most = SPARE_FRAMES + stride * (this.span ?? 32);
    for (const [sequence, frame] of this.frames) {
      if (this.frames.size <= most) break;
      frame.thumb.close();
      this.frames.delete(sequence);
    }
  }

  #forget() {
    for (const { thumb } of this.frames.values()) thumb.close();
    this.frames.clear();
  }
}

function without(object, key) {
  const { [key]: _, ...rest } = object;
  return rest;
}
