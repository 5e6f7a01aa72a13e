// The overhead page: the service's own metrics in plain words, for people without Grafana.

import { $, duration, make, milliseconds, percent, press } from "./dom.js";
import { Samples } from "./metrics.js";

const EVERY = 2000;
const MINUTE = 60_000;
const STAGES = { decode: "--decode", queue: "--queue", transport: "--faint", predict: "--predict", explain: "--explain", measure: "--measure", encode: "--encode" };
const OUTCOMES = { used: "frames used", dropped_stale: "frames too late", dropped_full: "frames not decoded", rejected: "frames refused" };
const ROLES = { worker: "workers", java: "TorchServe (java)", decoder: "decoders", jobs: "job workers", other: "others" };
const LEVELS = { prediction: "prediction only", grad_cam: "Grad-CAM", selective_relevance: "selective relevance", temporal_relevance: "other methods" };

const history = [];
let span = "minute";

const said = (value, write) => (Number.isFinite(value) ? write(value) : "–");
const whole = (value) => Math.round(value).toLocaleString("en");
const row = (...cells) => make("tr", {}, ...cells.map((cell) => (cell instanceof Node ? cell : make("td", { textContent: cell }))));
const figures = (entries) => entries.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })));
const bar = (name, width, label) => {
  const made = make("i", { title: label });
  made.style.cssText = `--key: var(${STAGES[name]}); width: ${width}%`;
  return made;
};

/** What every method adds, dearest first. */
function price(samples) {
  const rows = samples.series("actionlens_overhead_ratio_count").filter(({ value }) => value > 0).map(({ labels }) => ({
    ...labels,
    count: samples.sum("actionlens_overhead_ratio_count", labels),
    each: samples.mean("actionlens_stage_seconds", { ...labels, stage: "explain" }),
    adds: samples.mean("actionlens_overhead_ratio", labels),
  })).sort((a, b) => b.adds - a.adds);
  const most = Math.max(...rows.map(({ adds }) => adds));
  $("price").replaceChildren(...rows.map(({ model, method, count, each, adds }) => {
    const meter = make("div", { className: "meter" });
    meter.style.width = `${(100 * adds) / most}%`;
    return row(model, method, whole(count), milliseconds(each), `+${percent(adds)}`, make("td", { className: "bar-cell" }, meter));
  }));
  const predict = samples.sum("actionlens_predict_seconds_total");
  const explain = ["explain", "measure"].reduce((sum, stage) => sum + samples.sum("actionlens_stage_seconds_sum", { stage }), 0);
  $("total").textContent = predict > 0 ? `all explaining is ${percent(explain / predict)} of all predicting` : "";
}

/** The mean answer of every model, as one bar. */
function stages(samples) {
  const models = samples.values("actionlens_predict_seconds_total", "model").map((model) => {
    const answers = samples.sum("actionlens_stage_seconds_count", { model, stage: "forward" });
    const seconds = (stage) => samples.sum("actionlens_stage_seconds_sum", { model, stage: stage === "predict" ? "forward" : stage }) / answers;
    return { model, answers, parts: Object.fromEntries(Object.keys(STAGES).map((stage) => [stage, seconds(stage)])) };
  }).filter(({ answers }) => answers > 0);
  const total = ({ parts }) => Object.values(parts).reduce((sum, value) => sum + value, 0);
  const most = Math.max(...models.map(total));
  $("stages").replaceChildren(...models.map((entry) => {
    const { model, parts } = entry;
    const words = Object.entries(parts).map(([name, seconds]) => `${name} ${milliseconds(seconds)}`).join(", ");
    const stack = make("div", { className: "stack", role: "img", ariaLabel: words },
      ...Object.entries(parts).map(([name, seconds]) => bar(name, (100 * seconds) / most, `${name} ${milliseconds(seconds)}`)));
    return make("div", { className: "stage-row" }, make("span", { textContent: model }), stack, make("b", { textContent: milliseconds(total(entry)) }));
  }));
}

function streams(samples) {
  const frames = samples.sum("actionlens_frames_total");
  const windows = samples.series("actionlens_windows_total");
  const levels = Object.entries(LEVELS).map(([level, words]) => [`windows: ${words}`, samples.sum("actionlens_windows_total", { level })]);
  const outcomes = Object.entries(OUTCOMES).map(([outcome, words]) => [words, said(samples.sum("actionlens_frames_total", { outcome }) / frames, percent)]);
  $("streams").replaceChildren(...figures([
    ["lag, half below", said(samples.quantile("actionlens_stream_lag_seconds", 0.5), milliseconds)],
    ["lag, 95 % below", said(samples.quantile("actionlens_stream_lag_seconds", 0.95), milliseconds)],
    ...(windows.length ? levels.filter(([, count]) => count > 0).map(([words, count]) => [words, whole(count)]) : []),
    ["windows skipped", whole(samples.sum("actionlens_windows_skipped_total"))],
    ...outcomes,
  ]));
}

