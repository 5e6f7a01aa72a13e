// What an answer says, gathered for the panels.

import { profile, resample, toArray } from "./tensor.js";
import { plainTitle } from "./titles.js";

// The share of the relevance that the sentence looks for.
const MOST = 0.6;

/** What the colours of an explanation mean. */
export function meaning({ target, contrast }, signed) {
  const what = contrast ? `“${target.label}” rather than “${contrast.label}”` : `“${target.label}”`;
  return signed ? `speaks for ${what}, blue against it` : `speaks for ${what}`;
}

/** Explanations that can be laid over the picture: those that say where, then those that say only when. */
export function drawable(answer) {
  const drawn = answer.explanations.filter((entry) => !entry.failure);
  return [...drawn.filter((entry) => entry.saliency), ...drawn.filter((entry) => !entry.saliency && (entry.relevance_matrix || entry.frame_attribution))];
}

/** Relevance per model frame: of the explanation that is laid over the picture, else of the first that has one. */
export function frameCurve(answer, layer) {
  const entries = answer.explanations.filter((entry) => !entry.failure);
  for (const entry of [...entries.filter(({ method }) => method === layer), ...entries]) {
    const values = perFrame(entry, answer.frames.used.length);
    if (values) return { method: entry.method, values };
  }
  return null;
}

/** Relevance of each of so many model frames; null for an explanation that has none. */
export function perFrame(entry, frames) {
  if (entry.frame_attribution) return attribution(entry);
  if (entry.relevance_matrix) return columns(entry, frames);
  if (!entry.saliency) return null;
  const values = profile(toArray(entry.saliency.values));
  return resample(values, positionsOf(entry.saliency, values.length, frames), frames);
}

/** The model frame in the middle of each step of a volume; steps that do not say theirs are spread evenly. */
export function positionsOf({ frame_positions: known }, steps, frames) {
  return known.length === steps ? known : Array.from({ length: steps }, (_, k) => ((k + 0.5) * frames) / steps - 0.5);
}

/** One value per frame; of all classes' values, the target's. */
function attribution({ frame_attribution: { values }, target }) {
  const { shape, data } = toArray(values);
  if (shape.length === 1) return [...data];
  return Array.from({ length: shape[0] }, (_, frame) => data[frame * shape[1] + (target?.index ?? 0)]);
}

function columns({ relevance_matrix: { values } }, frames) {
  const { shape, data } = toArray(values);
  const sums = new Array(frames).fill(0);
  for (let row = 0; row < shape[0]; row++) {
    // Fewer columns than frames: each is a block of them.
    for (let frame = 0; frame < frames; frame++) {
      const column = Math.floor((frame * shape[1]) / frames);
      sums[frame] += (Math.max(0, data[row * shape[1] + column]) * shape[1]) / frames;
    }
  }
  return sums;
}

/** One sentence for people; curve: as frameCurve gives it. Frames are counted as the filmstrip counts them. */
export function sentence(answer, curve = frameCurve(answer)) {
  const best = answer.prediction?.top[0];
  if (!best) return "No prediction.";
  const parts = [];
  const told = answer.explanations.find((entry) => entry.target && !entry.failure);
  if (told?.contrast) parts.push(`why “${told.target.label}” rather than “${told.contrast.label}”`);
  else if (told && told.target.index !== best.index) parts.push(`“${told.target.label}” is explained`);
  const run = curve && shortestRun(curve.values);
  if (run) parts.push(`frames ${run.first}–${run.last} carry ${Math.round(100 * run.share)} % of the relevance`);
  const share = motionShare(answer);
  if (share !== null) parts.push(`${Math.round(100 * share)} % of it is motion`);
  return `“${best.label}” ${Math.round(100 * best.probability)} %${parts.length ? `: ${parts.join("; ")}` : ""}.`;
}

/** The shortest run of frames that carries most of the positive relevance; null when there is none. */
export function shortestRun(values) {
  const positive = values.map((value) => Math.max(0, value));
  const sum = positive.reduce((total, value) => total + value, 0);
  if (!sum) return null;
  for (let length = 1; length < positive.length; length++) {
    let best = null;
    for (let first = 0; first + length <= positive.length; first++) {
      const share = positive.slice(first, first + length).reduce((total, value) => total + value, 0) / sum;
      if (share >= MOST && share > (best?.share ?? 0)) best = { first, last: first + length - 1, share };
    }
    if (best) return best;
  }
  return { first: 0, last: positive.length - 1, share: 1 };
}

export function motionShare(answer) {
  const entry = answer.explanations.find((given) => given.quality?.motion_share !== undefined);
  return entry ? entry.quality.motion_share : null;
}

/** How far the methods agree on when, and how good each explanation is, each as a line; nothing that is not known. */
export function quality(answer) {
  const { agreement, agreement_left_out: why } = answer.quality ?? {};
  const all = agreement !== undefined ? [`The explanations ${agrees(agreement)} on when (${agreement.toFixed(2)} of −1 to 1).`] : why ? [`Agreement of the methods: ${why}.`] : [];
  const several = answer.explanations.filter((entry) => entry.quality?.agreement !== undefined).length > 2;
  const each = answer.explanations.map(({ method, quality: found = {} }) => {
    const parts = [];
    if (several && found.agreement !== undefined) parts.push(`agrees with the others by ${found.agreement.toFixed(2)}`);
    if (found.insertion_deletion_gap !== undefined) parts.push(`${matters(found.insertion_deletion_gap)} (insertion-deletion gap ${signed(found.insertion_deletion_gap)})`);
    if (found.gap_left_out) parts.push(`no insertion-deletion gap: ${found.gap_left_out}`);
    return parts.length ? `${plainTitle(method)}: ${parts.join("; ")}.` : "";
  });
  return [...all, ...each.filter(Boolean)];
}

const matters = (gap) => (gap >= 0.4 ? "what it shows matters much" : gap >= 0.1 ? "what it shows matters" : gap > -0.1 ? "what it shows matters little" : "what it shows is not what matters");

const agrees = (value) => (value >= 0.7 ? "agree well" : value >= 0.3 ? "agree in part" : value > -0.3 ? "do not agree" : "contradict each other");

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/** Failures of single methods, each as a line. */
export const failures = (answer) => answer.explanations.filter((entry) => entry.failure).map((entry) => `${plainTitle(entry.method)}: ${entry.failure.message}`);
