// What folds away: the drawer, which remembers whether it was open, and one-sentence helps that open by click or touch.

import { $ } from "./dom.js";

const KEY = "drawer";

export function drawers() {
  const drawer = $("drawer");
  drawer.open = localStorage.getItem(KEY) === "open";
  drawer.ontoggle = () => localStorage.setItem(KEY, drawer.open ? "open" : "closed");
  for (const button of document.querySelectorAll("button.help")) {
    const hint = button.closest(".field").querySelector(".hint");
    hint.id ||= `hint-${[...document.querySelectorAll(".hint")].indexOf(hint)}`;
    button.type = "button";
    button.setAttribute("aria-controls", hint.id);
    button.setAttribute("aria-expanded", "false");
    button.onclick = (event) => {
      event.preventDefault();
      hint.hidden = !hint.hidden;
      button.setAttribute("aria-expanded", String(!hint.hidden));
    };
  }
}

/** Something in the drawer wants to be seen. */
export function openDrawer() {
  $("drawer").open = true;
}
