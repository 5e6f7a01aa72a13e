// The result of a job that somebody has shared by link.

import { $, make } from "./dom.js";
import { film, resultOf } from "./job.js";

/** Shows a finished job among the moments. Rejects with ServiceError when there is no such result. */
export async function showShared(service, id) {
  const answer = await resultOf(service, id);
  const [entry] = answer.explanations;
  const address = URL.createObjectURL(new Blob([await film(service, id)], { type: "video/mp4" }));
  const video = make("video", { src: address, loop: true, muted: true, controls: true, playsInline: true });
  const title = `${answer.prediction.top[0].label}, ${entry.method}`;
  const notes = [...entry.notes, ...answer.frames.notes].map((note) => make("p", { className: "faint small", textContent: note }));
  const close = make("button", { className: "quiet", textContent: "✕", ariaLabel: "Remove this moment" });
  const card = make(
    "article",
    { className: "moment" },
    make("div", { className: "moment-view" }, video),
    make("div", {}, make("header", {}, make("h3", { textContent: title }), close), make("p", { className: "readout", textContent: entry.reading }), ...notes),
  );
  close.onclick = () => {
    URL.revokeObjectURL(address);
    card.remove();
    $("no-moments").hidden = $("moment-list").children.length > 0;
  };
  $("moment-list").prepend(card);
  $("no-moments").hidden = true;
  card.scrollIntoView({ block: "nearest" });
}
