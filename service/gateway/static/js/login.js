// Who is logged in, and the form to log in with.

import { showError } from "./alert.js";
import { $ } from "./dom.js";
import { postOr, sessionOr } from "./service.js";

let coming = null;

/** Shows who is logged in, or asks for it; resolves once calls may be made. */
export function comeIn() {
  coming ??= ask().finally(() => (coming = null));
  return coming;
}

async function ask() {
  for (;;) {
    const session = await sessionOr();
    if (!session.required || session.name) {
      showWho(session);
      return;
    }
    await asked(session);
  }
}

function showWho({ name = "", tenants = [], rights = [] }) {
  $("who").hidden = !name;
  $("login").hidden = true;
  if (!name) return;
  $("who-name").textContent = name;
  $("who").title = `Tenants: ${tenants.join(", ")}. Rights: ${rights.join(", ") || "none"}.`;
  $("logout").onclick = async () => {
    await postOr("logout", {});
    location.reload();
  };
}

/** Resolves when a token was accepted. The issuer's way leaves the page and comes back to it. */
function asked({ tokens, issuer }) {
  $("login").hidden = false;
  $("who").hidden = true;
  $("login-token").hidden = !tokens;
  $("login-issuer").hidden = !issuer;
  $("token").focus();
  return new Promise((resolve) => {
    $("login-token").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await postOr("login", { token: $("token").value });
        $("token").value = "";
        showError(null);
        resolve();
      } catch (error) {
        showError(error);
      }
    };
  });
}
