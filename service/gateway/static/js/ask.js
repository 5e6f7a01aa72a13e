// The controls that say what is explained: model, target, contrast, methods, measures, budget.

import { $, make } from "./dom.js";
import { openDrawer } from "./drawer.js";
import { isClass, live, methodOf, targetOf, usual } from "./methods.js";
import { plainTitle } from "./titles.js";

// Positions of the budget sliders: most overhead of explaining in percent of predicting, most milliseconds until an
// answer; the last is no budget.
const SHARES = [0, 10, 20, 30, 50, 75, 100, 200, 400, 800, null];
const LIMITS = [50, 100, 250, 500, 1000, 2000, null];

export class Ask {
  /** on: {model(), change(StreamUpdate)}. chosen: what the link asks for; `strange` says what of it is not here. */
  constructor(wire, models, chosen, on) {
    this.models = models;
    this.on = on;
    $("model").replaceChildren(...models.map(({ name, version, description }) => make("option", { value: name, textContent: `${name} ${version}`, title: description })));
    if (models.some(({ name }) => name === chosen.model)) $("model").value = chosen.model;
    $("target").value = chosen.target;
    $("contrast").value = chosen.contrast;
    $("gap").checked = chosen.gap === "1";
    $("budget").value = place(SHARES, chosen.budget);
    $("within").value = place(LIMITS, chosen.within);
    const named = chosen.methods ? chosen.methods.split(",").filter((name) => name !== "none") : null;
    this.strange = [
      ...(chosen.model && this.model.name !== chosen.model ? [`There is no model “${chosen.model}” here; ${this.model.name} is shown.`] : []),
      ...(named ?? []).filter((name) => !live(this.model).some(({ method }) => method === name)).map((name) => `${this.model.name} has no live explanation “${name}”.`),
    ];
    this.#fill(named);
    $("model").onchange = () => {
      this.#fill(null);
      on.model();
    };
    for (const id of ["target", "contrast"]) $(id).onchange = () => this.#target();
    $("methods").onchange = () => this.#methods();
    $("gap").onchange = () => on.change({ insertion_deletion_gap: $("gap").checked });
    for (const id of ["budget", "within"]) $(id).oninput = () => this.#budget(true);
    this.#budget(false);
  }

  get model() {
    return this.models.find(({ name }) => name === $("model").value);
  }

  get methods() {
    return [...$("methods").querySelectorAll("input:checked")].map(({ value }) => value);
  }

  get target() {
    return targetOf($("target").value, $("contrast").value);
  }

  /** The request of a stream. */
  get request() {
    return { model: this.model.name, target: this.target, methods: this.methods.map(methodOf), budget: this.budget, insertion_deletion_gap: $("gap").checked };
  }

  get budget() {
    const { share, limit } = this.#limits;
    return { ...(share !== null && { overhead_share: share / 100 }), ...(limit !== null && { latency_seconds: limit / 1000 }) };
  }

  get #limits() {
    return { share: SHARES[Number($("budget").value)], limit: LIMITS[Number($("within").value)] };
  }

  /** For the link. */
  get view() {
    const methods = this.methods.join(",") || "none";
    const { share, limit } = this.#limits;
    return {
      model: this.model === this.models[0] ? "" : this.model.name,
      target: $("target").value,
      contrast: $("contrast").value,
      methods: methods === usual(this.model).join(",") ? "" : methods,
      budget: share ?? "",
      within: limit ?? "",
      gap: $("gap").checked ? "1" : "",
    };
  }

  #fill(chosen) {
    const { model } = this;
    const on = new Set(chosen ?? usual(model));
    $("labels").replaceChildren(...model.labels.map((label) => make("option", { value: label })));
    $("methods").replaceChildren(...live(model).map(({ method, description }) => make("label", { title: description }, make("input", { type: "checkbox", value: method, checked: on.has(method), ariaLabel: method }), plainTitle(method), make("small", { className: "faint", textContent: method }))));
    this.#valid();
  }

  /** Unknown classes are told below their fields and not sent. */
  #valid() {
    const { name, labels } = this.model;
    const unknown = ["target", "contrast"].filter((id) => $(id).value && !isClass($(id).value, labels));
    for (const id of ["target", "contrast"]) $(id).setAttribute("aria-invalid", String(unknown.includes(id)));
    const said = unknown.map((id) => `${name} has no class “${$(id).value}”.`);
    $("unknown").textContent = said.length ? `${said.join(" ")} Choose one of the list, ${labels[0]} for example, or leave the field empty.` : "";
    $("unknown").hidden = !said.length;
    if (said.length) openDrawer();
    return !said.length;
  }

  #target() {
    if (this.#valid()) this.on.change({ target: this.target });
  }

  #methods() {
    const methods = this.methods.map(methodOf);
    this.on.change(methods.length ? { methods } : { clear_methods: true });
  }

  #budget(tell) {
    const { share, limit } = this.#limits;
    const within = limit === null ? "when ready" : `within ${limit} ms`;
    const most = share === null ? "any" : share === 0 ? "predictions only" : `at most ${share} %`;
    $("within-value").textContent = $("within").ariaValueText = within;
    $("budget-value").textContent = $("budget").ariaValueText = most;
    if (tell) this.on.change({ budget: this.budget });
  }
}

/** The slider's position that is nearest to what a link asks for; nothing asked is no budget. */
function place(steps, asked) {
  if (asked === "" || !Number.isFinite(Number(asked))) return steps.length - 1;
  const away = steps.slice(0, -1).map((step) => Math.abs(step - Number(asked)));
  return away.indexOf(Math.min(...away));
}
