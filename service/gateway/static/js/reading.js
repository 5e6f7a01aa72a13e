// What an answer says, gathered for the panels.

import { profile, resample, toArray } from "./tensor.js";

export const byMethod = (answer, name) => answer.explanations.find((entry) => entry.method === name);

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
    for (let frame = 0; frame < shape[1]; frame++) sums[frame] += Math.max(0, data[row * shape[1] + frame]);
  }
  return sums;
}

/** One sentence for people. */
export function sentence(answer) {
  const best = answer.prediction?.top[0];
  if (!best) return "No prediction.";
  const parts = [];
  const told = answer.explanations.filter((entry) => entry.reading && !entry.failure);
  const target = told[0]?.target;
  if (target && target.index !== best.index) parts.push(`“${target.label}” explained`);
  if (told[0]?.contrast) parts.push(`rather than “${told[0].contrast.label}”`);
  const when = told.find((entry) => /frame/.test(entry.reading)) ?? told[0];
  if (when) parts.push(when.reading);
  const share = motionShare(answer);
  if (share !== null && !(when && /motion/.test(when.reading))) parts.push(`${Math.round(100 * share)} % of it is motion`);
  return `“${best.label}” ${Math.round(100 * best.probability)} %${parts.length ? `: ${parts.join("; ")}.` : "."}`;
}

export function motionShare(answer) {
  const entry = answer.explanations.find((given) => given.quality?.motion_share !== undefined);
  return entry ? entry.quality.motion_share : null;
}

/** Failures of single methods, each as a line. */
export const failures = (answer) => answer.explanations.filter((entry) => entry.failure).map((entry) => `${entry.method}: ${entry.failure.message}`);
