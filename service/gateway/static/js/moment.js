// One frozen window: scrub it, look deeper with a job, keep, export and share the result.

import { frameTimes } from "./clock.js";
import { paintScale } from "./colours.js";
import { $, colour, duration, make, press, save, sharp, short } from "./dom.js";
import { Heat, pale } from "./heat.js";
import { cancel, clipOf, create, film, follow } from "./job.js";
import { jobs } from "./methods.js";
import { frameCurve, meaning, sentence } from "./reading.js";
import { toArray } from "./tensor.js";
import { plainTitle, titleOf } from "./titles.js";
import { zip } from "./zip.js";

const MP4 = 1;

export class Moment {
  /** given: {answer, pictures, model, target, title}; on: {link(job id), removed(), running(whether a job of it runs)}. */
  constructor(service, given, on) {
    Object.assign(this, given, { service, on, frame: 0, shown: null, playing: null });
    this.times = frameTimes(this.answer.frames);
    this.element = $("moment-template").content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.element.querySelector(selector);
    this.results = new Map();
    this.jobs = new Map();
    this.find("h3").textContent = this.title;
    this.find(".scrub").max = this.pictures.length - 1;
    this.find(".scrub").oninput = (event) => this.#go(Number(event.target.value));
    this.find(".play").onclick = () => this.#play();
    this.find(".run").onclick = () => this.#run(this.find(".job-method").value);
    this.find(".cancel").onclick = () => this.#cancel().catch((error) => this.#trouble(error));
    this.find(".export").onclick = () => this.#export().catch((error) => this.#trouble(error));
    this.find(".link").onclick = () => on.link(this.jobs.get(this.shown) ?? "");
    this.find(".remove").onclick = () => this.remove();
    this.find(".job-method").replaceChildren(...jobs(this.model).map(({ method, description }) => make("option", { value: method, textContent: titleOf(method), title: description })));
    this.find(".job").hidden = jobs(this.model).length === 0;
    for (const entry of this.answer.explanations) if (!entry.failure) this.results.set(entry.method, { entry, answer: this.answer });
    this.#tabs();
    this.#show(this.results.keys().next().value ?? null);
  }

  remove() {
    clearTimeout(this.playing);
    // Nobody waits for it any more.
    if (this.running) cancel(this.service, this.running).catch(reportError);
    this.element.remove();
    this.on.removed();
  }

  #tabs() {
    const buttons = [...this.results.keys()].map((name) => make("button", { textContent: plainTitle(name), value: name, title: titleOf(name), onclick: () => this.#show(name) }));
    this.find(".results").replaceChildren(...buttons);
    press(buttons, (button) => button.value === this.shown);
  }

  #show(name) {
    this.shown = name;
    press(this.find(".results").children, (button) => button.value === name);
    const { entry, answer, partial } = this.results.get(name) ?? { entry: null, answer: this.answer };
    this.heat = entry?.saliency ? new Heat(entry, { ...this.answer.frames, placement: (answer.frames ?? this.answer.frames).placement }) : null;
    this.bars = entry && !entry.saliency ? barsOf(entry) : null;
    // The service counts the frames of the stream, a job those of the clip, as the slider does.
    const live = this.answer.explanations.includes(entry);
    const said = entry?.reading && !live ? `${entry.reading}.` : sentence(this.answer, frameCurve(this.answer, name));
    // What was unusual about the window's frames is so for its jobs too.
    const notes = [...new Set([...this.answer.frames.notes, ...(answer.frames?.notes ?? [])])].map((note) => `${note[0].toUpperCase()}${note.slice(1)}.`);
    this.find(".reading").textContent = (partial ? "So far: " : "") + [said, ...(entry?.notes ?? []), ...notes].join(" ");
    this.#legend(entry);
    this.#objective(entry?.curves?.[0]);
    this.#draw();
  }

  #legend(entry) {
    const { heat } = this;
    this.find(".legend").hidden = !heat;
    if (!heat) return;
    const [low, scale, high, unit] = this.find(".legend").children;
    paintScale(scale, entry.method, heat.signed);
    low.textContent = heat.signed ? short(-heat.peak) : "0";
    high.textContent = short(heat.peak);
    unit.textContent = meaning(entry, heat.signed);
  }

