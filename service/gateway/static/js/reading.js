// What an answer says, gathered for the panels.

import { profile, resample, toArray } from "./tensor.js";

// The share of the relevance that the sentence looks for.
const MOST = 0.6;

/** What the colours of an explanation mean. */
export function meaning({ target, contrast }, signed) {
  const what = contrast ? `“${target.label}” rather than “${contrast.label}”` : `“${target.label}”`;
  return signed ? `orange speaks for ${what}, blue against` : `bright speaks for ${what}`;
}

export const drawable = (answer) => answer.explanations.filter((entry) => entry.saliency && !entry.failure);

/** Relevance per model frame: of the relevance matrix where there is one, else of the overlay. */
export function frameCurve(answer, layer) {
  const frames = answer.frames.used.length;
  const shown = answer.explanations.find((entry) => entry.method === layer);
  const matrix = answer.explanations.find((entry) => entry.relevance_matrix && !entry.failure);
  for (const entry of [shown, matrix, ...answer.explanations]) {
    if (!entry || entry.failure) continue;
    if (entry.frame_attribution) return { method: entry.method, values: attribution(entry) };
    if (entry.relevance_matrix && entry !== shown) return { method: entry.method, values: columns(entry, frames) };
    if (entry.saliency && !matrix) {
      const values = profile(toArray(entry.saliency.values));
      const positions = entry.saliency.frame_positions;
      return { method: entry.method, values: positions.length === values.length ? resample(values, positions, frames) : values };
    }
  }
  return null;
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
function shortestRun(values) {
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
  const all = agreement !== undefined ? [`The methods agree on when by ${agreement.toFixed(2)} (−1 to 1).`] : why ? [`Agreement of the methods: ${why}.`] : [];
  const several = answer.explanations.filter((entry) => entry.quality?.agreement !== undefined).length > 2;
  const each = answer.explanations.map(({ method, quality: found = {} }) => {
    const parts = [];
    if (several && found.agreement !== undefined) parts.push(`agrees with the others by ${found.agreement.toFixed(2)}`);
    if (found.insertion_deletion_gap !== undefined) parts.push(`insertion-deletion gap ${signed(found.insertion_deletion_gap)}`);
    if (found.gap_left_out) parts.push(`no insertion-deletion gap: ${found.gap_left_out}`);
    return parts.length ? `${method}: ${parts.join("; ")}.` : "";
  });
  return [...all, ...each.filter(Boolean)];
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/** Failures of single methods, each as a line. */
export const failures = (answer) => answer.explanations.filter((entry) => entry.failure).map((entry) => `${entry.method}: ${entry.failure.message}`);
