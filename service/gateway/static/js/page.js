// The live page: brings source, stream and panels together.

import { showError } from "./alert.js";
import { Ask } from "./ask.js";
import { Cost } from "./cost.js";
import { $, make, milliseconds, press } from "./dom.js";
import { drawers } from "./drawer.js";
import { listen } from "./keys.js";
import { linkOf, readLink, writeLink } from "./link.js";
import { Live } from "./live.js";
import { Moment } from "./moment.js";
import { drawable, frameCurve } from "./reading.js";
import { Says } from "./says.js";
import { showShared } from "./shared.js";
import { Source } from "./source.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { plainTitle, titleOf } from "./titles.js";

const TIMELINE_MILLISECONDS = 200;
const RATE_SECONDS = 3;
const NAMES = { live: "live", waiting: "reconnecting", broken: "stopped", idle: "ready" };

export class Page {
  constructor(service, models) {
    this.service = service;
    const link = readLink();
    this.view = { layer: link.layer, part: link.part, opacity: Number(link.opacity) / 100, exact: link.exact !== "0", source: link.source };
    this.ask = new Ask(service.wire, models, link, { model: () => this.#open(), change: (change) => this.#change(change) });
    this.says = new Says();
    this.time = new Timeline();
    this.stage = new Stage($("video"), this.view, (sequence) => this.time.point(sequence));
    this.cost = new Cost();
    this.live = new Live(service, { window: (window) => this.#window(window), state: (name, error) => this.#state(name, error) });
    this.source = new Source($("video"), {
      onFrame: (frame) => this.#frame(frame),
      wants: () => this.live.wants,
      onEnd: (words) => this.#fail(new Error(words)),
    });
    this.arrivals = { frames: [], windows: [] };
    this.jobs = 0;
    drawers();
    this.#controls();
    setInterval(() => this.#rates(), 500);
    this.#state("idle", null);
    $("strange").textContent = this.ask.strange.join(" ");
    $("strange").hidden = !this.ask.strange.length;
    if (link.job) showShared(service, link.job).catch(showError);
    if (["sample", "camera"].includes(link.source)) this.start(link.source);
  }

  async start(kind, file) {
    showError(null);
    const { name } = this.ask.model;
    try {
      if (!(await this.source.start(kind, kind === "sample" ? `samples/${name}` : file))) return;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.view.source = kind === "file" ? "" : kind;
    document.body.dataset.source = kind;
    press(document.querySelectorAll("[data-source]"), ({ dataset }) => dataset.source === kind);
    this.#open();
  }

  /** There is no source any more. */
  #fail(error) {
    this.#end();
    showError(error);
  }

  #end() {
    this.live.close();
    this.#clear();
    delete document.body.dataset.source;
    press(document.querySelectorAll("[data-source]"), () => false);
  }

  /** A person wants no source any more. */
  #stop() {
    this.source.stop();
    this.view.source = "";
    this.#end();
    this.#remember();
  }

  #open() {
    this.#remember();
    if (!this.source.kind) return;
    this.#clear();
    this.live.span = this.ask.model.input.frames;
    this.live.open(this.ask.request);
  }

  #change(change) {
    this.#remember();
    if (!this.source.kind) return;
    // A stream that was refused for what it asked begins anew; a running one is told.
    if (this.live.opened) this.live.update(change);
    else this.live.open(this.ask.request);
  }

  #clear() {
    this.stage.clear();
    this.says.clear();
    this.time.clear();
    this.cost.clear();
    this.last = null;
    $("freeze").disabled = true;
  }

