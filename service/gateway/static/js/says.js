// The prediction: top classes with their history, the motion share, and one sentence.

import { $, make, makeSvg, percent } from "./dom.js";
import { failures, motionShare, quality, sentence } from "./reading.js";

const HISTORY = 60;
const ARC = "M 15 60 A 45 45 0 0 1 105 60";
const ARC_LENGTH = Math.PI * 45;

export class Says {
  constructor() {
    this.history = [];
    $("dial").append(makeSvg("path", { d: ARC, class: "track" }), makeSvg("path", { d: ARC, class: "value" }), makeSvg("text", { x: 60, y: 58 }));
    this.#dial(null);
  }

  /** curve: relevance per frame of what is laid over the picture. */
  show(answer, curve) {
    const { top } = answer.prediction;
    this.history.push(new Map(top.map(({ index, probability }) => [index, probability])));
    if (this.history.length > HISTORY) this.history.shift();
    $("readout").textContent = [sentence(answer, curve), ...failures(answer)].join(" ");
    $("quality").replaceChildren(...quality(answer).map((line) => make("li", { textContent: line })));
    $("top").replaceChildren(...top.slice(0, 5).map((score) => this.#row(score)));
    const asked = answer.explanations.some(({ method, failure }) => method === "selective-relevance" && !failure);
    this.#dial(motionShare(answer), asked);
  }

  clear() {
    this.history = [];
    $("top").replaceChildren();
    $("quality").replaceChildren();
    $("readout").textContent = "Nothing yet.";
    this.#dial(null);
  }

  #row({ index, label, probability }) {
    const row = make("li", {}, make("span", { className: "name", textContent: label, title: label }));
    const line = makeSvg("svg", { viewBox: `0 0 ${HISTORY} 20`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const start = HISTORY - this.history.length;
    const points = this.history.map((past, i) => `${start + i},${19 - 18 * (past.get(index) ?? 0)}`);
    line.append(makeSvg("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" }));
    const meter = make("span", { className: "meter" }, make("i"));
    meter.firstChild.style.width = `${100 * probability}%`;
    row.append(line, make("span", { className: "share", textContent: percent(probability) }), meter);
    return row;
  }

  #dial(share, asked = false) {
    const [, value, text] = $("dial").children;
    value.setAttribute("stroke-dasharray", `${ARC_LENGTH * (share ?? 0)} ${2 * ARC_LENGTH}`);
    $("dial").style.display = share === null ? "none" : "";
    $("dial").nextElementSibling.textContent = share === null
      ? (asked ? "Nothing speaks for the class here, so there is no motion share." : "How much of it is motion is told by “What moves”.")
      : "of the relevance is motion; the rest is scene.";
    value.style.visibility = share ? "visible" : "hidden";
    text.textContent = share === null ? "–" : percent(share);
    $("dial").setAttribute("aria-label", `Motion share: ${share === null ? "unknown" : percent(share)}`);
  }
}
