// What went wrong, said where everybody sees it.

import { $ } from "./dom.js";

/** error: null takes back what was said. */
export function showError(error, more = "") {
  $("alert").hidden = !error;
  if (error) $("alert").firstElementChild.textContent = `${error.message}${more}`;
}
