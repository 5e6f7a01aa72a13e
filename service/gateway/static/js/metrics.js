// Prometheus' text: read, subtracted, summed.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const NUMBERS = { "+Inf": Infinity, "-Inf": -Infinity, NaN };

/** The samples of one scrape: by name, then by the text of their labels. */
export class Samples {
  constructor(text) {
    this.names = new Map();
    for (const line of text.split("\n")) {
      const [, name, inside = "", value] = line.match(LINE) ?? [];
      if (!name) continue;
      if (!this.names.has(name)) this.names.set(name, new Map());
      const labels = Object.fromEntries([...inside.matchAll(LABEL)].map(([, key, said]) => [key, said.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c))]));
      this.names.get(name).set(inside, { labels, value: NUMBERS[value] ?? Number(value) });
    }
  }

  /** The same with what counters had before taken off. A service that has started again since has nothing to take off. */
  since(before) {
    const again = (samples) => samples.sum("process_start_time_seconds");
    if (!before || again(this) !== again(before)) return this;
    const made = Object.create(Samples.prototype);
    made.names = new Map([...this.names].map(([name, series]) => [name, new Map([...series].map(([key, { labels, value }]) =>
      [key, { labels, value: value - (before.names.get(name)?.get(key)?.value ?? 0) }]))]));
    return made;
  }

  /** All series of a name whose labels are these. */
  series(name, labels = {}) {
    const wanted = Object.entries(labels);
    return [...(this.names.get(name)?.values() ?? [])].filter((entry) => wanted.every(([key, value]) => entry.labels[key] === value));
  }

  sum(name, labels) {
    return this.series(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  /** The values that a label has. */
  values(name, label) {
    return [...new Set(this.series(name).map(({ labels }) => labels[label]))].sort();
  }

  /** What a histogram observed, on average; NaN when it was nothing. */
  mean(name, labels) {
    return this.sum(`${name}_sum`, labels) / this.sum(`${name}_count`, labels);
  }

  /** A quantile of a histogram, straight within its bucket; NaN when it is empty. */
  quantile(name, share) {
    const sums = new Map();
    for (const { labels, value } of this.series(`${name}_bucket`)) {
      const bound = NUMBERS[labels.le] ?? Number(labels.le);
      sums.set(bound, (sums.get(bound) ?? 0) + value);
    }
    const buckets = [...sums].sort(([a], [b]) => a - b);
    const all = buckets.at(-1)?.[1] ?? 0;
    let [low, below] = [0, 0];
    for (const [bound, count] of buckets) {
      if (all && count >= share * all) return bound === Infinity ? low : low + ((bound - low) * (share * all - below)) / Math.max(1e-9, count - below);
      [low, below] = [bound, count];
    }
    return NaN;
  }
}
