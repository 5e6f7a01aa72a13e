// Methods, targets and models as the page writes them.

/** A Method message of a method's name with default parameters. */
export const methodOf = (name) => ({ [name.replaceAll("-", "_")]: {} });

export const live = (model) => model.methods.filter((method) => method.supported && !method.job);
export const jobs = (model) => model.methods.filter((method) => method.supported && method.job);

/** Methods that are asked for when nothing else is said: one of each kind, the cheap ones. */
export function usual(model) {
  const names = new Set(live(model).map(({ method }) => method));
  return ["grad-cam", "selective-relevance", "atr"].filter((name) => names.has(name));
}

/** A Target message; empty labels: the top class, no contrast. */
export function targetOf(explained, contrast) {
  return {
    explained: explained ? { label: explained } : undefined,
    contrast: contrast ? { label: contrast } : undefined,
  };
}

/** Whether the service knows a text as a class: a label, or its number where no label is a number. */
export function isClass(text, labels) {
  if (labels.includes(text)) return true;
  return /^\d+$/.test(text) && !labels.some((label) => /^\p{Nd}+$/u.test(label)) && Number(text) < labels.length;
}
