// Single keys, which can be switched off: people who speak to their computer, or press keys by accident, need that.

import { $, press } from "./dom.js";

/** actions: by key, functions without arguments. */
export function listen(actions) {
  let on = localStorage.getItem("keys") !== "off";
  press([$("keys")], () => on);
  $("keys").onclick = () => {
    on = !on;
    press([$("keys")], () => on);
    localStorage.setItem("keys", on ? "on" : "off");
  };
  document.addEventListener("keydown", (event) => {
    if (!on || event.ctrlKey || event.metaKey || event.altKey) return;
    // What is written stays text, and Space presses a focused button; a letter means nothing to one.
    if (event.target.closest("input:not([type=range], [type=checkbox]), select")) return;
    if (event.key === " " && event.target.closest("input, button, a, video")) return;
    const act = actions[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