function load(samples) {
  const jobs = (state) => whole(samples.sum("actionlens_jobs", { state }));
  $("load").replaceChildren(...figures([
    ["at the workers", `${whole(samples.sum("actionlens_backend_in_flight"))} of ${whole(samples.sum("actionlens_backend_capacity"))}`],
    ["waiting", whole(samples.sum("actionlens_backend_queue_depth"))],
    ["open streams", whole(samples.sum("actionlens_streams"))],
    ["worker restarts", whole(samples.sum("actionlens_worker_restarts_total") + samples.sum("actionlens_job_worker_restarts_total"))],
    ["jobs running", jobs("running")],
    ["jobs waiting", jobs("queued")],
  ]));
}

/** What the service and its children take. seconds: that `changed` is over. */
function processes(now, changed, seconds) {
  const own = ["service", 1, now.sum("process_resident_memory_bytes"), changed.sum("process_cpu_seconds_total")];
  const children = Object.entries(ROLES).map(([role, words]) => [
    words,
    now.sum("actionlens_child_processes", { role }),
    now.sum("actionlens_child_memory_bytes", { role }),
    changed.sum("actionlens_child_cpu_seconds_total", { role }),
  ]);
  const rows = [own, ...children].filter(([, count]) => count > 0);
  $("processes").replaceChildren(...rows.map(([words, count, bytes, busy]) =>
    row(words, whole(count), `${whole(bytes / 2 ** 20)} MiB`, said(busy / seconds, (cores) => cores.toFixed(2)))));
  const [build] = now.series("actionlens_build_info");
  $("release").textContent = build ? `release ${build.labels.version}` : "";
}

function reasons(samples) {
  const models = samples.values("actionlens_confidence_count", "model").filter((model) => samples.sum("actionlens_confidence_count", { model }) > 0);
  $("reasons").replaceChildren(...models.map((model) => row(
    model,
    said(samples.mean("actionlens_confidence", { model }), percent),
    said(samples.mean("actionlens_motion_share", { model }), percent),
    ...["average", "maximum"].map((statistic) => said(samples.mean("actionlens_atr_frames", { model, statistic }), (frames) => frames.toFixed(1))),
  )));
}

/** Why the numbers shown are not of the time chosen. */
function silence(samples, then) {
  const last = Math.max(...samples.series("actionlens_last_answer_timestamp_seconds").map(({ value }) => value));
  if (!Number.isFinite(last)) return "No answers yet: the numbers come with the first clip or stream.";
  const ago = `the last one came ${duration(Math.max(0, Date.now() / 1000 - last))} ago`;
  return then ? `No answers in the last minute; ${ago}. Shown is all since the service started.` : `Of all answers ${ago}.`;
}

function show() {
  const now = history.at(-1);
  if (!now) return;
  const then = span === "minute" ? history[0] : null;
  const changed = now.samples.since(then?.samples);
  const answered = changed.sum("actionlens_predict_seconds_total") > 0;
  const shown = answered ? changed : now.samples;
  for (const part of [price, stages, streams, reasons]) part(shown);
  load(now.samples);
  const sinceStart = Date.now() / 1000 - now.samples.sum("process_start_time_seconds");
  processes(now.samples, changed, changed === now.samples ? sinceStart : (now.at - then.at) / 1000);
  $("silence").hidden = answered;
  $("silence").textContent = answered ? "" : silence(now.samples, then);
  press(document.querySelectorAll("[data-span]"), (button) => button.dataset.span === span);
  if (then && then !== now) document.querySelector("[data-span=minute]").textContent = now.at - then.at < MINUTE - EVERY ? `Last ${Math.round((now.at - then.at) / 1000)} s` : "Last minute";
}

function tell(state, words) {
  $("status").dataset.state = state;
  $("status").lastElementChild.textContent = words;
}

async function look() {
  setTimeout(look, EVERY);
  let text;
  try {
    const response = await fetch("metrics", { signal: AbortSignal.timeout(EVERY) });
    if (response.status === 401 || response.status === 403) {
      tell("broken", response.status === 401 ? "log in on the live page first" : "only principals with the right admin see this");
      return;
    }
    if (!response.ok) throw new Error(`the service says ${response.status}`);
    text = await response.text();
  } catch {
    tell("broken", "the service does not answer; trying again");
    return;
  }
  history.push({ at: performance.now(), samples: new Samples(text) });
  while (history.at(-1).at - history[0].at > MINUTE) history.shift();
  tell("live", "live");
  show();
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.onclick = () => {
    span = button.dataset.span;
    show();
  };
}
for (const [name, key] of Object.entries(STAGES)) {
  const entry = make("li", { textContent: name });
  entry.style.setProperty("--key", `var(${key})`);
  $("stage-keys").append(entry);
}
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
look();
