// What explaining costs: stages per window, drops as ticks, what was computed and why no more.

import { $, colour, make, milliseconds, percent, sharp } from "./dom.js";
import { plainTitle } from "./titles.js";

const WINDOWS = 60;
const STAGES = ["decode", "queue", "predict", "explain"];
// Rungs of the ladder, as actionlens.v1.ExplanationLevel numbers them; the last is of all other methods.
const RUNGS = { "grad-cam": 2, "selective-relevance": 3 };
const TOP = 4;
// A budget so many times above all bars is not drawn: they would be seen no more.
const FAR = 4;

export class Cost {
  constructor() {
    this.clear();
    new ResizeObserver(() => this.#draw()).observe($("latency").parentElement);
  }

  clear() {
    this.bars = [];
    this.before = null;
    this.answered = 0;
    this.ladder = "";
    $("ladder").replaceChildren();
    this.#draw();
  }

  /** A window was answered. asked: names of the methods; limit: seconds that the budget allows, undefined without. */
  show({ answer, lag, counts, skipped_windows: skipped }, asked, limit) {
    const { timings } = answer;
    this.limit = limit;
    this.answered++;
    const dropped = counts.dropped_stale + counts.dropped_full + counts.rejected + counts.missing;
    const explain = [...timings.explain, ...timings.measure].reduce((sum, seconds) => sum + seconds, 0);
    this.bars.push({
      decode: timings.decode,
      queue: Math.max(0, timings.queue) + timings.transport + timings.others_measure,
      predict: timings.forward,
      explain: explain + timings.encode,
      lag,
      drops: this.before === null ? 0 : Math.max(0, dropped - this.before),
    });
    this.before = dropped;
    if (this.bars.length > WINDOWS) this.bars.shift();
    const predict = timings.forward / Math.max(1, timings.batch_size);
    $("overhead").textContent = predict > 0 ? `${milliseconds(explain)} on top of ${milliseconds(predict)} (${more(explain / predict)})` : milliseconds(explain);
    const computed = answer.explanations.filter((entry) => !entry.failure).map((entry) => entry.method);
    $("level").textContent = [...new Set(computed)].map(plainTitle).join(", ") || "prediction only";
    $("level-reason").textContent = answer.level_reason;
    $("frame-notes").textContent = (answer.frames.notes ?? []).join("; ");
    $("frames").textContent = `${counts.used} used, ${dropped} dropped${causes(counts)}, ${counts.waiting} waiting`;
    $("windows").textContent = `${this.answered} answered, ${skipped} skipped`;
    this.#ladder(answer.level, asked);
    this.#draw();
  }

  /** One rung per step between predictions alone and all that is asked for; those that the answer stands on are filled. */
  #ladder(level, asked) {
    const others = asked.filter((name) => !RUNGS[name]);
    const rungs = [["prediction", 1], ...Object.entries(RUNGS).filter(([name]) => asked.includes(name))];
    if (others.length) rungs.push([others.join(", "), TOP]);
    const reached = Math.max(...rungs.map(([, rung]) => rung).filter((rung) => rung <= level));
    const shape = `${reached} ${rungs}`;
    if (shape === this.ladder) return;
    this.ladder = shape;
    $("ladder").replaceChildren(...rungs.map(([name, rung]) => {
      const made = make("li", { className: rung <= reached ? "on" : "", textContent: name.split(", ").map(plainTitle).join(", "), title: name });
      if (rung === reached) made.ariaCurrent = "step";
      return made;
    }));
  }

  /** Median lag of the last windows in seconds. */
  get lag() {
    const lags = this.bars.slice(-15).map((bar) => bar.lag).sort((a, b) => a - b);
    return lags[Math.floor(lags.length / 2)];
  }

  #draw() {
    const canvas = $("latency");
    const width = canvas.clientWidth;
    const height = 150;
    if (!width) return;
    const context = sharp(canvas, width, height);
    const total = (bar) => STAGES.reduce((sum, stage) => sum + bar[stage], 0);
    const tallest = Math.max(0.02, ...this.bars.map(total));
    const limit = this.limit <= FAR * tallest ? this.limit : null;
    const most = nice(Math.max(tallest, limit ?? 0));
    const [left, top, bottom] = [46, 12, height - 4];
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      const y = bottom - share * (bottom - top);
      context.fillStyle = colour("--line");
      context.fillRect(left, Math.round(y), width - left, 1);
      context.fillStyle = colour("--faint");
      context.fillText(milliseconds(share * most).replace("0.0 ms", "0"), left - 6, share ? y + 4 : y);
    }
    const step = (width - left) / WINDOWS;
    const colours = Object.fromEntries([...STAGES, "drop"].map((stage) => [stage, colour(`--${stage}`)]));
    this.bars.forEach((bar, i) => {
      const x = width - (this.bars.length - i) * step;
      let y = bottom;
      for (const stage of STAGES) {
        const size = (bar[stage] / most) * (bottom - top);
        context.fillStyle = colours[stage];
        context.fillRect(x, y - size, step - 1, size);
        y -= size;
      }
      if (!bar.drops) return;
      context.fillStyle = colours.drop;
      context.fillRect(x + step / 2 - 1.5, 0, 2, 8);
    });
    $("limit-key").hidden = limit === null;
    if (limit !== null) {
      const y = Math.round(bottom - (limit / most) * (bottom - top)) + 0.5;
      context.strokeStyle = colour("--ink");
      context.setLineDash([5, 4]);
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(width, y);
      context.stroke();
      context.setLineDash([]);
    }
    canvas.setAttribute("aria-label", this.bars.length ? `Time per window by stage; the last took ${milliseconds(total(this.bars.at(-1)))}` : "Time per window by stage");
  }
}

/** How much longer than a prediction alone. */
const more = (share) => (share < 2 ? `+${percent(share)}` : `${(1 + share).toFixed(0)} times as long`);

/** Why frames were dropped, those causes that there were. */
function causes({ dropped_stale: late, dropped_full: undecoded, rejected: refused, missing: unsent }) {
  const said = Object.entries({ "too late": late, "not decoded": undecoded, refused, "not sent": unsent }).filter(([, count]) => count);
  return said.length ? ` (${said.map(([cause, count]) => `${count} ${cause}`).join(", ")})` : "";
}

/** The next round number of seconds. */
function nice(seconds) {
  const power = 10 ** Math.floor(Math.log10(seconds));
  return [1, 2, 5, 10].find((digit) => digit * power >= seconds) * power;
}