  #go(frame) {
    this.frame = frame;
    this.find(".scrub").value = frame;
    this.#draw();
  }

  #play() {
    const button = this.find(".play");
    if (this.playing) {
      this.playing = clearTimeout(this.playing);
      Object.assign(button, { textContent: "▶", ariaLabel: "Play" });
      return;
    }
    Object.assign(button, { textContent: "❚❚", ariaLabel: "Pause" });
    this.#wait();
  }

  /** Shows the next frame once this one's time is over. */
  #wait() {
    const { frame, times } = this;
    this.playing = setTimeout(() => {
      this.#go((this.frame + 1) % this.pictures.length);
      this.#wait();
    }, 1000 * (times[frame + 1] - times[frame]));
  }

  async #draw() {
    const { frame, heat, bars } = this;
    const picture = await createImageBitmap(this.pictures[frame].blob);
    if (frame !== this.frame || heat !== this.heat) return;
    const canvas = this.find("canvas");
    const high = (480 * picture.height) / picture.width;
    Object.assign(canvas, { width: 480, height: high + (bars ? 70 : 0) });
    const context = canvas.getContext("2d");
    if (heat) pale(context, picture, 480, high);
    else context.drawImage(picture, 0, 0, 480, high);
    picture.close();
    heat?.draw(context, 480, high, frame, { opacity: 0.85 });
    if (bars) drawBars(context, bars, frame / (this.pictures.length - 1), high + 4, 62);
    // Counted as the filmstrip and the sentences count.
    this.find("output").textContent = this.find(".scrub").ariaValueText = `frame ${frame}`;
    canvas.ariaLabel = `Frame ${frame} of 0 to ${this.pictures.length - 1}${this.shown ? ` with ${this.shown} laid over it` : ""}`;
  }

  #objective(curve) {
    const canvas = this.find(".curve");
    canvas.hidden = !(curve?.y.length > 1);
    if (canvas.hidden) return;
    const width = canvas.clientWidth || 240;
    const context = sharp(canvas, width, 70);
    const [low, high] = [Math.min(...curve.y), Math.max(...curve.y)];
    context.strokeStyle = colour("--accent");
    context.lineWidth = 1.5;
    context.beginPath();
    curve.y.forEach((y, i) => context.lineTo((i / (curve.y.length - 1)) * width, 52 - (high > low ? (y - low) / (high - low) : 0.5) * 48));
    context.stroke();
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = colour("--faint");
    context.fillText(`${curve.name} over ${curve.x_name}: ${curve.y[0].toPrecision(2)} to ${curve.y.at(-1).toPrecision(2)}`, 0, 67);
  }

  async #run(method) {
    const [bar, note] = this.find(".progress").children;
    this.#trouble(null);
    this.find(".run").disabled = true;
    this.find(".progress").hidden = false;
    bar.removeAttribute("value");
    note.textContent = "sending";
    this.on.running(true);
    try {
      const clip = await clipOf(this.pictures, this.times);
      const { id } = await create(this.service, { name: "moment", model: this.answer.model, target: this.target, clip, method });
      this.running = id;
      Object.assign(this.find(".cancel"), { hidden: false, disabled: false });
      note.textContent = "queued";
      const answer = await follow(this.service, id, {
        progress: (progress) => this.#progress(bar, note, progress),
        partial: (entry, curve) => this.#keep(method, curve ? { ...entry, curves: [curve] } : entry, this.answer, true),
      });
      if (!answer) return;
      this.jobs.set(method, id);
      this.#keep(method, answer.explanations[0], answer);
    } catch (error) {
      this.#trouble(error, `“${plainTitle(method)}” has no result: `);
    } finally {
      this.running = null;
      this.on.running(false);
      this.find(".run").disabled = false;
      this.find(".progress").hidden = this.find(".cancel").hidden = true;
    }
  }

  async #cancel() {
    this.find(".cancel").disabled = true;
    this.find(".progress").children[1].textContent = "cancelling …";
    await cancel(this.service, this.running);
  }

  /** What went wrong, beside what it went wrong with; null takes it back. */
  #trouble(error, before = "") {
    this.find(".trouble").hidden = !error;
    this.find(".trouble").textContent = error ? `${before}${error.message}` : "";
  }

  #progress(bar, note, progress) {
    if (!progress?.iterations || this.find(".cancel").disabled) return;
    bar.value = progress.iteration / progress.iterations;
    const left = progress.left ? `, about ${duration(progress.left.seconds + progress.left.nanos / 1e9)} left` : "";
    note.textContent = `${progress.iteration} of ${progress.iterations}${left}`;
  }

  #keep(method, entry, answer, partial = false) {
    this.results.set(method, { entry, answer, partial });
    this.#tabs();
    this.#show(method);
  }

  async #export() {
    const clip = await clipOf(this.pictures, this.times);
    const files = clip.frames.images.map((image, i) => [`frames/${String(i).padStart(3, "0")}.jpg`, image]);
    const [entry] = this.answer.explanations;
    if (this.jobs.has(this.shown)) files.push([`${this.shown}.mp4`, await film(this.service, this.jobs.get(this.shown))]);
    else if (entry) {
      const methods = this.answer.explanations.map(({ method }) => ({ [method.replaceAll("-", "_")]: {} }));
      const { answer } = await this.service.call("ExplainClip", { model: this.answer.model, clip, target: this.target, methods, output: { overlay: MP4 } });
      for (const { method, overlay } of answer.explanations) if (overlay) files.push([`${method}.mp4`, overlay.data]);
    }
    const document = { answer: this.answer, explanations: [...this.results.values()].map((result) => result.entry) };
    files.push(["answer.json", new TextEncoder().encode(JSON.stringify(document, plain, 1))]);
    save(`${this.title.replaceAll(/[^\w-]+/g, "-").toLowerCase()}.zip`, zip(files));
  }
}

