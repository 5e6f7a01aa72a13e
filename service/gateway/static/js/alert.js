// What went wrong, said where everybody sees it.

import { $ } from "./dom.js";

/** error: null takes back what was said. more: what the page does about it by itself. */
export function showError(error, more = "") {
  $("alert").hidden = !error;
  $("alert").classList.toggle("passing", Boolean(more));
  if (error) $("alert").firstElementChild.textContent = `${error.message}${more}`;
}