  #frame(frame) {
    this.arrivals.frames.push(performance.now());
    this.live.add(frame);
  }

  #window(window) {
    const { answer } = window;
    this.arrivals.windows.push(performance.now());
    this.last = { answer, pictures: answer.frames.used.map((sequence) => this.live.frames.get(sequence)) };
    this.#layers(answer);
    this.stage.show(answer, this.last.pictures);
    const curve = frameCurve(answer, this.stage.entry?.method);
    this.says.show(answer, curve);
    this.cost.show(window, this.ask.methods, this.ask.budget.latency_seconds);
    $("freeze").disabled = false;
    const now = performance.now();
    if (now - (this.drawn ?? 0) < TIMELINE_MILLISECONDS) return;
    this.drawn = now;
    const { heat, scale } = this.stage;
    this.time.show(answer, this.last.pictures, curve, (context, picture, frame) => this.stage.paint(context, picture, frame, { heat, scale }));
  }

  #layers(answer) {
    const names = drawable(answer).map(({ method }) => method);
    const options = [...$("layer").options].map(({ value }) => value);
    if (names.join() !== options.join()) {
      const choices = names.length ? names : [""];
      $("layer").replaceChildren(...choices.map((name) => make("option", { value: name, textContent: name ? titleOf(name) : "nothing" })));
    }
    if (names.includes(this.view.layer)) $("layer").value = this.view.layer;
    const shown = drawable(answer).find(({ method }) => method === $("layer").value);
    // A part that the method does not know is not refused: it is chosen for the methods that do.
    const whole = this.view.part === "all" || !shown || shown.saliency?.mask;
    $("part-why").textContent = whole ? "" : `“${plainTitle(shown.method)}” does not tell what moves from what stands still, so all of it is shown; “What moves” does.`;
  }

  #freeze() {
    const { answer, pictures } = this.last ?? {};
    if (!answer || pictures.some((picture) => !picture)) return;
    const best = answer.prediction.top[0];
    const title = `${best.label}, ${new Date().toLocaleTimeString()}`;
    const moment = new Moment(
      this.service,
      { answer, pictures: pictures.map(({ blob }) => ({ blob })), model: this.ask.model, target: { ...this.ask.target, explained: { index: targetIndex(answer) } }, title },
      { link: (job) => this.#copy({ job }), removed: () => ($("no-moments").hidden = $("moment-list").children.length > 0), running: (on) => this.#deeper(on) },
    );
    $("moment-list").prepend(moment.element);
    $("no-moments").hidden = true;
  }

  /** A job of the page has begun or ended: what a person waits for comes first. */
  #deeper(begun) {
    this.jobs += begun ? 1 : -1;
    $("resting").hidden = !this.jobs;
    if (this.live.explains !== !this.jobs) this.live.explain(!this.jobs);
  }

  #state(name, error) {
    $("status").dataset.state = document.body.dataset.state = name;
    $("status").lastElementChild.textContent = NAMES[name];
    if (name === "live" || name === "idle") showError(null);
    else if (error) showError(error, name === "waiting" ? " Trying again by itself." : "");
  }

  #rates() {
    const since = performance.now() - 1000 * RATE_SECONDS;
    for (const [name, times] of Object.entries(this.arrivals)) {
      while (times.length && times[0] < since) times.shift();
      $(`rate-${name}`).textContent = this.source.kind ? `${(times.length / RATE_SECONDS).toFixed(1)}/s` : "–";
    }
    $("rate-lag").textContent = this.cost.lag === undefined || !this.live.opened ? "–" : milliseconds(this.cost.lag);
  }

  #controls() {
    const { view } = this;
    for (const button of document.querySelectorAll("[data-source]")) {
      button.onclick = () => (button.dataset.source === "file" ? $("file").click() : this.start(button.dataset.source));
    }
    press(document.querySelectorAll("[data-source]"), () => false);
    $("file").onchange = () => $("file").files.length && this.start("file", $("file").files[0]);
    const part = (name) => {
      view.part = name;
      press(document.querySelectorAll("[data-part]"), ({ dataset }) => dataset.part === name);
      if (this.last) this.#layers(this.last.answer);
      this.#remember();
    };
    for (const button of document.querySelectorAll("[data-part]")) button.onclick = () => part(button.dataset.part);
    part(view.part);
    $("opacity").value = 100 * view.opacity;
    $("opacity").oninput = ({ target }) => (view.opacity = target.value / 100);
    $("opacity").onchange = $("exact").onchange = $("layer").onchange = () => {
      view.exact = $("exact").checked;
      // While nothing is computed there is nothing to choose; what was chosen comes back with it.
      view.layer = $("layer").value || view.layer;
      this.#remember();
    };
    $("exact").checked = view.exact;
    $("freeze").onclick = () => this.#freeze();
    $("stop").onclick = () => this.#stop();
    $("share").onclick = () => this.#copy({});
    this.#drop($("stage"));
    listen({ f: () => this.#freeze(), a: () => part("all"), m: () => part("motion"), s: () => part("scene"), " ": () => this.source.kind && this.source.toggle() });
  }

  #drop(stage) {
    stage.ondragover = (event) => {
      event.preventDefault();
      stage.classList.add("over");
    };
    stage.ondragleave = () => stage.classList.remove("over");
    stage.ondrop = (event) => {
      event.preventDefault();
      stage.classList.remove("over");
      if (event.dataTransfer.files.length) this.start("file", event.dataTransfer.files[0]);
    };
  }

  get #link() {
    const { layer, part, opacity, exact, source } = this.view;
    return { ...this.ask.view, source, layer, part, opacity: Math.round(100 * opacity), exact: exact ? "" : "0" };
  }

  #remember() {
    if (this.ask) writeLink(this.#link);
  }

  async #copy(extra) {
    const address = linkOf({ ...this.#link, ...extra });
    try {
      await navigator.clipboard.writeText(address);
      $("share").textContent = "Copied";
    } catch {
      history.replaceState(null, "", address);
      $("share").textContent = "See the address bar";
    }
    setTimeout(() => ($("share").textContent = "Share"), 2000);
  }
}

/** The class that the answer's explanations are about. */
function targetIndex(answer) {
  return answer.explanations.find(({ target }) => target)?.target.index ?? answer.prediction.top[0].index;
}
