// The controls that say what is explained: model, target, contrast, methods, budget.

import { $, make } from "./dom.js";
import { live, methodOf, targetOf, usual } from "./methods.js";

// Positions of the budget sliders: most overhead of explaining over predicting, most seconds until an answer; the last
// is no budget.
const SHARES = [0, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 4, 8, null];
const LIMITS = [0.05, 0.1, 0.25, 0.5, 1, 2, null];

export class Ask {
  /** on: {model(), change(StreamUpdate)}. chosen: what the link asks for. */
  constructor(wire, models, chosen, on) {
    this.models = models;
    this.on = on;
    $("model").replaceChildren(...models.map(({ name, version, description }) => make("option", { value: name, textContent: `${name} ${version}`, title: description })));
    if (models.some(({ name }) => name === chosen.model)) $("model").value = chosen.model;
    $("target").value = chosen.target;
    $("contrast").value = chosen.contrast;
    $("budget").value = chosen.budget || SHARES.length - 1;
    $("within").value = chosen.within || LIMITS.length - 1;
    this.#fill(chosen.methods ? chosen.methods.split(",").filter((name) => name !== "none") : null);
    $("model").onchange = () => {
      this.#fill(null);
      on.model();
    };
    for (const id of ["target", "contrast"]) $(id).onchange = () => this.#target();
    $("methods").onchange = () => this.#methods();
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
    return { model: this.model.name, target: this.target, methods: this.methods.map(methodOf), budget: this.budget };
  }

  get budget() {
    const [share, limit] = [SHARES[Number($("budget").value)], LIMITS[Number($("within").value)]];
    return { ...(share !== null && { overhead_share: share }), ...(limit !== null && { latency_seconds: limit }) };
  }

  /** For the link. */
  get view() {
    const methods = this.methods.join(",") || "none";
    return {
      model: this.model === this.models[0] ? "" : this.model.name,
      target: $("target").value,
      contrast: $("contrast").value,
      methods: methods === usual(this.model).join(",") ? "" : methods,
      budget: Number($("budget").value) === SHARES.length - 1 ? "" : $("budget").value,
      within: Number($("within").value) === LIMITS.length - 1 ? "" : $("within").value,
    };
  }

  #fill(chosen) {
    const { model } = this;
    const on = new Set(chosen ?? usual(model));
    $("labels").replaceChildren(...model.labels.map((label) => make("option", { value: label })));
    $("methods").replaceChildren(...live(model).map(({ method, description }) => make("label", { title: description }, make("input", { type: "checkbox", value: method, checked: on.has(method) }), method)));
    this.#valid();
  }

  /** Unknown classes are shown at their field and not sent. */
  #valid() {
    for (const id of ["target", "contrast"]) {
      const field = $(id);
      const known = !field.value || this.model.labels.includes(field.value);
      field.setCustomValidity(known ? "" : `${this.model.name} has no class "${field.value}"; choose one of the list`);
      field.setAttribute("aria-invalid", String(!known));
      if (!known) field.reportValidity();
    }
    return $("target").validity.valid && $("contrast").validity.valid;
  }

  #target() {
    if (this.#valid()) this.on.change({ target: this.target });
  }

  #methods() {
    const methods = this.methods.map(methodOf);
    this.on.change(methods.length ? { methods } : { clear_methods: true });
  }

  #budget(tell) {
    const { overhead_share: share = null, latency_seconds: limit } = this.budget;
    $("within-value").textContent = limit ? `within ${1000 * limit} ms` : "when ready";
    $("budget-value").textContent = share === null ? "any" : share === 0 ? "predictions only" : `explain ≤ ${100 * share} % of predict`;
    if (tell) this.on.change({ budget: this.budget });
  }
}
