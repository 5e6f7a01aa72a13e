// The glossary: every method that the loaded models know, in the service's own words.

import { showError } from "./alert.js";
import { $, make } from "./dom.js";
import { Service } from "./service.js";
import { titleOf } from "./titles.js";

async function fill() {
  const service = await Service.connect();
  const { models } = await service.call("ListModels");
  const known = new Map();
  for (const { name, methods } of models) {
    for (const { method, description, job, supported } of methods) {
      const entry = known.get(method) ?? { description, job, models: [] };
      if (supported) entry.models.push(name);
      known.set(method, entry);
    }
  }
  const entries = [...known].sort(([, a], [, b]) => Number(a.job) - Number(b.job));
  $("methods").replaceChildren(...entries.flatMap(([method, { description, job, models: able }]) => [
    make("dt", { id: method }, titleOf(method), " ", make("small", { className: "faint", textContent: method })),
    make("dd", {}, `${description[0].toUpperCase()}${description.slice(1)}. `, make("small", { className: "faint", textContent: `${job ? "Takes longer: freeze a moment and look deeper." : "Live."} ${able.length ? `For ${able.join(", ")}.` : "For none of the models here."}` })),
  ]));
}

document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
$("alert").lastElementChild.onclick = () => showError(null);
fill().catch(showError);