/** For JSON: tensors as nested shape and numbers, pictures left out. */
function plain(key, value) {
  if (value?.dtype && value.shape) return { shape: value.shape, values: [...toArray(value).data].map((number) => Number(number.toPrecision(5))) };
  return value instanceof Uint8Array ? undefined : value;
}

function barsOf(entry) {
  if (entry.relevance_matrix) {
    const { shape, data } = toArray(entry.relevance_matrix.values);
    return Array.from({ length: shape[1] }, (_, j) => data.reduce((sum, value, i) => sum + (i % shape[1] === j ? value : 0), 0));
  }
  if (!entry.frame_attribution) return null;
  const { shape, data } = toArray(entry.frame_attribution.values);
  const wide = shape[1] ?? 1;
  return Array.from({ length: shape[0] }, (_, frame) => data[frame * wide + (wide > 1 ? (entry.target?.index ?? 0) : 0)]);
}

function drawBars(context, values, place, top, height) {
  const most = Math.max(...values.map(Math.abs)) || 1;
  const zero = values.some((value) => value < 0) ? top + height / 2 : top + height;
  const room = zero - top;
  const step = context.canvas.width / values.length;
  values.forEach((value, i) => {
    context.fillStyle = value < 0 ? "#6f9bd8" : "#ffb03b";
    context.globalAlpha = Math.abs(place * (values.length - 1) - i) <= 0.5 ? 1 : 0.5;
    const size = (Math.abs(value) / most) * room;
    context.fillRect(i * step, value < 0 ? zero : zero - size, step - 2, size);
  });
  context.globalAlpha = 1;
}
